"""
How many short lines a second line framing answers: in the function alone, and in the whole service.

``python benchmarks/lines.py`` starts the service that is installed beside this Python, sends it lines
without waiting for answers, checks that as many bytes come back as there must, and tells the lines
for each second of CPU that the service has used.
"""

from __future__ import annotations

import os
import re
import socket
import statistics
import subprocess
import sysconfig
import threading
import timeit
from pathlib import Path

from tsserv.framing import LineFraming
from tsserv.stamp import Stamp

LINE = b"1234567\n"
LINES = 10_000_000  # in one run; a multiple of BATCH
BATCH = 100_000  # lines sent at once
RUNS = 5
TWISTD = Path(sysconfig.get_path("scripts")) / "twistd"


def function_alone(size: int) -> float:
    """Return the lines a second for chunks of ``size`` bytes."""
    answer = LineFraming(Stamp()).new()
    chunk = (LINE * (size // len(LINE) + 1))[:size]
    count = 50_000_000 // size
    return chunk.count(b"\n") * count / min(timeit.repeat(lambda: answer(chunk), number=count, repeat=RUNS))


def cpu(pid: int) -> float:
    """Return the CPU time that a process has used, in seconds."""
    fields = Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


def send(client: socket.socket) -> None:
    """Send all the lines and no more."""
    for _ in range(LINES // BATCH):
        client.sendall(LINE * BATCH)
    client.shutdown(socket.SHUT_WR)


def whole_service() -> float:
    """Return the lines for each second of CPU, the median of some runs over one connection each."""
    command = [
        str(TWISTD),
        "-n",
        "--pidfile=",
        "tsserv",
        "--port=0",
        "--interface=127.0.0.1",
        "--framing=line",
    ]
    with subprocess.Popen(command, stdout=subprocess.PIPE, text=True) as service:
        assert service.stdout is not None
        port = 0
        while not port:
            if found := re.search(r"listening on \S+:(\d+)\n", service.stdout.readline()):
                port = int(found[1])
        rates = []
        for _ in range(RUNS):
            before = cpu(service.pid)
            with socket.create_connection(("127.0.0.1", port)) as client:
                sender = threading.Thread(target=send, args=[client])
                sender.start()
                length = 0
                sample = b""
                while piece := client.recv(1 << 20):
                    length += len(piece)
                    sample = piece
                sender.join()
            stamp = Stamp()()
            assert length == LINES * len(stamp + LINE)
            assert sample.endswith(LINE)
            rates.append(LINES / (cpu(service.pid) - before))
        service.terminate()
    return statistics.median(rates)


if __name__ == "__main__":
    for size in (4096, 8192, 16384, 32768, 65536):
        print(f"function, chunks of {size:5}: {function_alone(size) / 1e6:6.1f} million lines a second")
    print(f"service: {whole_service() / 1e6:.1f} million lines for each second of CPU")
