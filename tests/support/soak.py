"""
Minutes of everything that clients do, with an eye on the service's memory and descriptors.

``python tests/soak.py --seconds 300`` runs it alone; the tests run it for a few seconds.
"""

from __future__ import annotations

import argparse
import contextlib
import random
import socket
import struct
import sys
import tempfile
import threading
import time
from collections import Counter
from pathlib import Path

from processes import PATIENCE, STAMP, Twistd

# Of each client at once; none keeps more than a hundred connections.
THREADS_OF_A_KIND = 2


class Soak:
    """Clients of several kinds, each of which does one thing over and over until told to stop."""

    def __init__(self, service: Twistd) -> None:
        self._service = service
        self._over = threading.Event()
        #: What each kind of client has done, and which of it went wrong.
        self.done: Counter[str] = Counter()
        self.wrong: list[str] = []

    def connect_and_leave(self, chance: random.Random) -> None:
        """Connect and close, as a health check does."""
        for _ in range(chance.randrange(1, 40)):
            self._service.connect().close()
        self._keep_pace()

    def send_and_reset(self, chance: random.Random) -> None:
        """Send something and reset the connection, answers or not."""
        for _ in range(20):
            with self._service.connect() as client:
                client.sendall(chance.randbytes(chance.randrange(1, 100000)))
                client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        self._keep_pace()

    def pipe(self, chance: random.Random) -> None:
        """Send, shut the sending side and read to the end."""
        data = chance.randbytes(chance.randrange(1, 300000))
        with self._service.connect() as client:
            sender = threading.Thread(target=self._send_all, args=[client, data])
            sender.start()
            answer = bytearray()
            while piece := client.recv(1 << 20):
                answer += piece
            sender.join()
        if STAMP.sub(b"", answer) != data:
            self.wrong.append(f"{len(data)} bytes came back as {len(answer)}")

    def talk(self, chance: random.Random) -> None:
        """Send and read a hundred times."""
        with self._service.connect() as client:
            for _ in range(100):
                data = chance.randbytes(chance.randrange(1, 1400))
                client.sendall(data)
                answer = b""
                while len(STAMP.sub(b"", answer)) < len(data):
                    answer += client.recv(1 << 16)

    def leave_halves_open(self, chance: random.Random) -> None:
        """Keep connections whose sending side is shut, or whose answers nobody reads, for a moment."""
        with contextlib.ExitStack() as stack:
            for _ in range(20):
                client = stack.enter_context(self._service.connect())
                client.settimeout(0.01)
                with contextlib.suppress(TimeoutError):
                    client.sendall(bytes(chance.randrange(1, 1 << 20)))
                    client.shutdown(socket.SHUT_WR)
        self._keep_pace()

    def _keep_pace(self) -> None:
        """Wait for an answer: connections that come faster than they are accepted reach the limit."""
        with self._service.connect() as client:
            client.sendall(b"x")
            client.recv(100)

    @staticmethod
    def _send_all(client: socket.socket, data: bytes) -> None:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)

    def _repeat(self, name: str, seed: int) -> None:
        chance = random.Random(f"{name} {seed}")
        while not self._over.is_set():
            try:
                getattr(self, name)(chance)
            except OSError as error:
                self.wrong.append(f"{name}: {error}")
            self.done[name] += 1

    def run(self, seconds: float) -> None:
        """Have all clients at it for so long."""
        kinds = ("connect_and_leave", "send_and_reset", "pipe", "talk", "leave_halves_open")
        threads = [
            threading.Thread(target=self._repeat, args=[kind, seed])
            for kind in kinds
            for seed in range(THREADS_OF_A_KIND)
        ]
        for thread in threads:
            thread.start()
        self._over.wait(seconds)
        self._over.set()
        for thread in threads:
            thread.join()
        self._over.clear()


def descriptors(service: Twistd) -> int:
    """Return how many descriptors the service has open."""
    return len(list(Path(f"/proc/{service.process.pid}/fd").iterdir()))


def main() -> int:
    """Run the soak; return 0 if nothing went wrong and memory stayed flat."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--seconds", type=float, default=300.0, help="how long [%(default)s]")
    parser.add_argument("--looks", type=int, default=10, help="into how many parts to cut it [%(default)s]")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as folder:
        service = Twistd(Path(folder), "--max-connections-per-host=10000", "--idle-timeout=60")
        try:
            service.wait_until_up()
            with service.connect() as client:
                client.sendall(b"x")
                client.recv(1)
                idle = descriptors(service) - 1
            soak = Soak(service)
            sizes = []
            for _ in range(arguments.looks):
                soak.run(arguments.seconds / arguments.looks)
                deadline = time.monotonic() + PATIENCE
                while descriptors(service) > idle and time.monotonic() < deadline:
                    time.sleep(0.05)
                sizes.append(service.memory())
                left = descriptors(service) - idle
                print(f"{sizes[-1] / 2**20:7.1f} MiB, {left} connections left", flush=True)
        finally:
            service.end()
    print(*(f"{name}: {count}" for name, count in sorted(soak.done.items())), sep="\n")
    print(*soak.wrong[:10], sep="\n")
    print(*(line for line in service.output.splitlines() if "connected from" not in line), sep="\n")
    # The first part warms up: what is made once, and the most that is ever needed at a time.
    grown = sizes[-1] - max(sizes[: len(sizes) // 2])
    print(f"memory has grown by {grown / 2**20:.1f} MiB over the second half; {len(soak.wrong)} went wrong")
    return int(bool(soak.wrong) or left > 0 or grown > 2 << 20 or "Traceback" in service.output)


if __name__ == "__main__":
    sys.exit(main())
