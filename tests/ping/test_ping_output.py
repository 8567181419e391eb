"""What ``tsserv-ping`` writes: text, JSON, CSV, the line for Nagios and plots; and what it refuses."""

from __future__ import annotations

import csv
import errno
import importlib.metadata
import json
import os
import re
import socket
import subprocess
import sys
from collections.abc import Iterator, Sequence
from math import inf
from pathlib import Path
from xml.etree import ElementTree

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pinging import Ping, serving

from tsserv.ping.address import Endpoint, HostPort, UnixPath, targets
from tsserv.ping.counts import Counts
from tsserv.ping.distribution import Distribution
from tsserv.ping.drift import Bounds
from tsserv.ping.offset import Offset
from tsserv.ping.options import make_parser, parse
from tsserv.ping.outputs.base import Summary
from tsserv.ping.outputs.plot import Point, Points, bins
from tsserv.ping.outputs.summary import histogram_lines, offset_text, summary_lines, table_lines
from tsserv.ping.outputs.text import Text
from tsserv.ping.result import Result
from tsserv.ping.verdict import Thresholds, Value, exit_status, level, limit
from tsserv.stamp import Stamp

QUICK = ("--count", 3, "--interval", 0.05)


def answer(client: socket.socket) -> None:
    """Be a tsserv whose time format has something for a terminal in it, and a letter."""
    while data := client.recv(65536):
        client.sendall(b"[\x1b[2J \xc3\xa4] " + data)


@pytest.fixture
def port() -> Iterator[int]:
    """Return the port of a tsserv."""

    def serve(client: socket.socket) -> None:
        stamp = Stamp("unix")
        while data := client.recv(65536):
            client.sendall(stamp() + data)

    with serving(serve) as port:
        yield port


def test_the_text_is_a_line_for_each_answer_and_a_summary(port: int, ping: Ping) -> None:
    done = ping(f"127.0.0.1:{port}", *QUICK, "--histogram")
    number = r"\d+\.\d{3}"
    line = rf"seq=%d rtt={number} ms there={number} back={number} \+/- {number} ms time=\d+\.\d{{6}}\n"
    expected = (
        rf"connected in {number} ms: 127\.0\.0\.1:\d+ -> 127\.0\.0\.1:{port}\n"
        + "".join(line % seq for seq in (1, 2, 3))
        + rf"\n--- 127\.0\.0\.1:{port} ---\n"
        + r"3 sent, 3 answered, 0 lost \(0 %\), 0\.\d s\n"
        + rf"rtt min/median/mean/max = {'/'.join([number] * 4)} ms\n"
        + rf"    stddev/jitter = {number}/{number} ms\n"
        + r"(?:kernel: rtt \d+\.\d{3} ms, \d+ retransmits, congestion window \d+\n)?"
        + rf"there mean/max = {number}/{number} ms; .*\n"
        + rf"back mean/max = {number}/{number} ms; .*\n"
        + rf"offset [+-]{number} ms \+/- {number} ms: no difference can be seen\n"
        + rf"\n(?:(?:>=|  ) +{number} ms +\d+(?: #+)?\n)+"
    )
    assert re.fullmatch(expected, done.out), done.out
    assert (done.status, done.err) == (0, "")
    assert max(len(line) for line in done.out.splitlines()) <= 80


def test_what_a_stamp_does_to_a_terminal_is_only_shown(ping: Ping) -> None:
    with serving(answer) as port:
        done = ping(f"127.0.0.1:{port}", "--count", 1)
    assert " time=\\x1b[2J \u00e4\n" in done.out
    assert "\noffset unknown: the format of the stamps is none of ctime, iso8601 and unix\n" in done.out


def test_the_text_says_what_is_wrong_with_an_answer(capsys: pytest.CaptureFixture[str]) -> None:
    text = Text(parse(make_parser(), ["host", "--timeout", "1"]))
    run = summary(Counts())
    answered = Result(7, "answered", 0, rtt=2_000_000, size=91, stamps=1, stamp=b"[now] ")
    text.result(run, answered)
    text.result(run, answered._replace(stamps=0))
    text.result(run, answered._replace(stamps=3, late=True))
    text.result(run, answered._replace(outcome="altered", stamps=0, stamp=None))
    text.result(run, Result(8, "lost", 0, reason="why"))
    text.result(run, Result(9, "lost", 0))  # has been said when its time was over
    text.overdue(run, 10)
    assert capsys.readouterr().out.splitlines() == [
        "seq=7 rtt=2.000 ms time=now",
        "seq=7 rtt=2.000 ms merged time=now",
        "seq=7 rtt=2.000 ms LATE chunks=3 time=now",
        "seq=7 rtt=2.000 ms ALTERED time=?",
        "seq=8 lost: why",
        "seq=10 no answer after 1 s",
    ]


@pytest.mark.parametrize(
    ("columns", "expected"),
    [
        (33, ["seq=7 rtt=2.000 ms LATE chunks=3", "seq=8 lost: the server closed the", "    connection"]),
        (16, ["seq=7", "    rtt=2.000 ms", "    LATE", "    chunks=3", "seq=8 lost: the"]),
        (41, ["seq=7 rtt=2.000 ms LATE chunks=3 time=now", "seq=8 lost: the server closed the"]),
    ],
)
def test_the_text_fits_a_terminal(
    columns: int, expected: list[str], monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr("tsserv.ping.outputs.text.terminal_width", lambda stream: columns)
    text = Text(parse(make_parser(), ["host"]))
    result = Result(7, "answered", 0, rtt=2_000_000, size=91, stamps=3, late=True, stamp=b"[now] ")
    text.result(summary(Counts()), result)
    text.result(summary(Counts()), Result(8, "lost", 0, reason="the server closed the connection"))
    assert capsys.readouterr().out.splitlines()[: len(expected)] == expected


def test_a_table_of_targets_fits_a_terminal() -> None:
    rtts = Distribution()
    rtts.add(12_345_000)
    many = summary(Counts(sent=1000, answered=990, lost=10, rtts=rtts))
    none = Summary(UnixPath("/run/tsserv/socket"), Thresholds({}, {}))
    assert table_lines([many, none]) == [
        "",
        "                         sent  lost %     min    mean     max  offset",
        "host:1                   1000       1  12.345  12.345  12.345       -",
        "unix:/run/tsserv/socket     0       0       -       -       -       -",
    ]
    assert table_lines([many, none], 40) == [
        "",
        "  sent  lost %    mean     max  offset",
        "host:1",
        "  1000       1  12.345  12.345       -",
        "unix:/run/tsserv/socket",
        "     0       0       -       -       -",
    ]


def test_csv_has_a_row_for_each_probe(port: int, tmp_path: Path, ping: Ping) -> None:
    path = tmp_path / "probes.csv"
    done = ping(f"127.0.0.1:{port}", *QUICK, "--csv", path, "--json")
    with path.open(newline="") as file:
        rows = list(csv.DictReader(file))
    assert [row["seq"] for row in rows] == ["1", "2", "3"]
    for row, probe in zip(rows, done.probes, strict=True):
        assert {name: "" if value is None else str(value) for name, value in probe.items()} == {
            "type": "probe",
            **row,
        }


@pytest.mark.parametrize(
    ("text", "cell"),
    [
        ('=HYPERLINK("http://h/?"&A1)', "%3DHYPERLINK%28%22http://h/%3F%22%26A1%29"),
        ("@SUM(1)", "%40SUM%281%29"),
        ("+1", "%2B1"),
        ("-1", "%2D1"),
        ("\uff1d1", "%EF%BC%9D1"),  # FULLWIDTH EQUALS SIGN
        ("x;=1", "x%3B%3D1"),
        (" =1", "%20%3D1"),
        ("Mon Nov 23 08:22:38 2026", "Mon Nov 23 08:22:38 2026"),
        ("2026-11-23T08:22:38.250000+00:00", "2026-11-23T08:22:38.250000+00:00"),
        ("1795422158.250000", "1795422158.250000"),
    ],
)
def test_no_stamp_is_a_formula_in_the_csv(text: str, cell: str, tmp_path: Path, ping: Ping) -> None:
    def serve(client: socket.socket) -> None:
        while data := client.recv(65536):
            client.sendall(f"[{text}] ".encode() + data)

    path = tmp_path / "probes.csv"
    with serving(serve) as port:
        done = ping(f"127.0.0.1:{port}", "--count", 1, "--csv", path, "--json")
    with path.open(newline="") as file:
        [row] = csv.DictReader(file)
    assert row["server_time"] == cell
    assert done.probes[0]["server_time"] == text


def test_a_target_is_no_formula_in_a_plot(tmp_path: Path, ping: Ping) -> None:
    path = tmp_path / "run.svg"
    done = ping("$x^$\udcff", "--plot", path, "--nagios")
    assert (done.status, done.err) == (2, "")
    assert ElementTree.parse(path).getroot() is not None


@pytest.mark.parametrize("suffix", ["svg", "png"])
def test_a_plot_is_drawn(suffix: str, port: int, tmp_path: Path, ping: Ping) -> None:
    path = tmp_path / f"run.{suffix}"
    done = ping(f"127.0.0.1:{port}", *QUICK, "--plot", path)
    assert (done.status, done.err) == (0, "")
    if suffix == "svg":
        assert ElementTree.parse(path).getroot().tag == "{http://www.w3.org/2000/svg}svg"
    else:
        assert path.read_bytes().startswith(b"\x89PNG")


def test_a_plot_of_what_was_lost_is_drawn(tmp_path: Path, ping: Ping) -> None:
    def drop(client: socket.socket) -> None:
        client.recv(65536)
        client.sendall(b"[x] ?\n")
        client.recv(65536)
        client.recv(65536)

    path = tmp_path / "run.svg"
    with serving(drop) as port:
        done = ping(f"127.0.0.1:{port}", "--count", 2, "--interval", 0.05, "--timeout", 0.1, "--plot", path)
    assert done.status == 1
    assert ElementTree.parse(path).getroot() is not None


def test_a_plot_keeps_peaks_and_losses_in_bounded_memory() -> None:
    points = Points()
    for number in range(100_000):
        rtt = inf if number == 5 else 50.0 if number in (77, 99_999) else 1.0
        points.add(Point(float(number), rtt, None))
    kept = points()
    assert len(kept) <= 20_000
    assert [(point.sent, point.rtt) for point in kept if point.rtt > 1] == [(5, inf), (77, 50), (99_999, 50)]
    assert [point.sent for point in kept] == sorted(point.sent for point in kept)


@pytest.mark.parametrize(
    ("times", "expected"), [([1], 1), ([1] * 10, 1), (range(1000), 10), ([*range(100), 10**6], 200)]
)
def test_the_bins_of_a_histogram_follow_from_the_data(times: Sequence[int], expected: int) -> None:
    distribution = Distribution()
    for time in times:
        distribution.add(time * 1000)
    assert bins(distribution) == expected


@pytest.mark.parametrize(
    ("options", "status", "level", "limits"),
    [
        ((), 0, "OK", ";"),
        (("--warn", 0), 1, "WARNING", "0;"),
        (("--warn", 0, "--crit", 0), 2, "CRITICAL", "0;0"),
        (("--warn", 5000000, "--crit", "6000000.5"), 0, "OK", "5000000;6000000.5"),
    ],
)
def test_nagios_gets_one_line(
    options: tuple[object, ...], status: int, level: str, limits: str, port: int, ping: Ping
) -> None:
    done = ping(f"127.0.0.1:{port}", *QUICK, "--nagios", *options)
    text = "3 of 3 answered, rta N ms, offset N ms +/- N ms"
    performance = f"rta=Nms;{limits};0 rtmin=Nms;;;0 rtmax=Nms;;;0 pl=0%;0;;0;100 offset=Nms"
    assert re.sub(r"[+-]?\b\d+\.\d{3,6}(?![.\d])", "N", done.out) == (
        f"TSSERV {level} - 127.0.0.1:{port}: {text} | {performance}\n"
    )
    assert (done.status, done.err) == (status, "")


def test_nagios_sends_five_probes_if_it_is_not_told(port: int, ping: Ping) -> None:
    done = ping(f"127.0.0.1:{port}", "--interval", 0.002, "--nagios")
    assert "5 of 5 answered" in done.out


def test_nagios_knows_what_is_critical_and_what_is_unknown(ping: Ping) -> None:
    def drop(client: socket.socket) -> None:
        client.recv(65536)
        client.recv(65536)

    with serving(drop) as port:
        done = ping(f"127.0.0.1:{port}", "--count", 1, "--timeout", 0.1, "--nagios")
    assert (done.status, done.err) == (2, "")
    assert done.out == (
        f"TSSERV CRITICAL - 127.0.0.1:{port}: it takes connections, but does not answer | pl=100%;0;;0;100\n"
    )
    done = ping(f"127.0.0.1:{port}", "--nagios")
    assert (done.status, done.err) == (2, "")
    assert done.out == (
        f"TSSERV CRITICAL - 127.0.0.1:{port}: cannot connect to 127.0.0.1:{port}: "
        f"{os.strerror(errno.ECONNREFUSED)} | pl=100%;0;;0;100\n"
    )
    done = ping("a|b:0", "--nagios")
    assert (done.status, done.err) == (3, "")
    assert done.out == "TSSERV UNKNOWN - '0' is not a port: those are 1 to 65535\n"


@pytest.mark.parametrize(
    ("text", "alerting", "accepted"),
    [
        ("10", [(-2, -1), (11, 12)], [(0, 10), (9, 12), (-1, 1)]),
        ("10:", [(8, 9)], [(10, 11), (9, 11), (1e9, 1e9)]),
        ("~:10", [(11, 12)], [(-1e9, -1e9), (9, 11)]),
        ("-5:10", [(-7, -6), (11, 12)], [(-5, 10), (-6, -4)]),
        ("@5:10", [(5, 10), (6, 7)], [(4, 6), (9, 11), (1, 2)]),
        ("@10", [(0, 1)], [(-1, 1)]),
        (":3", [(-1, -1), (4, 4)], [(0, 3)]),
    ],
)
def test_a_range_alerts_as_nagios_says_and_beyond_doubt(
    text: str, alerting: list[tuple[float, float]], accepted: list[tuple[float, float]]
) -> None:
    name, parsed = limit(f"offset={text}")
    assert (name, parsed.text) == ("offset", text)
    assert all(parsed.alerts(Value(*bounds)) for bounds in alerting)
    assert not any(parsed.alerts(Value(*bounds)) for bounds in accepted)


def test_losses_within_their_limit_are_accepted() -> None:
    counts = Counts(sent=10, answered=9, lost=1)
    values = {"loss": Value(10, 10)}
    for written, expected in ((None, "warning"), ("loss=20", "ok"), ("loss=5", "warning")):
        warning = {} if written is None else dict([limit(written)])
        assert level(values, counts, Thresholds(warning, {}), error=False) == expected
    counts.late = 1
    assert level(values, counts, Thresholds(dict([limit("loss=20")]), {}), error=False) == "warning"


@pytest.mark.parametrize(
    ("options", "status"),
    [
        (("--warn", 0), 1),
        (("--crit", 0), 2),
        (("--crit", 1000000), 0),
        (("--crit", "offset=-1000000:1000000", "--warn", "offset=500000:900000"), 1),
        (("--crit", "offset=@-1000:1000"), 2),
        (("--crit", "loss=1:"), 2),
        (("--warn", "loss=0"), 0),
        (("--crit", "expiry=10:"), 0),
    ],
)
def test_thresholds_decide_the_exit_status(
    options: tuple[object, ...], status: int, port: int, ping: Ping
) -> None:
    assert ping(f"127.0.0.1:{port}", *QUICK, *options).status == status


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        ([], "the following arguments are required: TARGET"),
        ([""], "'' is not HOST, HOST:PORT, IPV6, [IPV6]:PORT or unix:PATH"),
        (["[::1"], "'[::1' is not HOST, HOST:PORT, IPV6, [IPV6]:PORT or unix:PATH"),
        (["h:"], "'' is not a port: those are 1 to 65535"),
        (["h:65536"], "'65536' is not a port: those are 1 to 65535"),
        (["[::1]:x"], "'x' is not a port: those are 1 to 65535"),
        (["h", "--count", "1", "65536"], "'65536' is not a port: those are 1 to 65535"),
        (["1"], "'1' is a port, and has no host before it"),
        (["h:1", "2"], "'2' is a port, and has no host before it"),
        (["unix:/s", "2"], "'2' is a port, and has no host before it"),
        (["h", "--count", "0"], "-c/--count: '0' is not a whole number from 1 to 1000000000"),
        (["h", "--interval", "0"], "-i/--interval: '0' is not a number from 0.001 to 86400"),
        (["h", "--timeout", "nan"], "-W/--timeout: 'nan' is not a number from 0.001 to 86400"),
        (["h", "--size", "31"], "-s/--size: '31' is not a whole number from 32 to 65536"),
        (["h", "--count"], "-c/--count: expected one argument"),
        (["h", "-4", "-6"], "-6: not allowed with argument -4"),
        (["h", "--json", "--nagios"], None),
        (["h", "--cafile", "x"], "--cafile: only with --tls"),
        (["h", "--insecure"], "--insecure: only with --tls"),
        (
            ["h", "--tls", "--cafile", "x", "--insecure"],
            "--cafile: not with --insecure",
        ),
        (["h", "--tls", "--cafile", "nowhere"], "--cafile: cannot read 'nowhere': No such file or directory"),
        (["h", "--tls", "--cafile", os.devnull], f"--cafile: cannot read '{os.devnull}': "),
        (["h", "--tls", "--servername", ".x"], "--servername: '.x' is not the name of a host"),
        (["h", "--tls", "--servername", ""], "--servername: '' is not the name of a host"),
        (["h", "--connections", "2"], "--connections: only with --flood"),
        (["h", "--duration", "2"], "--duration: only with --flood"),
        (["h", "--flood", "--count", "2"], "--count: not with --flood"),
        (["h", "--once", "--reconnect"], "--once: not with --reconnect"),
        (["h", "--flood", "--csv", "x"], "--csv: not with --flood"),
        (["h", "--flood", "--deadline", "2"], "--deadline: not with --flood"),
        (["h", "--flood", "-q"], "--quiet: not with --flood"),
        (["h", "--json", "-q"], "--quiet: not with --json"),
        (["h", "--json", "-D"], "--timestamps: not with --json"),
        (["h", "-q", "-D"], "--timestamps: not with --quiet"),
        (["h", "-w", "0"], "-w/--deadline: '0' is not a number from 0.001 to 31622400"),
        (["h:1", "unix:x", "[::1]:2", "--port", "3"], "--port: there is no HOST without a port"),
        (["h", "--port", "0"], "--port: '0' is not a whole number from 1 to 65535"),
        (["h", "--source", "h"], "--source: 'h' is not an IP address"),
        (["h", "--source", "::1", "-6"], "-4 and -6: not with --source"),
        (["h", "--interface", "no such"], "--interface: "),
        (["h", "--interface", "a\0"], "--interface: "),
        (["h", "--tos", "256"], "--tos: '256' is not a multiple of 4 from 0 to 252, or from 0x00 to 0xfc"),
        (["h", "--tos", "0x01"], "--tos: '0x01' is not a multiple of 4 "),
        (["h", "--tos", "x"], "--tos: 'x' is not a multiple of 4 "),
        (["h", "--proxy-header", "v3"], "--proxy-header: invalid choice: 'v3' "),
        (["h", "--certificate", "x"], "--certificate: only with --tls"),
        (["h", "--tls", "--private-key", "x"], "--private-key: only with --certificate"),
        (["unix:x", "--tls"], "--tls: unix:PATH has no name to verify: needs --servername or --insecure"),
        (["unix:x", "-4"], "-4 and -6: not with unix:PATH"),
        (["unix:x", "--source", "::1"], "--source: not with unix:PATH"),
        (["unix:x", "--tos", "4"], "--tos: not with unix:PATH"),
        (["h", "--warn", "3", "--crit", "2.5"], "--warn: rtt=3 ends above --crit, rtt=2.5"),
        (
            ["h", "--warn", "x=1"],
            "--warn: 'x=1' is not [NAME=]RANGE: a name is one of rtt, loss, offset, expiry, ",
        ),
        (["h", "--warn", "nan"], "--warn: 'nan' is not [NAME=]RANGE: "),
        (["h", "--crit", "loss="], "--crit: 'loss=' is not [NAME=]RANGE: "),
        (["h", "--crit", "2:1"], "--crit: '2:1' begins above its end"),
        (["h", "--plot", "x.gif"], "--plot: 'x.gif' does not end in .svg or .png"),
        (["h", "--plot", "nowhere/x.svg"], "cannot write nowhere/x.svg: No such file or directory"),
        (["h", "--csv", "."], "cannot write .: Is a directory"),
    ],
)
def test_bad_options_get_one_line(
    arguments: list[str], message: str | None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ping: Ping
) -> None:
    monkeypatch.chdir(tmp_path)
    done = ping(*arguments)
    if message is None:
        assert (done.status, done.err) == (3, "")
        assert done.out == "TSSERV UNKNOWN - --nagios: not allowed with argument --json\n"
        return
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith(f"tsserv-ping: {message}")
    assert done.err.endswith(" (see tsserv-ping --help)\n")
    assert done.err.count("\n") == 1
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("words", "expected"),
    [
        ("h", [HostPort("h", 7)]),
        ("h:1", [HostPort("h", 1)]),
        ("h 1", [HostPort("h", 1)]),
        ("a 1 b c:2 d 3", [HostPort("a", 1), HostPort("b", 7), HostPort("c", 2), HostPort("d", 3)]),
        ("::1", [HostPort("::1", 7)]),
        ("::1 8", [HostPort("::1", 8)]),
        ("[::1]", [HostPort("::1", 7)]),
        ("[::1] 8", [HostPort("::1", 8)]),
        ("[::1]:8", [HostPort("::1", 8)]),
        ("fe80::1%eth0", [HostPort("fe80::1%eth0", 7)]),
        ("unix:/run/a:1 h", [UnixPath("/run/a:1"), HostPort("h", 7)]),
    ],
)
def test_words_name_targets(words: str, expected: list[Endpoint]) -> None:
    assert targets(words.split(), 7) == expected


def test_a_plot_needs_matplotlib(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, port: int, ping: Ping
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib.figure", None)
    done = ping(f"127.0.0.1:{port}", "--plot", tmp_path / "run.svg")
    assert list(tmp_path.iterdir()) == []
    assert (done.status, done.out) == (2, "")
    assert done.err.startswith("tsserv-ping: --plot: needs matplotlib: pip install matplotlib ")


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="this system has no /dev/full")
def test_a_full_disk_loses_nothing_but_the_file(
    port: int, tmp_path: Path, ping: Ping, monkeypatch: pytest.MonkeyPatch
) -> None:
    done = ping(f"127.0.0.1:{port}", *QUICK, "--csv", "/dev/full")
    assert done.status == 1
    assert "\n1 sent, 1 answered, " in done.out
    assert done.err == (
        f"tsserv-ping: 127.0.0.1:{port}: cannot write the output: {os.strerror(errno.ENOSPC)}\n"
    )
    (tmp_path / "full.png").symlink_to("/dev/full")
    done = ping(f"127.0.0.1:{port}", *QUICK, "--plot", tmp_path / "full.png")
    assert done.status == 1
    assert "\n3 sent, 3 answered, " in done.out
    assert f": cannot write the output: {os.strerror(errno.ENOSPC)}\n" in done.err


def test_help_imports_neither_twisted_nor_matplotlib() -> None:
    code = (
        "import sys; from tsserv.ping.command import main\n"
        "try: main(['--help'])\n"
        "except SystemExit: print({'twisted', 'zope', 'matplotlib'} & {m.split('.')[0] for m in sys.modules})"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.endswith("\nset()\n")
    lines = done.stdout.splitlines()[:-1]
    assert all(len(line) <= 80 for line in lines)
    assert len(lines) <= 76  # a screen and a half


def test_the_version(ping: Ping) -> None:
    done = ping("--version")
    assert (done.status, done.out) == (0, f"tsserv-ping {importlib.metadata.version('tsserv')}\n")


def test_a_manual_page_and_an_archive_are_installed(port: int, ping: Ping) -> None:
    options = re.findall(r"^  (?:-\w(?: \w+)?, )?(--(?!help)[a-z-]+)", ping("--help").out, re.MULTILINE)
    assert len(options) == 33
    files = importlib.metadata.files("tsserv") or []
    installed = {path.name: path for path in files if "share" in path.parts}
    archive = installed["tsserv-ping.pyz"]
    page = installed["tsserv-ping.1"].read_text()
    assert [option for option in options if option not in page.replace("\\-", "-")] == []
    assert all(f".SH {title}\n" in page for title in ("Exit status", "Examples", "See also"))
    # Without site-packages nothing but Python is left.
    command = [sys.executable, "-I", "-S", str(archive.locate())]
    version = subprocess.run([*command, "--version"], capture_output=True, text=True)
    assert (version.stdout, version.stderr) == (ping("--version").out, "")
    run = subprocess.run([*command, f"127.0.0.1:{port}", "--count=1"], capture_output=True, text=True)
    assert (run.returncode, run.stderr) == (0, "")
    assert "\n1 sent, 1 answered, " in run.stdout
    wrong = subprocess.run([*command, "host:0"], capture_output=True)
    assert wrong.returncode == 2


def summary(counts: Counts, offset: Offset | None = None) -> Summary:
    """Return the summary of a run of a second."""
    return Summary(HostPort("host", 1), Thresholds({}, {}), counts, offset or Offset(), seconds=1.0)


def test_the_summary_has_every_count_that_is_not_zero() -> None:
    counts = Counts(
        sent=12,
        answered=4,
        altered=2,
        lost=5,
        pending=1,
        late=3,
        merged=6,
        split=7,
        doubled=8,
        stray=9,
        outages=2,
        away=1.25,
    )
    lines = summary_lines(summary(counts))
    assert lines[2] == "12 sent, 4 answered, 5 lost (41.7 %), 1.0 s"
    assert [line.partition(":")[0] for line in lines[3:] if line] == [
        "2 altered",
        "3 late",
        "8 doubled",
        "9 stray",
        "6 merged",
        "7 split",
        "1 pending",
        "2 outages",
    ]
    assert lines[-1] == "2 outages: the service was away for 1.2 s"


@pytest.mark.parametrize(
    ("bounds", "meaning"),
    [((-10, 20), "no difference can be seen"), ((10, 20), "ahead"), ((-20, -10), "behind")],
)
def test_the_summary_says_what_the_offset_means(bounds: tuple[int, int], meaning: str) -> None:
    offset = Offset()
    offset.best = Bounds(*bounds)
    counts = Counts(answered=1)
    counts.rtts.add(1000)
    assert summary_lines(summary(counts, offset))[-1].endswith(meaning)


def test_the_summary_has_a_drift_once_it_can_be_told() -> None:
    offset = Offset()
    counts = Counts(answered=1)
    counts.rtts.add(1000)
    for second in (0, 100):
        sent = 1795422158 + second
        offset.add(b"[%d.%06d] " % (sent, 20 * second), sent * 10**9, 1000)
        lines = summary_lines(summary(counts, offset))
        assert any(line.startswith("drift +20.0 ppm +/- 15.") for line in lines) == bool(second)


@pytest.mark.parametrize(
    ("low", "high", "text"),
    [
        (-41_000, 51_000, "+0.005 ms +/- 0.046 ms"),
        (-500_000_000, 500_000_000, "+0.000 ms +/- 500.000 ms"),
        (-2_000_000_000, -1_000_000_000, "-1.500 s +/- 0.500 s"),
        (1_000_000_000, 1_000_010_000, "+1.000005 s +/- 0.000005 s"),
    ],
)
def test_an_offset_has_as_many_digits_as_its_uncertainty_is_worth(low: int, high: int, text: str) -> None:
    assert offset_text(Bounds(low, high)) == text


def test_statistics_of_a_distribution() -> None:
    times = Distribution()
    assert times.statistics() == {}
    for time in range(100, 0, -1):
        times.add(time * 1_000_000)
    statistics = times.statistics()
    assert statistics.pop("stddev") == pytest.approx(28.866, abs=0.001)
    exact = {"min": 1, "median": 50, "mean": 50.5, "p90": 90, "p99": 99, "max": 100, "jitter": 1}
    assert statistics == {name: pytest.approx(value, rel=1 / 2048) for name, value in exact.items()}
    assert [statistics[name] for name in ("min", "mean", "max", "jitter")] == [1, 50.5, 100, 1]
    assert len(times) == 100


def test_one_time_has_statistics_too() -> None:
    times = Distribution()
    times.add(1499)
    assert set(times.statistics().values()) == {0.001, 0}


@given(st.lists(st.integers(0, 10**14), min_size=1))
def test_a_percentile_is_off_by_at_most_one_in_2048(nanoseconds: list[int]) -> None:
    times = Distribution()
    for time in nanoseconds:
        times.add(time)
    ordered = sorted(nanoseconds)
    for percent in (50, 90, 99):
        exact = ordered[-(-len(ordered) * percent // 100) - 1] / 1e6
        assert abs(times.percentile(percent) - exact) <= exact / 2047 + 0.000501


def test_percentiles_need_enough_times() -> None:
    times = Distribution()
    for count in range(1, 101):
        times.add(count)
        percentiles = times.statistics().keys() & {"p90", "p99"}
        assert percentiles == ({"p90", "p99"} if count > 99 else {"p90"} if count > 9 else set())


def test_the_memory_of_a_distribution_is_bounded() -> None:
    times = Distribution()
    for exponent in range(1, 1000):
        for step in range(200):
            times.add(round(10 ** (exponent / 72) * (1 + step / 200)))
    assert len(times.buckets) < 1024 * 40


def test_the_histogram_fits_a_narrow_terminal() -> None:
    times = Distribution()
    for time in range(1000, 1100):
        times.add(time * 1000)
    assert max(len(line) for line in histogram_lines(times, 40)) <= 40


def test_the_histogram_counts_everything_once() -> None:
    times = Distribution()
    for time in [*range(1000, 2000), 90_000]:
        times.add(time * 1000)
    lines = histogram_lines(times)
    assert len(lines) == 13
    assert sum(int(line.removeprefix(">=").split()[2]) for line in lines) == 1001
    assert lines[0] == f"       1.000 ms       83 {'#' * 50}"
    assert lines[-1] == f">=     1.996 ms        5 {'#' * 4}"
    assert histogram_lines(Distribution()) == []


@pytest.mark.parametrize(
    ("counts", "expected"),
    [
        (Counts(answered=1), ("ok", 0)),
        (Counts(answered=1, pending=1, merged=1, split=1), ("ok", 0)),
        (Counts(answered=1, lost=1), ("warning", 1)),
        (Counts(answered=1, altered=1), ("warning", 1)),
        (Counts(answered=1, late=1), ("warning", 1)),
        (Counts(answered=1, doubled=1), ("warning", 1)),
        (Counts(answered=1, stray=1), ("warning", 1)),
        (Counts(pending=1), ("critical", 1)),
        (Counts(lost=1), ("critical", 1)),
    ],
)
def test_levels_and_statuses(counts: Counts, expected: tuple[str, int]) -> None:
    if counts.answered:
        counts.rtts.add(1000)
    verdict = level({}, counts, Thresholds({}, {}), error=False)
    assert (verdict, exit_status(verdict, counts)) == expected


def test_the_json_is_one_object_a_line(port: int, ping: Ping) -> None:
    lines = ping(f"127.0.0.1:{port}", *QUICK, "--json").out.splitlines()
    assert [json.loads(line)["type"] for line in lines] == ["probe"] * 3 + ["summary"]
