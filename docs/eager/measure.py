"""
What `eager(reactor)` saves: CPU time for each message, as a ratio to Twisted's own listeners.

The servers take turns, round by round, with the same load: 50 connections, each of which sends its next
message when it has the answer. Server and load have a processor each, if there are two. Linux only.
"""

import argparse
import os
import select
import socket
import subprocess
import sys
import time
from pathlib import Path
from statistics import median

CONNECTIONS = 50
SERVER_CORE, *_, LOAD_CORE = sorted(os.sched_getaffinity(0)) * 2  # twice: there may be only one
#: What a client sends, and what the answer ends with.
MESSAGES = {
    "echo": (b"x" * 31 + b"\n", b"\n"),
    "LineReceiver": (b"x" * 30 + b"\r\n", b"\n"),
    "twisted.web": (b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n", b"hello\n"),
}


def serve(name: str, way: str) -> None:
    """Serve on a port that the system chooses, and print it."""
    from twisted.internet import reactor
    from twisted.internet.protocol import Factory, Protocol
    from twisted.protocols.basic import LineReceiver
    from twisted.web.resource import Resource
    from twisted.web.server import Site

    from tsserv.net.reactor import eager

    class Echo(Protocol):
        def dataReceived(self, data: bytes) -> None:
            self.transport.write(data)

    class Lines(LineReceiver):
        def lineReceived(self, line: bytes) -> None:
            self.sendLine(line)

    class Hello(Resource):
        isLeaf = True

        def render_GET(self, request: object) -> bytes:
            return b"hello\n"

    factories = {
        "echo": lambda: Factory.forProtocol(Echo),
        "LineReceiver": lambda: Factory.forProtocol(Lines),
        "twisted.web": lambda: Site(Hello()),
    }
    listening = eager(reactor) if way == "eager" else reactor
    port = listening.listenTCP(0, factories[name](), interface="127.0.0.1")
    print(port.getHost().port, flush=True)
    reactor.run()


class Server:
    """A server in a process of its own, with its connections."""

    def __init__(self, name: str, way: str) -> None:
        self._message, self._end = MESSAGES[name]
        command = [sys.executable, __file__, "--serve", name, way]
        self._process = subprocess.Popen(command, stdout=subprocess.PIPE)
        os.sched_setaffinity(self._process.pid, {SERVER_CORE})
        port = int(self._process.stdout.readline())
        self._clients = [socket.create_connection(("127.0.0.1", port), 30) for _ in range(CONNECTIONS)]

    def cpu(self) -> int:
        """Return the CPU time of the server until now, in nanoseconds (Linux: sched-stats)."""
        return int(Path(f"/proc/{self._process.pid}/schedstat").read_text().split()[0])

    def load(self, seconds: float) -> float:
        """Return the CPU time that the server needs for a message, in microseconds."""
        ready = select.epoll()
        clients = {client.fileno(): client for client in self._clients}
        for fd in clients:
            ready.register(fd, select.EPOLLIN)
        begun, until = self.cpu(), time.monotonic() + seconds
        for client in self._clients:
            client.sendall(self._message)
        answers = 0
        pending = len(clients)
        while pending:
            last = time.monotonic() > until
            for fd, _ in ready.poll():
                if clients[fd].recv(65536).endswith(self._end):
                    answers += 1
                    if last:
                        pending -= 1
                    else:
                        clients[fd].sendall(self._message)
        ready.close()
        return (self.cpu() - begun) / answers / 1000

    def end(self) -> None:
        """End it."""
        for client in self._clients:
            client.close()
        self._process.terminate()
        self._process.wait()
        self._process.stdout.close()


def compare(name: str, rounds: int, seconds: float) -> str:
    """Return a line of the table."""
    servers = {way: Server(name, way) for way in ("stock", "eager")}
    for server in servers.values():
        server.load(seconds)  # warms it up
    figures = {way: [] for way in servers}
    for turn in range(rounds):
        for way in sorted(servers, reverse=turn % 2):
            figures[way].append(servers[way].load(seconds))
    for server in servers.values():
        server.end()
    ratio = median(eager / stock for eager, stock in zip(figures["eager"], figures["stock"], strict=True))
    return f"{name:<14}{median(figures['stock']):>7.1f}{median(figures['eager']):>7.1f}{ratio:>7.2f}"


def main() -> None:
    """Measure, and print a table."""
    parser = argparse.ArgumentParser(description="Compare eager(reactor) with Twisted's own listeners.")
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--seconds", type=float, default=0.5)
    parser.add_argument("--serve", nargs=2, help=argparse.SUPPRESS)
    arguments = parser.parse_args()
    if arguments.serve:
        serve(*arguments.serve)
        return
    os.sched_setaffinity(0, {LOAD_CORE})
    print("µs of CPU       stock  eager  ratio")
    for name in MESSAGES:
        print(compare(name, arguments.rounds, arguments.seconds), flush=True)


if __name__ == "__main__":
    main()
