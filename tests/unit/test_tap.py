"""The command line, without a process."""

from __future__ import annotations

import os
import re
import select
import stat
from ipaddress import ip_network
from pathlib import Path

import pytest
from twisted.application.internet import TCPServer
from twisted.application.service import IServiceMaker, MultiService
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from zope.interface.verify import verifyObject

from tsserv.connections.admission import most_connections
from tsserv.layers.proxy import LOOPBACK, ProxyFactory
from tsserv.net.listeners import EndpointListener
from tsserv.net.reactor import EagerReactor
from tsserv.ops.logfile import LogFile
from tsserv.stamp import Stamp
from tsserv.tap import Options, makeService

RANGE = "is not a whole number from 0 to 2147483647"
SECONDS = "is not a number of seconds from 0 to 31536000"


def parse(*arguments: str) -> Options:
    """Return the options that ``arguments`` give."""
    options = Options()
    options.parseOptions(arguments)
    return options


def test_defaults() -> None:
    options = dict(parse())
    assert options.pop("stamp")() == Stamp()()
    assert options == {
        "port": 21567,
        "interface": None,
        "backlog": 4096,
        "logfile": None,
        "framing": "chunk",
        "time-format": "ctime",
        "listen": [],
        "certificate": None,
        "private-key": None,
        "client-ca": None,
        "credentials": None,
        "proxy-trust": LOOPBACK,
        "log-format": "text",
        "log-connections": "both",
        "utc": 0,
        "reuse-port": 0,
        "no-eager": 0,
        "max-connections": most_connections(),
        "max-connections-per-host": 0,
        "idle-timeout": 0.0,
        "stall-timeout": 60.0,
        "drain-timeout": 5.0,
    }


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--port=0", 0),
        ("-p65535", 65535),
        ("--interface=::", "::"),
        ("-i127.0.0.1", "127.0.0.1"),
        ("--backlog=1", 1),
        ("--framing=line", "line"),
        ("--time-format=%H", "%H"),
        ("--utc", 1),
        ("--no-eager", 1),
        ("--max-connections=1", 1),
        ("--max-connections-per-host=1", 1),
        ("--idle-timeout=0.25", 0.25),
        ("--stall-timeout=31536000", 31536000.0),
        ("--drain-timeout=0", 0.0),
    ],
)
def test_every_option_takes_its_value(argument: str, value: object) -> None:
    short = {"-p": "port", "-i": "interface"}
    name = short.get(argument[:2]) or argument[2:].partition("=")[0]
    assert parse(argument)[name] == value


def test_the_stamp_is_that_of_the_time_format() -> None:
    assert re.fullmatch(rb"\[.{26}\+00:00\] ", parse("--time-format=iso8601", "--utc")["stamp"]())


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--port=abc"], "--port: 'abc' is not a whole number from 0 to 65535"),
        (["--port="], "--port: '' is not a whole number from 0 to 65535"),
        (["--port=-1"], "--port: '-1' is not a whole number from 0 to 65535"),
        (["--port=65536"], "--port: '65536' is not a whole number from 0 to 65535"),
        (["--port=" + "9" * 5000], f"--port: '{'9' * 5000}' is not a whole number from 0 to 65535"),
        (["--port=8_0"], "--port: '8_0' is not a whole number from 0 to 65535"),
        (["--port=\u0668\u0660"], "--port: '\u0668\u0660' is not a whole number from 0 to 65535"),
        (["--port=nan"], "--port: 'nan' is not a whole number from 0 to 65535"),
        (["--backlog=0"], "--backlog: '0' is not a whole number from 1 to 2147483647"),
        (["--backlog=2147483648"], "--backlog: '2147483648' is not a whole number from 1 to 2147483647"),
        (["--interface="], "--interface: '' is not an IPv4 or IPv6 address"),
        (["--interface=eth0"], "--interface: 'eth0' is not an IPv4 or IPv6 address"),
        (["--interface=[::1]"], "--interface: '[::1]' is not an IPv4 or IPv6 address"),
        (["--interface=\udcff"], "--interface: '\\udcff' is not an IPv4 or IPv6 address"),
        (["--framing=lines"], "--framing: 'lines' is not one of chunk, line"),
        (["--time-format=x"], "--time-format: 'x': not ctime, iso8601, unix or a pattern with a % in it"),
        (["--time-format=%n"], "--time-format: '%n': gives '\\n'; a stamp holds no newline and no ']'"),
        (["--max-connections=0"], "--max-connections: '0' is not a whole number from 1 to 2147483647"),
        (["--max-connections-per-host=-1"], f"--max-connections-per-host: '-1' {RANGE}"),
        *(
            ([f"--{name}-timeout={text}"], f"--{name}-timeout: {text!r} {SECONDS}")
            for name in ("idle", "stall", "drain")
            for text in ("", "-1", "nan", "inf", "1e3", "31536001", "1s", ".5")
        ),
        (["--port"], "option --port requires argument"),
        (["--speed=9"], "option --speed not recognized"),
        (["-x"], "option -x not recognized"),
        (["21567"], "unexpected argument '21567'"),
        (
            ["--listen=tcp:x"],
            "--listen: 'tcp:x': not an endpoint: invalid literal for int() with base 10: 'x'",
        ),
        (
            ["--proxy-trust=192.0.2.1,192.0.2.1/24"],
            "--proxy-trust: 192.0.2.1/24 has host bits set",
        ),
        (["--proxy-trust="], "--proxy-trust: '' does not appear to be an IPv4 or IPv6 network"),
        (
            ["--proxy-trust=::1", "--listen=tcp:0"],
            "--proxy-trust: nothing takes PROXY headers; give --listen proxy+...",
        ),
        (
            ["--reuse-port", "--no-eager"],
            "--reuse-port: Twisted's own way through the reactor does not have it",
        ),
        (["--certificate=x"], "--certificate: nothing listens with TLS; give --listen tls+..."),
        (["--client-ca=x", "--listen=tcp:0"], "--client-ca: nothing listens with TLS; give --listen tls+..."),
        (["--listen=tls+tcp:0"], "--listen: TLS needs --certificate"),
        (
            ["--listen=tls+tcp:0", "--certificate=/nowhere/x"],
            "--certificate: cannot read '/nowhere/x': No such file or directory",
        ),
        (["--log-format=xml"], "--log-format: 'xml' is not one of text, json"),
        (["--log-format=json"], "--log-format: json is what --logfile may hold; twistd's own log is text"),
        (["--log-connections=all"], "--log-connections: 'all' is not one of both, open, close, none"),
        (["--logfile=-"], "--logfile: '-' is not a file; twistd -n logs to standard output anyway"),
        (["--logfile="], "--logfile: cannot open '': Is a directory"),
        (["--logfile=/nowhere/log"], "--logfile: cannot open '/nowhere/log': No such file or directory"),
    ],
)
def test_bad_values_are_usage_errors_that_name_the_option(arguments: list[str], message: str) -> None:
    with pytest.raises(UsageError) as caught:
        parse(*arguments)
    assert str(caught.value) == message


def test_the_log_file_is_appended_to_and_left_alone_by_bad_input(tmp_path: Path) -> None:
    path = tmp_path / "log"
    with pytest.raises(UsageError):
        parse(f"--logfile={path}", "--port=x")
    with pytest.raises(UsageError):
        parse(f"--logfile={path}", "stray")
    assert not path.exists()
    path.write_text("before\n")
    with parse(f"--logfile={path}")["logfile"] as file:
        file.write(b"after\n")
    assert path.read_text() == "before\nafter\n"


def test_the_umask_decides_who_may_read_the_log_file(tmp_path: Path) -> None:
    before = os.umask(0o026)
    try:
        parse("--logfile", str(tmp_path / "log"))["logfile"].close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o640


def test_more_connections_than_descriptors_are_refused() -> None:
    most = most_connections()
    assert parse(f"--max-connections={most}")["max-connections"] == most
    with pytest.raises(UsageError) as caught:
        parse(f"--max-connections={most + 1}")
    assert str(caught.value) == (
        f"--max-connections: {most + 1} is more than the {most} "
        "for which the process has descriptors (ulimit -n)"
    )


def test_the_service_is_a_multiservice_around_a_tcp_server() -> None:
    service = makeService(parse("--port=0"))
    assert isinstance(service, MultiService)
    [listener] = [part for part in service if isinstance(part, TCPServer)]
    assert (listener.args[0], listener.kwargs) == (0, {"interface": "0.0.0.0", "backlog": 4096})


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll")
def test_the_listener_is_eager_unless_told_not_to() -> None:
    eager, plain = (
        next(part for part in makeService(parse(*options)) if isinstance(part, TCPServer))
        for options in ([], ["--no-eager"])
    )
    assert isinstance(eager.reactor, EagerReactor)
    assert plain.reactor is eager.reactor._reactor


def test_the_log_file_is_the_parent_of_all(tmp_path: Path) -> None:
    config = parse("--logfile", str(tmp_path / "log"))
    service = makeService(config)
    config["logfile"].close()
    assert isinstance(service, LogFile)
    assert [type(part).__name__ for part in service] == ["Connections", "Signals", "Listener", "Notifier"]


@pytest.mark.parametrize(
    ("options", "listeners"),
    [
        (["--listen=tcp:0"], ["EndpointListener"]),
        (["--listen=tcp:0", "--listen=unix:sock"], ["EndpointListener"] * 2),
        (["--listen=tcp:0", "--port=0"], ["Listener", "EndpointListener"]),
    ],
)
def test_the_port_is_listened_on_beside_endpoints_only_if_it_is_given(
    options: list[str], listeners: list[str]
) -> None:
    names = [type(part).__name__ for part in makeService(parse(*options))]
    assert [name for name in names if "Listener" in name] == listeners


def test_only_listeners_with_proxy_before_them_take_headers() -> None:
    service = makeService(
        parse("--listen=proxy+tcp:0", "--listen=tcp:0", "--proxy-trust=10.0.0.0/28,2001:db8::5")
    )
    proxied, plain = (part._factory for part in service if isinstance(part, EndpointListener))
    assert isinstance(proxied, ProxyFactory)
    assert plain is proxied._wrapped
    assert proxied._trusted == [ip_network("10.0.0.0/28"), ip_network("2001:db8::5")]


def test_the_plugin_is_found_and_leads_here() -> None:
    [plugin] = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "tsserv"]
    assert verifyObject(IServiceMaker, plugin)
    assert plugin.options is Options
    assert plugin.makeService is makeService
