"""The limits of a real service: nobody knocks it over, and nobody else notices who tries."""

from __future__ import annotations

import contextlib
import resource
import socket
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from certificates import Files, tls_port
from processes import PATIENCE, Twistd, receive, wait_until

linux = pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")


def exchange(client: socket.socket) -> None:
    """Send a byte and get it back."""
    client.sendall(b"x")
    assert receive(client, 28)[27:] == b"x"


def ended(client: socket.socket) -> bool:
    """Wait until the service has closed a connection; return whether it did so in an orderly way."""
    try:
        while client.recv(1 << 20):
            pass
    except ConnectionResetError:
        return False
    return True


def serves(service: Twistd) -> bool:
    """Return whether a new connection is let in and answered."""
    with service.connect() as client, contextlib.suppress(OSError):
        client.sendall(b"x")
        return bool(client.recv(1))
    return False


@pytest.fixture
def clients() -> Iterator[contextlib.ExitStack]:
    """Close, at the end, the connections that are entered into it."""
    with contextlib.ExitStack() as stack:
        yield stack


def test_above_the_most_connections_clients_are_closed_at_once_and_counted(
    serve: Callable[..., Twistd], clients: contextlib.ExitStack
) -> None:
    service = serve("--max-connections=2")
    first, second = (clients.enter_context(service.connect()) for _ in range(2))
    exchange(first)
    exchange(second)
    for _ in range(50):
        ended(clients.enter_context(service.connect()))
    exchange(first)
    second.close()
    wait_until(lambda: serves(service), "room for another")
    service.stop()
    assert service.output.count("refusing connections: 2 are open (--max-connections)\n") == 1
    assert service.output.count("connections refused above --max-connections: ") == 1
    assert service.output.count("\n") < 20


@pytest.mark.parametrize(
    ("layers", "options"), [("tls+", []), ("tls+", ["--no-eager"]), ("proxy+", []), ("proxy+tls+", [])]
)
def test_clients_that_send_nothing_to_a_place_with_layers_keep_nobody_out(
    layers: str,
    options: list[str],
    files: Files,
    serve: Callable[..., Twistd],
    clients: contextlib.ExitStack,
) -> None:
    _, *credentials = files.options if "tls" in layers else [""]
    endpoint = f"--listen={layers}tcp:0:interface=127.0.0.1"
    service = serve("--max-connections=200", endpoint, *credentials, *options)
    silent = [
        clients.enter_context(socket.create_connection(("127.0.0.1", tls_port(service)), PATIENCE))
        for _ in range(220)
    ]
    for number in range(252):
        client = clients.enter_context(service.connect())
        exchange(client)
        if number % 2:
            client.close()
    if layers == "tls+":
        plain = socket.create_connection(("127.0.0.1", tls_port(service)), PATIENCE)
        exchange(clients.enter_context(files.context().wrap_socket(plain, server_hostname="127.0.0.1")))
    assert not ended(silent[0])
    service.stop()
    assert "Traceback" not in service.output
    assert service.output.count("closing the oldest connections ") == 1
    assert "refus" not in service.output


def test_one_host_has_so_many_connections(
    serve: Callable[..., Twistd], clients: contextlib.ExitStack
) -> None:
    service = serve("--max-connections-per-host=1", "--interface=::")
    exchange(clients.enter_context(service.connect("127.0.0.1")))
    ended(clients.enter_context(service.connect("127.0.0.1")))
    other = clients.enter_context(socket.socket())
    other.bind(("127.0.0.2", 0))
    other.connect(("127.0.0.1", service.port))
    exchange(other)
    service.wait_for(r"refusing connections from 127\.0\.0\.1: 1 are open \(--max-connections-per-host\)\n")


def test_an_idle_connection_is_closed(serve: Callable[..., Twistd]) -> None:
    with serve("--idle-timeout=2").connect() as client:
        exchange(client)
        assert ended(client)


@pytest.mark.parametrize("size", [100_000, 100_000_000], ids=["kernel", "both"])
def test_a_client_that_takes_nothing_is_cut_off(size: int, serve: Callable[..., Twistd]) -> None:
    """What waits may wait in the kernel alone, or in the service too."""
    service = serve("--stall-timeout=0.5")
    with socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", service.port))
        client.settimeout(PATIENCE)
        reset = False
        try:
            client.sendall(bytes(size))
        except ConnectionError:
            reset = True
        service.wait_for(
            r"aborting connections that have read less than 16 KiB .* 0\.5 s \(--stall-timeout\)\n"
        )
        assert reset or not ended(client)


def without_descriptors() -> None:
    """Leave a process 64 descriptors."""
    resource.setrlimit(resource.RLIMIT_NOFILE, (64, 64))


def test_when_descriptors_run_out_others_are_served_and_all_is_well_when_there_is_room(
    tmp_path: Path, clients: contextlib.ExitStack
) -> None:
    service = Twistd(tmp_path, preexec_fn=without_descriptors)
    try:
        service.wait_until_up()
        first = clients.enter_context(service.connect())
        exchange(first)
        crowd = [clients.enter_context(service.connect()) for _ in range(300)]
        exchange(first)
        refused = sum(client.recv(1) == b"" for client in crowd[31:])
        assert refused == 269
        for client in crowd:
            client.close()
        service.wait_for("connected from", count=32)
        wait_until(lambda: serves(service), "room for another")
    finally:
        service.end()
    assert "Traceback" not in service.output
    assert "EMFILE" not in service.output
    assert service.output.count("refus") == 2


@linux
@pytest.mark.once
@pytest.mark.parametrize(
    ("options", "flood"),
    [
        (["--framing=line"], b"\n"),
        (["--framing=line", "--time-format=iso8601"], b"\n"),
        (["--framing=chunk"], b"x"),
    ],
)
def test_who_sends_and_never_reads_is_held_to_512_kib_while_others_are_answered(
    options: list[str], flood: bytes, serve: Callable[..., Twistd], clients: contextlib.ExitStack
) -> None:
    service = serve(*options)
    other = clients.enter_context(service.connect())
    other.sendall(b"x")
    assert other.recv(100)
    before = service.memory()
    count = 64
    for _ in range(count):
        client = clients.enter_context(socket.socket())
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(("127.0.0.1", service.port))
        client.settimeout(0.05)  # the service has stopped reading when nothing has gone for so long
        with contextlib.suppress(TimeoutError):
            while True:
                client.sendall(flood * 65536)
        other.sendall(b"x")
        assert other.recv(100)
    assert (service.memory() - before) / count <= 512 * 1024


@linux
@pytest.mark.parametrize("framing", ["chunk", "line"])
def test_an_idle_connection_with_every_limit_on_costs_at_most_1_5_kib(
    framing: str, serve: Callable[..., Twistd], clients: contextlib.ExitStack
) -> None:
    count = min(4000, resource.getrlimit(resource.RLIMIT_NOFILE)[0] // 2 - 200)
    service = serve(f"--framing={framing}", "--idle-timeout=600", f"--max-connections-per-host={2 * count}")

    def connect() -> None:
        crowd = [clients.enter_context(service.connect()) for _ in range(count)]
        for client in crowd:
            client.sendall(b"x")
        for client in crowd:
            assert receive(client, 28)[27:] == b"x"

    connect()  # the first ones also pay for what is made once
    before = service.memory()
    if count >= 1000:
        connect()
    assert (service.memory() - before) / count <= 1536
