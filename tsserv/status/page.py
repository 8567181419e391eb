"""``/``: one page for people, which loads itself again and needs nothing from elsewhere."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable
from datetime import datetime, timedelta, timezone
from html import escape
from platform import node

from tsserv.status.figures import BOUNDS, VERSIONS, Figures

_HEAD = """<!DOCTYPE html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<meta http-equiv="refresh" content="5">
<meta http-equiv="Content-Security-Policy"
    content="default-src 'none'; style-src 'unsafe-inline'; img-src data:">
<link rel="icon" href="data:,">
<style>
:root { color-scheme: light dark }
body { font: 15px/1.4 system-ui, sans-serif; max-width: 40em; margin: 1em auto; padding: 0 1em }
h1 { font-size: 1.4em }
table { border-collapse: collapse; width: 100%; margin-top: 1.5em }
th, td { padding: .15em .3em; border-bottom: 1px solid #8886 }
th { font-weight: normal; text-align: left }
td, thead th + th { text-align: right; font-variant-numeric: tabular-nums }
td { overflow-wrap: anywhere }
thead th:first-child { font-weight: bold }
</style>
"""


def page(figures: Figures, ready: bool) -> str:
    """
    Return the page, in HTML.

    :param figures: what it shows.
    :param ready: whether new clients are welcome.
    """
    now, before = figures.now(), figures.samples[0]
    seconds = max(now.time - before.time, 1.0)
    title = f"tsserv on {node()}: {'ready' if ready else 'stopping'}"
    state = [("listening on", listener.address) for listener in figures.listeners]
    state += [
        ("running for", str(timedelta(seconds=int(now.time - figures.began)))),
        ("open connections", f"{now.open:,}"),
        ("bytes that wait to be sent", f"{now.sums.unsent:,}"),
        ("reactor late, at most", _latest(now.lags, before.lags)),
        *((f"lines lost by the log ({name})", f"{log.lost:,}") for name, log in figures.logs.items()),
    ]
    if figures.credentials is not None:
        state.append(("certificate expires", _date(figures.credentials.expires)))
    state.append(("versions", f"tsserv {VERSIONS['version']}, Twisted {VERSIONS['twisted']}"))
    traffic = [
        (name, f"{total:,}", f"{(total - earlier) / seconds:,.1f}")
        for name, total, earlier in (
            ("connections accepted", now.sums.connections, before.sums.connections),
            ("chunks received", now.sums.chunks, before.sums.chunks),
            ("bytes received", now.sums.received, before.sums.received),
            ("bytes sent", now.sums.sent, before.sums.sent),
        )
    ]
    hosts = {
        event.reason: event.latest_host for event in figures.connections.tally.events if event.latest_host
    }
    refused = [(*row, hosts.get(row[0], "")) for row in _counts(now.refused, before.refused)]
    past = f"last {seconds:.0f} s"
    return "".join(
        (
            f"{_HEAD}<title>{escape(title)}</title>\n<h1>{escape(title)}</h1>\n",
            _table(("Now", ""), state),
            _table(("Traffic", "total", f"a second, {past}"), traffic),
            _table(("Closed", "total", past), _counts(now.closed, before.closed)),
            _table(("Refused", "total", past, "latest from"), refused),
        )
    )


def _table(head: Iterable[str], rows: Iterable[Iterable[str]]) -> str:
    """Return a table whose cells are text: the names of hosts, for example, are not ours."""
    columns = "".join(f"<th>{escape(cell)}</th>" for cell in head)
    lines = [
        f"<tr><th>{escape(first)}</th>" + "".join(f"<td>{escape(cell)}</td>" for cell in rest) + "</tr>\n"
        for first, *rest in rows
    ]
    return f"<table>\n<thead><tr>{columns}</tr></thead>\n{''.join(lines)}</table>\n"


def _counts(now: Counter[str], before: Counter[str]) -> list[tuple[str, str, str]]:
    """Return a row for each reason: how often by now, and of these how often since ``before``."""
    return [(reason, f"{count:,}", f"{count - before[reason]:,}") for reason, count in now.items()]


def _latest(now: list[int], before: list[int]) -> str:
    """Return the bound of the longest lag that was measured since ``before``."""
    bounds = [*(f"{bound * 1000:g} ms" for bound in BOUNDS), f"more than {BOUNDS[-1]:g} s"]
    measured = [bound for bound, count, earlier in zip(bounds, now, before, strict=True) if count > earlier]
    return measured[-1] if measured else "not measured yet"


def _date(expires: float) -> str:
    """Return when a certificate expires, and how many days that is away."""
    date = datetime.fromtimestamp(expires, timezone.utc)
    return f"{date:%Y-%m-%d} ({(date - datetime.now(timezone.utc)).days} days)"
