"""Behind a real HAProxy, configured as README says."""

from __future__ import annotations

import random
import re
import socket
import subprocess
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest
from conftest import program
from processes import PATIENCE, STAMP, Twistd, send_all_and_read_to_the_end, wait_until
from readme import blocks
from slow import exchange_slowly

[CONFIGURATION] = blocks("Behind HAProxy", "haproxy")
[_RUN] = blocks("Behind HAProxy")
[ENDPOINT] = re.findall(r"twistd -n --pidfile= tsserv --listen (proxy\+tcp:21568.*)\n", _RUN)
[KEYWORDS] = re.findall(r"server tsserv 127\.0\.0\.1:21568 (.*)\n", CONFIGURATION)
BOTH_VERSIONS = [KEYWORDS, KEYWORDS.replace("send-proxy-v2", "send-proxy")]

MIB = 1 << 20


class HAProxy:
    """HAProxy with README's configuration, on a port that the system chooses."""

    def __init__(self, folder: Path, port: str, keywords: str) -> None:
        """
        :param folder: where it runs.
        :param port: of the service.
        :param keywords: what README has after the server's address, or others; PORT in them is the service's.
        """
        with socket.create_server(("127.0.0.1", 0)) as listener:
            self.port = listener.getsockname()[1]
            configuration = (
                CONFIGURATION.replace("bind :21567", f"bind fd@{listener.fileno()}")
                .replace(KEYWORDS, keywords.replace("PORT", port))
                .replace("21568", port)
            )
            self._admin = folder / "admin"
            path = folder / "haproxy.cfg"
            path.write_text(f"global\n    stats socket {self._admin} level admin\n\n{configuration}")
            self._log = folder / "haproxy.log"
            with self._log.open("wb") as log:
                self._process = subprocess.Popen(
                    [program("haproxy"), "-db", "-f", path],
                    stdout=log,
                    stderr=log,
                    pass_fds=[listener.fileno()],
                )

    def connect(self, source: str) -> socket.socket:
        """Return a new connection from an address of this machine."""
        return socket.create_connection(("127.0.0.1", self.port), PATIENCE, source_address=(source, 0))

    def wait_for_checks(self) -> None:
        """Wait for health checks to find the server well: as many as ``rise`` says."""
        with socket.socket(socket.AF_UNIX) as admin:
            # There is a file before anybody listens on it.
            wait_until(lambda: admin.connect_ex(str(self._admin)) == 0, "HAProxy is up")
            admin.sendall(b"set server timestamps/tsserv health down\n")
            assert not admin.recv(4096).strip()
        wait_until(lambda: "Server timestamps/tsserv is UP" in self._log.read_text(), "health checks")

    def end(self) -> None:
        """End it."""
        self._process.kill()
        self._process.wait(PATIENCE)


@pytest.fixture
def behind(tmp_path: Path, serve: Callable[..., Twistd]) -> Iterator[Callable[..., tuple[HAProxy, Twistd]]]:
    """Return a function that starts both, with what is after the server's address in haproxy.cfg."""
    started: list[HAProxy] = []

    def start(keywords: str, *options: str) -> tuple[HAProxy, Twistd]:
        service = serve("--listen", ENDPOINT.replace("21568", "0"), *options)
        port = re.findall(r"listening on \S+:(\d+)\n", service.output)[-1]
        started.append(HAProxy(tmp_path, port, keywords))
        return started[-1], service

    yield start
    for haproxy in started:
        haproxy.end()


@pytest.mark.parametrize("keywords", BOTH_VERSIONS)
def test_clients_that_half_close_get_every_byte(
    keywords: str, behind: Callable[..., tuple[HAProxy, Twistd]]
) -> None:
    haproxy, service = behind(keywords)

    def exchange(number: int, size: int) -> bool:
        data = random.Random(number).randbytes(size)
        answer = send_all_and_read_to_the_end(haproxy.connect(f"127.0.1.{number}"), data)
        return STAMP.sub(b"", answer) == data

    with ThreadPoolExecutor(20) as pool:
        assert all(pool.map(exchange, range(100), [100] * 100))
    assert all(exchange(number, 10 * MIB) for number in range(100, 103))
    service.stop()
    for number in range(103):
        assert service.output.count(f"connected from: 127.0.1.{number}\n") == 1
        assert service.output.count(f"closed: 127.0.1.{number} port ") == 1
    assert "Traceback" not in service.output


@pytest.mark.parametrize(
    "keywords",
    [
        *BOTH_VERSIONS,
        *(f"{keywords} check-send-proxy" for keywords in BOTH_VERSIONS),
        f"{KEYWORDS} port PORT",
    ],
)
def test_health_checks_leave_no_line(keywords: str, behind: Callable[..., tuple[HAProxy, Twistd]]) -> None:
    haproxy, service = behind(f"{keywords} inter 20ms rise 5")
    haproxy.wait_for_checks()
    assert STAMP.sub(b"", send_all_and_read_to_the_end(haproxy.connect("127.0.0.2"), b"x")) == b"x"
    service.stop()
    lines = [line.partition("] ")[2] for line in service.output.splitlines()]
    [opened, closed] = [line for line in lines if line.startswith("...") or "PROXY" in line]
    assert opened == "...connected from: 127.0.0.2"
    assert closed.startswith("...closed: 127.0.0.2 port ")


def test_the_cap_for_a_host_is_for_clients(behind: Callable[..., tuple[HAProxy, Twistd]]) -> None:
    haproxy, service = behind(KEYWORDS, "--max-connections-per-host=1")
    with haproxy.connect("127.0.0.2") as first, haproxy.connect("127.0.0.3") as other:
        for client in (first, other):
            client.sendall(b"x")
            assert client.recv(100).endswith(b"x")
        with haproxy.connect("127.0.0.2") as second:
            second.sendall(b"x")
            assert second.recv(100) == b""
    service.wait_for(r"refusing connections from 127\.0\.0\.2: 1 are open \(--max-connections-per-host\)\n")


@pytest.mark.once
def test_a_client_that_reads_slowly_gets_every_byte(behind: Callable[..., tuple[HAProxy, Twistd]]) -> None:
    """HAProxy's system takes no more until the client has read more than 1 MiB."""
    haproxy, _ = behind(KEYWORDS, "--stall-timeout=0.2")
    with haproxy.connect("127.0.0.2") as client:
        exchange_slowly(client, 500_000, 6 * MIB)
