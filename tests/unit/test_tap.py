"""The command line, without a process."""

from __future__ import annotations

import gc
import os
import re
import select
import stat
import sys
import time
from ipaddress import ip_network
from pathlib import Path
from typing import Any

import pytest
from certificates import Files
from twisted.application.internet import TCPServer
from twisted.application.service import IServiceMaker, MultiService, Service
from twisted.internet.defer import Deferred
from twisted.internet.testing import MemoryReactorClock
from twisted.plugin import getPlugins
from twisted.python.usage import CompleteFiles, CompleteList, UsageError
from zope.interface.verify import verifyObject

from tsserv.combinations import without_effect
from tsserv.connections.limits import most_connections
from tsserv.layers.proxy import ProxyFactory
from tsserv.net.endpoints import Place
from tsserv.net.reactor import EagerReactor, PlainReactor
from tsserv.optiontable import OPTIONS, PROXY_TRUST
from tsserv.tap import Options, makeService

TLS = ["--certificate={certificate}", "--private-key={key}"]
RANGE = "is not a whole number from 0 to 2147483647"
SECONDS = "is not 0 or a number of seconds from 0.01 to 31536000"


def parse(*arguments: str) -> Options:
    """Return the options that ``arguments`` give."""
    options = Options()
    options.parseOptions(arguments)
    return options


def test_defaults() -> None:
    options = dict(parse())
    assert time.strptime(options.pop("stamp")().decode(), "[%a %b %d %H:%M:%S %Y] ")
    assert options == {
        "port": 21567,
        "interface": None,
        "backlog": 4096,
        "socket-buffer": 262144,
        "logfile": None,
        "framing": "chunk",
        "time-format": "ctime",
        "listen": [],
        "status": None,
        "certificate": None,
        "private-key": None,
        "client-ca": None,
        "credentials": None,
        "proxy-trust": PROXY_TRUST,
        "log-format": "text",
        "log-connections": "both",
        "utc": 0,
        "reuse-port": 0,
        "no-eager": 0,
        "check": 0,
        "max-connections": most_connections(),
        "max-connections-per-host": 0,
        "idle-timeout": 0.0,
        "stall-timeout": 60.0,
        "drain-timeout": 5.0,
        "drain-delay": 0.0,
    }


@pytest.mark.parametrize(
    ("argument", "value"),
    [
        ("--port=0", 0),
        ("-p65535", 65535),
        ("--interface=::", "::"),
        ("-i127.0.0.1", "127.0.0.1"),
        ("--backlog=1", 1),
        ("--socket-buffer=0", 0),
        ("--framing=line", "line"),
        ("--time-format=%H", "%H"),
        ("--utc", 1),
        ("--no-eager", 1),
        ("--max-connections=1", 1),
        ("--max-connections-per-host=1", 1),
        ("--idle-timeout=0.25", 0.25),
        ("--stall-timeout=31536000", 31536000.0),
        ("--drain-timeout=0", 0.0),
        ("--drain-timeout=0.01", 0.01),
        ("--drain-delay=10", 10.0),
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
        (["--socket-buffer=64k"], f"--socket-buffer: '64k' {RANGE}"),
        (["--interface="], "--interface: '' is not an IPv4 or IPv6 address"),
        (["--interface=eth0"], "--interface: 'eth0' is not an IPv4 or IPv6 address"),
        (["--interface=[::1]"], "--interface: '[::1]' is not an IPv4 or IPv6 address"),
        (["--interface=\udcff"], "--interface: '\\udcff' is not an IPv4 or IPv6 address"),
        (["--framing=lines"], "--framing: 'lines' is not one of chunk, line"),
        (["--time-format=x"], "--time-format: 'x': not ctime, iso8601, unix or a pattern with a % in it"),
        (["--time-format=%n"], "--time-format: '%n': gives '\\n'; a stamp holds no newline and no ']'"),
        (["--time-format=%9000d"], "--time-format: '%9000d': gives nothing"),
        (["--max-connections=0"], "--max-connections: '0' is not a whole number from 1 to 2147483647"),
        (["--max-connections-per-host=-1"], f"--max-connections-per-host: '-1' {RANGE}"),
        *(
            ([f"--{name}-timeout={text}"], f"--{name}-timeout: {text!r} {SECONDS}")
            for name in ("idle", "stall", "drain")
            for text in ("", "-1", "nan", "inf", "1e3", "31536001", "1s", ".5", "0.0099", "0.0000000001")
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
        (["--listen=tls+tcp:0"], "--listen: TLS needs --certificate"),
        (
            ["--listen=tls+tcp:0", "--certificate=/nowhere/x"],
            "--certificate: cannot read '/nowhere/x': No such file or directory",
        ),
        (["--log-format=xml"], "--log-format: 'xml' is not one of text, json"),
        (["--log-connections=all"], "--log-connections: 'all' is not one of both, open, close, none"),
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
    config = parse(f"--logfile={path}")
    assert config["logfile"] == str(path)
    with config["open-logfile"] as file:
        file.write(b"after\n")
    assert path.read_text() == "before\nafter\n"


def test_the_umask_decides_who_may_read_the_log_file(tmp_path: Path) -> None:
    before = os.umask(0o026)
    try:
        parse("--logfile", str(tmp_path / "log"))["open-logfile"].close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o640


def test_every_listener_takes_a_descriptor_from_the_connections() -> None:
    config = parse("--port=0", "--listen=tcp:0", "--listen=tcp:0")
    assert config["max-connections"] == most_connections() - 2


def test_more_connections_than_descriptors_are_refused() -> None:
    most = most_connections()
    assert parse(f"--max-connections={most}")["max-connections"] == most
    with pytest.raises(UsageError) as caught:
        parse(f"--max-connections={most + 1}")
    assert str(caught.value) == (
        f"--max-connections: {most + 1} is more than the {most} "
        "for which the process has file descriptors (ulimit -n)"
    )


# Options, and the same with other options in whose presence the first has no effect.
COMBINATIONS = [
    ("--interface=::1", [], ["--listen=tcp:0"]),
    ("--backlog=9", ["--listen=tcp:0"], ["--listen=tcp:0:backlog=3"]),
    ("--socket-buffer=9", ["--port=0", "--listen=unix:sock"], ["--listen=unix:sock"]),
    ("--reuse-port", ["--listen=tcp:0"], ["--listen=unix:sock"]),
    ("--reuse-port", [], ["--no-eager"]),
    ("--certificate={certificate}", ["--listen=tls+tcp:0", "--private-key={key}"], []),
    ("--certificate={certificate}", ["--listen=tls+tcp:0", "--private-key={key}"], ["--listen=tcp:0"]),
    ("--private-key={key}", ["--listen=tls+tcp:0", "--certificate={certificate}"], ["--listen=tcp:0"]),
    (
        "--client-ca={root}",
        ["--listen=tls+tcp:0", "--certificate={certificate}", "--private-key={key}"],
        ["--listen=proxy+tcp:0"],
    ),
    ("--proxy-trust=::1", ["--listen=proxy+tcp:0"], ["--listen=tcp:0"]),
    ("--proxy-trust=::1", ["--listen=proxy+tls+tcp:0", *TLS], ["--listen=proxy+unix:sock"]),
    ("--max-connections-per-host=9", ["--port=0", "--listen=unix:sock"], ["--listen=unix:sock"]),
    ("--max-connections-per-host=9", ["--listen=proxy+unix:sock"], ["--listen=unix:sock"]),
    ("--utc", ["--time-format=%H"], ["--time-format=unix"]),
    ("--logfile={log}", [], None),
    ("--log-format=json", ["--logfile={log}"], []),
]


@pytest.mark.parametrize(("option", "useful", "useless"), COMBINATIONS)
def test_options_without_effect_are_refused(
    option: str, useful: list[str], useless: list[str] | None, files: Files, tmp_path: Path
) -> None:
    def parse_with(arguments: list[str]) -> Options:
        names = {
            "certificate": files.certificate,
            "key": files.key,
            "root": files.root,
            "log": tmp_path / "log",
        }
        return parse(*(argument.format(**names) for argument in (option, *arguments)))

    config = parse_with(useful)
    if config["logfile"]:
        config["open-logfile"].close()
    if useless is not None:
        name = option.partition("=")[0]
        with pytest.raises(UsageError, match=f"^{name}: "):
            parse_with(useless)


def test_a_log_file_by_the_name_of_standard_output_is_refused() -> None:
    with pytest.raises(UsageError, match=r"^--logfile: '-' is not a file; "):
        parse("--logfile=-")


def test_a_socket_of_systemds_has_its_own_backlog_and_shares_its_port_by_itself() -> None:
    passed = Place(proxy=False, tls=False, endpoint="systemd:domain=INET:index=0")
    config = {**Options(), "listen": [passed], "backlog": 9, "reuse-port": 1}
    assert [option for option, _ in without_effect(config)] == ["backlog", "reuse-port"]


def test_port_sharing_takes_epoll(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delattr(select, "epoll", raising=False)
    with pytest.raises(UsageError, match="--reuse-port: it takes epoll, which this system does not have"):
        parse("--reuse-port")


def test_every_option_with_a_value_is_completed_by_what_it_takes() -> None:
    values = {name.rstrip("=") for name in Options().longOpt if name.endswith("=")}
    completers = Options.compData.optActions
    assert completers.keys() == values
    files = {name for name, completer in completers.items() if isinstance(completer, CompleteFiles)}
    assert files == {"certificate", "private-key", "client-ca", "logfile"}
    words = {name for name, completer in completers.items() if isinstance(completer, CompleteList)}
    assert words == {"framing", "time-format", "log-format", "log-connections"}
    for option in OPTIONS:
        for word in option.words:
            option.parse(word)


def test_the_help_has_no_gaps() -> None:
    words = re.sub(r"\n +", " ", Options().getUsage())
    assert "with proxy+ before it for PROXY headers, tls+ for TLS" in words


def parts(*options: str) -> tuple[list[str], list[Any]]:
    """Return the names of the services that the options give, and the listeners among them."""
    names, listeners = [], []
    for part in makeService(parse(*options)):
        names.append(type(part).__name__)
        if isinstance(part, MultiService):
            listeners = list(part)
    return names, listeners


def test_the_service_is_a_multiservice_around_a_tcp_server() -> None:
    assert isinstance(makeService(parse("--port=0")), MultiService)
    _, [listener] = parts("--port=0")
    assert isinstance(listener, TCPServer)
    assert (listener.args[0], listener.kwargs) == (0, {"interface": "0.0.0.0", "backlog": 4096})


@pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll")
def test_the_listener_is_eager_unless_told_not_to() -> None:
    (_, [eager]), (_, [plain]) = parts(), parts("--no-eager")
    assert isinstance(eager.reactor, EagerReactor)
    assert isinstance(plain.reactor, PlainReactor)


def test_the_services_start_in_order(tmp_path: Path) -> None:
    config = parse("--logfile", str(tmp_path / "log"))
    service = makeService(config)
    config["open-logfile"].close()
    assert [type(part).__name__ for part in service] == [
        *("LogFile", "Connections", "Watch", "Drain", "Signals", "MultiService", "Delay", "Notifier")
    ]


def test_garbage_collections_pass_over_what_the_start_has_made() -> None:
    reactor = MemoryReactorClock()
    makeService(parse("--port=0"), reactor)
    before = gc.get_freeze_count()  # Python 3.12.1 freezes some objects itself
    reactor.run()
    after = gc.get_freeze_count()
    gc.unfreeze()
    assert after > before + 1000


class Part(Service):
    """A service that stops when it is told to, and writes down what it does."""

    def __init__(self, name: str, events: list[str]) -> None:
        self.name = name
        self._events = events
        self.stopped: Deferred[None] = Deferred()

    def stopService(self) -> Deferred[None]:
        self._events.append(f"stop {self.name}")
        return self.stopped


def test_each_service_stops_when_the_one_before_has_stopped_even_if_that_fails(logged: list[str]) -> None:
    service = makeService(parse("--port=0"))
    for part in list(service):
        part.disownServiceParent()
    events: list[str] = []
    one, two, three = [Part(name, events) for name in ("one", "two", "three")]
    for part in (one, two, three):
        part.setServiceParent(service)
    done = service.stopService()
    assert events == ["stop three"]
    three.stopped.errback(OSError("no"))
    assert events == ["stop three", "stop two"]
    two.stopped.callback(None)
    assert not done.called
    one.stopped.callback(None)
    assert done.called
    assert [line.partition("\n")[0] for line in logged if "Cannot stop" in line]


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
    assert [type(listener).__name__ for listener in parts(*options)[1]] == listeners


def test_only_listeners_with_proxy_before_them_take_headers() -> None:
    _, [proxied, plain] = parts(
        "--listen=proxy+tcp:0", "--listen=tcp:0", "--proxy-trust=10.0.0.0/28,2001:db8::5"
    )
    assert isinstance(proxied._factory, ProxyFactory)
    assert plain._factory is proxied._factory._wrapped
    assert proxied._factory._trusted == [ip_network("10.0.0.0/28"), ip_network("2001:db8::5")]


def test_the_plugin_is_found_and_leads_here() -> None:
    [plugin] = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "tsserv"]
    assert verifyObject(IServiceMaker, plugin)
    assert plugin.options is Options
    assert plugin.makeService is makeService


@pytest.mark.parametrize(
    ("text", "endpoint"),
    [
        ("8080", "tcp:8080:interface=127.0.0.1"),
        ("tcp:8080", "tcp:8080:interface=127.0.0.1"),
        ("tcp6:8080", r"tcp6:8080:interface=\:\:1"),
        ("tcp:8080:interface=0.0.0.0", "tcp:8080:interface=0.0.0.0"),
        (r"tcp6:8080:interface=\:\:", r"tcp6:8080:interface=\:\:"),
        ("unix:/run/tsserv/status:mode=660", "unix:/run/tsserv/status:mode=660"),
    ],
)
def test_the_status_is_on_loopback_unless_an_address_is_given(text: str, endpoint: str) -> None:
    assert parse(f"--status={text}")["status"].endpoint == endpoint


@pytest.mark.parametrize("text", ["", "x", "tls+tcp:1", "proxy+tcp:1", "ssl:1", "tcp:x", "tcp:1:2:3"])
def test_other_endpoints_are_no_place_for_the_status(text: str) -> None:
    with pytest.raises(UsageError, match=f"^--status: '{re.escape(text)}': not an? "):
        parse(f"--status={text}")


def test_a_status_without_a_web_server_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "twisted.web.server", None)
    with pytest.raises(
        UsageError, match=r"^--status: Twisted's web server cannot be loaded: .*; upgrade Twisted"
    ):
        parse("--status=8080")
    assert parse()["status"] is None


def check(*arguments: str) -> None:
    """Check ``arguments``, and find them to be good."""
    with pytest.raises(SystemExit) as ended:
        parse("--check", *arguments)
    assert ended.value.code == 0


def test_a_check_says_that_options_are_good(
    files: Files, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    check()
    check(*files.options, "--status=8080", f"--client-ca={files.root}", f"--logfile={tmp_path / 'log'}")
    assert capsys.readouterr().out == "tsserv: options are good\n" * 2
    assert not (tmp_path / "log").exists()
    (tmp_path / "log").write_text("kept\n")
    check(f"--logfile={tmp_path / 'log'}")
    assert (tmp_path / "log").read_text() == "kept\n"


def test_a_check_finds_what_is_wrong(files: Files, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for arguments, message in (
        (["--port=x"], "--port: "),
        (["--interface=::1", "--listen=tcp:0"], "--interface: it is for --port"),
        ([*files.options, f"--client-ca={tmp_path}/none"], "--client-ca: cannot read "),
        (["--logfile=/nowhere/log"], "--logfile: cannot open '/nowhere/log': No such file or directory"),
        ([f"--logfile={tmp_path}"], "--logfile: cannot open .*: Is a directory"),
        ([f"--logfile={tmp_path}/file/log"], "--logfile: cannot open .*: No such file or directory"),
    ):
        with pytest.raises(UsageError, match=f"^{message}"):
            parse(*arguments, "--check")


def test_a_check_finds_a_directory_that_takes_no_log_file(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # for root there is no such directory
    with pytest.raises(UsageError, match=r"^--logfile: cannot open 'new': Permission denied$"):
        parse("--check", "--logfile=new")


def test_a_check_before_a_reload_has_no_sockets_of_systemds() -> None:
    check("--listen=systemd:domain=INET6:name=tsserv", "--backlog=9", "--port=0")
    with pytest.raises(UsageError, match="systemd has not passed it"):
        parse("--listen=systemd:domain=INET6:name=tsserv")
