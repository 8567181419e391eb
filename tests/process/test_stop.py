"""How a real service stops, and what other signals do to it."""

from __future__ import annotations

import random
import re
import signal
import socket
import threading
from collections.abc import Callable
from pathlib import Path

import pytest
from processes import PATIENCE, STAMP, Twistd, receive, wait_until

STOPPED = (0, -signal.SIGTERM)  # twistd ends by the signal that it got; before Twisted 22.10 with status 0


def refused(service: Twistd) -> bool:
    """Return whether the service lets nobody connect."""
    try:
        service.connect().close()
    except ConnectionRefusedError:
        return True
    return False


def test_open_connections_are_served_on_until_they_are_quiet(serve: Callable[..., Twistd]) -> None:
    service = serve("--drain-timeout=30")
    with service.connect() as client:
        client.sendall(b"x")
        receive(client, 28)
        service.process.send_signal(signal.SIGTERM)
        wait_until(lambda: refused(service), "the end of listening")
        for number in range(10):
            client.sendall(b"%d" % number)
            assert receive(client, 28)[27:] == b"%d" % number
        assert client.recv(1) == b""
    assert service.process.wait(PATIENCE) in STOPPED
    service.wait_for("waiting up to 30 s for 1 connections")
    assert "aborted" not in service.output


def test_who_is_in_the_middle_of_a_transfer_gets_everything(serve: Callable[..., Twistd]) -> None:
    service = serve("--drain-timeout=60")
    data = random.Random(0).randbytes(50 << 20)
    answers = [bytearray() for _ in range(4)]

    def send(client: socket.socket) -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    def read(client: socket.socket, answer: bytearray) -> None:
        while piece := client.recv(1 << 20):
            answer += piece

    clients = [service.connect() for _ in answers]
    threads = [threading.Thread(target=send, args=[client]) for client in clients]
    threads += [threading.Thread(target=read, args=pair) for pair in zip(clients, answers, strict=True)]
    for thread in threads:
        thread.start()
    wait_until(lambda: all(len(answer) > 1 << 20 for answer in answers), "the middle of the transfers")
    service.process.send_signal(signal.SIGTERM)
    for thread in threads:
        thread.join()
    assert service.process.wait(PATIENCE) in STOPPED
    for client, answer in zip(clients, answers, strict=True):
        client.close()
        assert STAMP.sub(b"", answer) == data


@pytest.mark.parametrize("options", [[], ["--listen=tcp:0:interface=127.0.0.1"]])
def test_who_has_connected_and_not_been_accepted_is_served(
    options: list[str], serve: Callable[..., Twistd]
) -> None:
    service = serve(*options)
    service.port = int(service.wait_for(r"listening on \S+:(\d+)\n", count=1 + len(options))[1])
    service.process.send_signal(signal.SIGSTOP)  # so that nobody is accepted
    clients = [service.connect() for _ in range(200)]
    for client in clients:
        client.sendall(b"x")
    service.process.send_signal(signal.SIGTERM)
    service.process.send_signal(signal.SIGCONT)
    for client in clients:
        assert receive(client, 28)[27:] == b"x"
        client.close()
    assert service.process.wait(PATIENCE) in STOPPED


class Crowd:
    """Clients that connect, send a line, half-close and read, again and again until they are refused."""

    def __init__(self, family: int, address: str | tuple[str, int]) -> None:
        self._family = family
        self._address = address
        self._threads = [threading.Thread(target=self._go_on) for _ in range(16)]
        self.answered = 0
        #: What the others got in place of their answer.
        self.lost: list[object] = []

    def _go_on(self) -> None:
        while True:
            with socket.socket(self._family) as client:
                client.settimeout(PATIENCE)
                try:
                    client.connect(self._address)
                except (ConnectionRefusedError, FileNotFoundError):
                    return
                try:
                    client.sendall(b"hello\n")
                    client.shutdown(socket.SHUT_WR)
                    answer = b""
                    while piece := client.recv(1 << 16):
                        answer += piece
                except OSError as error:
                    self.lost.append(error)
                    continue
                if not re.fullmatch(STAMP.pattern + b"hello\n", answer):
                    self.lost.append(answer)
                self.answered += 1

    def __enter__(self) -> Crowd:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        for thread in self._threads:
            thread.join()


@pytest.mark.parametrize(
    "options",
    [
        [],
        ["--no-eager"],
        ["--listen=tcp6:0:interface=\\:\\:1"],
        ["--listen=unix:sock"],
        ["--listen=unix:sock", "--no-eager"],
    ],
)
def test_clients_that_connect_in_the_moment_of_the_stop_are_answered_or_refused(
    options: list[str], serve: Callable[..., Twistd], tmp_path: Path
) -> None:
    for _ in range(3):
        service = serve(*options)
        family: int = socket.AF_INET
        address: str | tuple[str, int] = ("127.0.0.1", service.port)
        if "tcp6" in str(options):
            family = socket.AF_INET6
            address = ("::1", int(service.wait_for(r"listening on \[::1\]:(\d+)\n")[1]))
        elif "unix" in str(options):
            family, address = socket.AF_UNIX, str(tmp_path / "sock")
        with Crowd(family, address) as crowd:
            wait_until(lambda: crowd.answered >= 200, "a crowd")
            service.process.send_signal(signal.SIGTERM)
        assert crowd.lost == []
        assert service.process.wait(PATIENCE) in STOPPED


def test_clients_of_a_shared_port_are_answered_while_one_process_stops(serve: Callable[..., Twistd]) -> None:
    stays = serve("--reuse-port")
    with Crowd(socket.AF_INET, ("127.0.0.1", stays.port)) as crowd:
        for _ in range(3):
            goes = serve("--reuse-port", f"--port={stays.port}")
            goes.wait_for("connected from", count=20)
            assert goes.stop() in STOPPED
        stays.process.send_signal(signal.SIGTERM)
    assert crowd.lost == []


def stalled(service: Twistd) -> socket.socket:
    """Return a client that has sent too much and takes nothing."""
    client = socket.socket()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
    client.connect(("127.0.0.1", service.port))
    client.sendall(bytes(1 << 20))
    return client


def test_the_drain_timeout_ends_the_wait(serve: Callable[..., Twistd]) -> None:
    service = serve("--drain-timeout=0.5", "--logfile=own.log")
    with stalled(service), stalled(service):
        service.wait_for("connected from", count=2)
        assert service.stop() in STOPPED
    assert "connections aborted before they had finished: 2\n" in service.output
    assert "Traceback" not in service.output


@pytest.mark.parametrize("first", [signal.SIGTERM, signal.SIGINT])
@pytest.mark.parametrize("second", [signal.SIGTERM, signal.SIGINT])
def test_a_second_signal_ends_the_wait_at_once(
    first: signal.Signals, second: signal.Signals, serve: Callable[..., Twistd]
) -> None:
    service = serve("--drain-timeout=3600")
    with stalled(service):
        service.wait_for("connected from")
        service.process.send_signal(first)
        service.wait_for("waiting up to 3600 s for 1 connections\n")
        assert service.stop(second) in (0, -first)
    assert "connections aborted before they had finished: 1\n" in service.output
    assert "Traceback" not in service.output


def test_signals_at_once_are_no_trouble(serve: Callable[..., Twistd]) -> None:
    service = serve("--drain-timeout=3600")
    with stalled(service):
        service.wait_for("connected from")
        service.process.send_signal(signal.SIGSTOP)  # so that they are delivered together
        service.process.send_signal(signal.SIGTERM)
        service.process.send_signal(signal.SIGINT)
        service.process.send_signal(signal.SIGCONT)
        assert service.process.wait(PATIENCE) in (0, -signal.SIGTERM, -signal.SIGINT)
        service.end()
    assert "Traceback" not in service.output


def test_the_services_own_log_tells_how_it_stopped(serve: Callable[..., Twistd], tmp_path: Path) -> None:
    service = serve("--drain-timeout=0", "--logfile=own.log")
    with stalled(service):
        service.wait_for("connected from")
        service.stop()
    lines = re.findall(r"\[tsserv\S+\] (.*)", service.output)
    assert re.findall(r"\[tsserv\S+\] (.*)", (tmp_path / "own.log").read_text()) == lines
    assert lines[-2] == "connections aborted before they had finished: 1"


def test_sighup_does_no_harm(serve: Callable[..., Twistd]) -> None:
    service = serve()
    with service.connect() as client:
        for _ in range(3):
            service.process.send_signal(signal.SIGHUP)
            client.sendall(b"x")
            assert receive(client, 28)[27:] == b"x"
    assert service.stop() in STOPPED
