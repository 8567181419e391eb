"""The web server of ``--status``, in memory: what it answers, and what its clients may cost."""

from __future__ import annotations

from typing import cast

import pytest
from twisted.application.service import Service
from twisted.internet.error import ConnectionDone
from twisted.internet.task import Clock
from twisted.python.failure import Failure
from web import Browser, get

from tsserv.status.figures import Figures
from tsserv.status.root import Root
from tsserv.status.site import StatusSite

REQUEST = b"GET /live HTTP/1.1\r\nHost: x\r\n\r\n"


def site(clock: Clock | None = None) -> StatusSite:
    """Return the site of a service."""
    return StatusSite(Root(Service(), cast(Figures, None)), clock or Clock())


def test_a_page_is_for_get_and_head() -> None:
    status, fields, body = get(site(), "/live")
    assert (status, body) == (200, "alive\n")
    assert fields["Content-Type"] == "text/plain; charset=utf-8"
    assert get(site(), "/nowhere")[0] == 404
    head, _, body_of_head = Browser(site()).send(REQUEST.replace(b"GET", b"HEAD")).partition(b"\r\n\r\n")
    assert (head.split()[1], body_of_head) == (b"200", b"")
    for method in (b"POST", b"PUT", b"DELETE"):
        assert b" 405 " in Browser(site()).send(REQUEST.replace(b"GET", method))


def test_a_connection_is_for_one_request() -> None:
    browser = Browser(site())
    assert browser.send(REQUEST * 3).count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: close\r\n" in browser.transport.value()
    assert browser.closed
    assert Browser(site()).send(b"GET /live HTTP/1.0\r\n\r\n").startswith(b"HTTP/1.0 200 OK\r\n")


def test_it_ends_after_ten_seconds_whatever_has_come() -> None:
    clock = Clock()
    where = site(clock)
    silent, slow, deaf = Browser(where), Browser(where), Browser(where)
    slow.send(REQUEST[:-2])
    deaf.send(REQUEST)
    for _ in range(10):
        assert not any(browser.transport.disconnected for browser in (silent, slow, deaf))
        slow.send(b"X: y\r\n")
        clock.advance(1)
    assert all(browser.transport.disconnected for browser in (silent, slow, deaf))


def test_one_that_ends_leaves_no_timer() -> None:
    clock = Clock()
    browser = Browser(site(clock))
    browser.send(REQUEST)
    browser.channel.connectionLost(Failure(ConnectionDone()))
    assert clock.getDelayedCalls() == []


@pytest.mark.parametrize("greedy", [b"GET /" + b"x" * 20_000, REQUEST[:-2] + b"X: " + b"x" * 20_000])
def test_a_request_has_a_greatest_length(greedy: bytes) -> None:
    browser = Browser(site())
    browser.send(greedy + b"\r\n\r\n")
    assert browser.closed
    assert b" 200 " not in browser.transport.value()


def test_a_body_is_not_kept() -> None:
    browser = Browser(site())
    browser.send(REQUEST[:-2] + b"Content-Length: 1000000\r\n\r\n")
    for _ in range(9):
        browser.send(b"x" * 100_000)
    [request] = browser.channel.requests
    assert request.content.getvalue() == b""
    assert browser.send(b"x" * 100_000).startswith(b"HTTP/1.1 200 OK\r\n")


def test_the_oldest_connection_makes_room_for_a_new_one() -> None:
    where = site()
    browsers = [Browser(where) for _ in range(10)]
    assert not any(browser.closed for browser in browsers)
    newest = Browser(where)
    assert [browser.closed for browser in browsers] == [True] + [False] * 9
    assert newest.send(REQUEST).startswith(b"HTTP/1.1 200 OK\r\n")
    newest.channel.connectionLost(Failure(ConnectionDone()))
    Browser(where)
    assert [browser.closed for browser in browsers] == [True] + [False] * 9


def test_health_checks_leave_no_line_in_any_log(logged: list[str]) -> None:
    where = site()
    where.doStart()
    get(where, "/live")
    where.doStop()
    assert logged == []
