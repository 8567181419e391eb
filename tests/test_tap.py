"""The command line, without a process."""

from __future__ import annotations

import os
import stat
from pathlib import Path

import pytest
from twisted.application.internet import TCPServer
from twisted.application.service import IServiceMaker, MultiService
from twisted.plugin import getPlugins
from twisted.python.usage import UsageError
from zope.interface.verify import verifyObject

from tsserv.tap import Options, makeService


def parse(*arguments: str) -> Options:
    """Return the options that ``arguments`` give."""
    options = Options()
    options.parseOptions(arguments)
    return options


def test_defaults() -> None:
    assert parse() == {"port": 21567, "interface": None, "backlog": 4096, "logfile": None}


def test_every_option_has_effect_long_and_short() -> None:
    assert parse("--port=0", "--interface=::", "--backlog=1") == parse("-p0", "-i::", "--backlog", "1")
    assert parse("-p65535", "-i127.0.0.1") | {"logfile": 1} == {
        "port": 65535,
        "interface": "127.0.0.1",
        "backlog": 4096,
        "logfile": 1,
    }


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
        (["--port"], "option --port requires argument"),
        (["--speed=9"], "option --speed not recognized"),
        (["-x"], "option -x not recognized"),
        (["21567"], "unexpected argument '21567'"),
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
        file.write("after\n")
    assert path.read_text() == "before\nafter\n"


def test_the_umask_decides_who_may_read_the_log_file(tmp_path: Path) -> None:
    before = os.umask(0o026)
    try:
        parse("--logfile", str(tmp_path / "log"))["logfile"].close()
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "log").stat().st_mode) == 0o640


def test_the_service_is_a_multiservice_around_a_tcp_server() -> None:
    service = makeService(parse("--port=0"))
    assert isinstance(service, MultiService)
    [listener] = service
    assert isinstance(listener, TCPServer)
    assert (listener.args[0], listener.kwargs) == (0, {"interface": "0.0.0.0", "backlog": 4096})


def test_a_log_file_is_a_service_before_the_listener(tmp_path: Path) -> None:
    config = parse("--logfile", str(tmp_path / "log"))
    names = [type(service).__name__ for service in makeService(config)]
    config["logfile"].close()
    assert names == ["LogFile", "Listener"]


def test_the_plugin_is_found_and_leads_here() -> None:
    [plugin] = [plugin for plugin in getPlugins(IServiceMaker) if plugin.tapname == "tsserv"]
    assert verifyObject(IServiceMaker, plugin)
    assert plugin.options is Options
    assert plugin.makeService is makeService
