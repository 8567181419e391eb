"""Where real services listen."""

from __future__ import annotations

import errno
import os
import re
import select
import socket
import stat
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import processes
import pytest
from processes import PASS, PATIENCE, STAMP, Twistd, receive, run_twistd

pytestmark = pytest.mark.skipif(not hasattr(select, "epoll"), reason="there is no epoll")


@pytest.mark.parametrize(
    ("description", "reason"),
    [
        ("tcp:99999", "bind(): port must be 0-65535."),
        ("tcp:0:interface=192.0.2.1", os.strerror(errno.EADDRNOTAVAIL)),
        ("unix:/nowhere/sock:lockfile=0", os.strerror(errno.ENOENT)),
        ("unix:file:lockfile=0", os.strerror(errno.EADDRINUSE)),
        ("unix:file", os.strerror(errno.EADDRINUSE)),
    ],
)
def test_what_an_endpoint_cannot_listen_on_is_one_line(description: str, reason: str, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("precious")
    done = run_twistd(tmp_path, "-n", "--pidfile=", "tsserv", f"--listen={description}")
    assert (done.returncode, done.stderr) == (1, f"{reason}: cannot listen on {description}\n")
    assert "Traceback" not in done.stdout
    assert (tmp_path / "file").read_text() == "precious"


def test_a_real_service_on_several_endpoints(tmp_path: Path, serve: Callable[..., Twistd]) -> None:
    path = tmp_path / "sock"
    service = serve(
        "--listen=tcp:0:interface=127.0.0.1",
        "--listen=tcp6:0:interface=\\:\\:1",
        f"--listen=unix:{path}:mode=660",
    )
    ports = [int(port) for port in re.findall(r"listening on \S+:(\d+)\n", service.output)]
    assert len(ports) == 3  # with --port=0, which is given too
    service.wait_for(f"listening on unix:{path}\n")
    assert stat.S_IMODE(path.stat().st_mode) == 0o660
    clients = [
        *(socket.create_connection(("127.0.0.1", port), PATIENCE) for port in ports[:2]),
        socket.create_connection(("::1", ports[2]), PATIENCE),
        socket.socket(socket.AF_UNIX),
    ]
    clients[-1].connect(str(path))
    for client in clients:
        with client:
            client.sendall(b"x")
            client.shutdown(socket.SHUT_WR)
            assert STAMP.fullmatch(receive(client, 28)[:-1])
            assert client.recv(1) == b""
    for host, port in ((r"127\.0\.0\.1", r" port \d+"), ("::1", r" port \d+"), ("unix", "")):
        service.wait_for(rf"connected from: {host}\n")
        service.wait_for(rf"closed: {host}{port}, 1 bytes in")
    assert service.stop() <= 0
    assert not path.exists()
    assert "Traceback" not in service.output


@pytest.mark.parametrize("options", [[], ["--no-eager"]])
def test_a_socket_left_by_a_dead_service_is_taken_over(
    options: list[str], tmp_path: Path, serve: Callable[..., Twistd]
) -> None:
    path = tmp_path / "sock"
    dead = serve(f"--listen=unix:{path}", *options)
    dead.process.kill()
    dead.process.wait(PATIENCE)
    assert path.exists()
    # What Twisted would believe: that the process in its lock file, which lives, is the service.
    (tmp_path / "sock.lock").unlink(missing_ok=True)
    (tmp_path / "sock.lock").symlink_to(str(os.getpid()))
    with socket.socket(socket.AF_UNIX) as client:
        alive = serve(f"--listen=unix:{path}:lockfile=1", *options)
        client.connect(str(path))
        client.sendall(b"x")
        assert receive(client, 28).endswith(b"x")
        done = run_twistd(tmp_path, "-n", "--pidfile=", "tsserv", f"--listen=unix:{path}", *options)
        assert done.returncode == 1
        assert f"Address already in use: cannot listen on unix:{path}\n" in done.stderr
    assert alive.stop() <= 0
    assert not path.exists()


@pytest.mark.parametrize("options", [[], ["--no-eager"]])
def test_a_service_that_stops_leaves_the_socket_of_its_successor(
    options: list[str], tmp_path: Path, serve: Callable[..., Twistd]
) -> None:
    path = tmp_path / "sock"
    first = serve(f"--listen=unix:{path}", *options)
    path.rename(tmp_path / "old")
    serve(f"--listen=unix:{path}", *options)
    assert first.stop() <= 0
    assert "Traceback" not in first.output
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(path))
        client.sendall(b"x")
        assert receive(client, 28).endswith(b"x")


@pytest.mark.parametrize("options", [[], ["--no-eager"]])
def test_a_unix_socket_that_systemd_passes_outlives_the_service(
    options: list[str], tmp_path: Path, serve: Callable[..., Twistd]
) -> None:
    path = str(tmp_path / "sock")
    with socket.socket(socket.AF_UNIX) as passed:
        passed.bind(path)
        passed.listen()
        for _ in range(2):
            with socket.socket(socket.AF_UNIX) as early:
                early.connect(path)
                early.sendall(b"x")
                # The port is for the helper, which waits for one.
                listen = ("--listen=systemd:domain=UNIX:index=0", "--port=0", "--interface=127.0.0.1")
                service = serve(*listen, *options, passed=passed)
                assert receive(early, 28).endswith(b"x")
            assert service.stop() <= 0


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_a_socket_that_systemd_passes_is_listened_on_and_outlives_the_service(
    family: socket.AddressFamily, host: str, serve: Callable[..., Twistd]
) -> None:
    with socket.create_server((host, 0), family=family, backlog=77) as passed:
        for _ in range(2):
            with socket.create_connection(passed.getsockname()[:2], PATIENCE) as early:
                early.sendall(b"x")
                service = serve(passed=passed)
                assert receive(early, 28).endswith(b"x")
            assert service.output.count("listening on") == 1
            # tcpi_sacked, which is how many may wait, as systemd has it from the unit (Linux: <linux/tcp.h>)
            assert struct.unpack("28xI", passed.getsockopt(socket.IPPROTO_TCP, socket.TCP_INFO, 32)) == (77,)
            assert service.stop() <= 0


def test_what_systemd_has_passed_is_said_if_another_socket_is_wanted(tmp_path: Path) -> None:
    arguments = ("-n", "--pidfile=", "tsserv", "--listen=systemd:domain=INET:index=1")
    done = run_twistd(tmp_path, *arguments, prefix=PASS)
    assert done.returncode == 1
    assert "index=1': systemd has not passed it; it has passed web (see" in done.stderr


#: Passes standard input as systemd does, but without a name, which is optional (sd_listen_fds(3)).
NAMELESS = ("sh", "-c", 'export LISTEN_PID=$$ LISTEN_FDS=1; exec "$@" 3<&0 </dev/null', "sh")
#: Passes standard input to another process.
FOREIGN = ("sh", "-c", 'export LISTEN_PID=1 LISTEN_FDS=1; exec "$@" 3<&0 </dev/null', "sh")


@pytest.mark.parametrize("options", [[], ["--listen=systemd:domain=INET:index=0"]])
def test_a_passed_socket_needs_no_name(
    options: list[str], serve: Callable[..., Twistd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PASS", NAMELESS)
    with socket.create_server(("127.0.0.1", 0)) as passed:
        service = serve(*options, passed=passed)
        assert service.output.count("listening on") == 1
        assert service.port == passed.getsockname()[1]


def test_a_socket_passed_to_another_process_is_left_alone(
    serve: Callable[..., Twistd], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(processes, "PASS", FOREIGN)
    with socket.create_server(("127.0.0.1", 0)) as passed:
        service = serve("--port=0", "--interface=127.0.0.1", passed=passed)
        assert service.output.count("listening on") == 1
        assert service.port != passed.getsockname()[1]


@pytest.mark.parametrize("options", [["--port=0"], ["--listen=tcp:0"]])
def test_a_passed_socket_that_nothing_would_use_is_refused(options: list[str], tmp_path: Path) -> None:
    with socket.create_server(("127.0.0.1", 0)) as passed:
        done = run_twistd(
            tmp_path, "-n", "--pidfile=", "tsserv", *options, prefix=NAMELESS, stdin=passed.fileno()
        )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "systemd passes sockets that would not be used: systemd:domain=INET:index=0; leave out" in line


def accepted() -> socket.socket:
    """Return the server's end of a connection."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        socket.create_connection(server.getsockname(), PATIENCE).close()
        return server.accept()[0]


@pytest.mark.parametrize(
    "make",
    [
        lambda: socket.socket(socket.AF_INET, socket.SOCK_DGRAM),
        accepted,
        socket.socket,  # which does not listen
        Path(os.devnull).open,
    ],
    ids=["datagrams", "accepted", "not listening", "not a socket"],
)
@pytest.mark.parametrize("options", [[], ["--port=0"], ["--listen=systemd:domain=INET:name=web"]])
def test_only_listening_stream_sockets_are_taken_from_systemd(
    options: list[str], make: Callable[[], Any], tmp_path: Path
) -> None:
    with make() as passed:
        done = run_twistd(
            tmp_path, "-n", "--pidfile=", "tsserv", *options, prefix=PASS, stdin=passed.fileno()
        )
    assert done.returncode == 1
    [line] = done.stderr.splitlines()
    assert "systemd has passed file descriptor 3, which is not a listening stream socket" in line
    assert done.stdout == ""


def test_several_processes_share_a_port(serve: Callable[..., Twistd]) -> None:
    first = serve("--reuse-port")
    second = serve("--reuse-port", f"--port={first.port}")
    count = 0
    while not all("...connected" in service.output for service in (first, second)):
        count += 1
        assert count < 1000
        with first.connect() as client:
            client.sendall(b"x")
            receive(client, 28)
