"""Whatever clients, the network and the operator do: answers are right, none is lost, and little is held."""

from __future__ import annotations

import struct
from termios import FIONREAD

import pytest
from fakes import Client, FakeSocket, Service, answers_to
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from tsserv.connections.stall import PORTION
from tsserv.framing import FRAMINGS

MOST = 4
IDLE, STALL, DRAIN, QUIET = 40.0, 20.0, 10.0, 1.0  # seconds

PLACES = st.integers(0, MOST - 1)
PIECES = st.binary(min_size=1, max_size=60) | st.sampled_from([b"\n" * 70000, b"x\n" * 20000, b"y" * 200000])
ROOM = st.integers(1, 100) | st.integers(1, 1 << 20)


@pytest.fixture(autouse=True)
def queues(monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the kernel know what a client has sent and the service has not read."""

    def ioctl(sock: FakeSocket, request: int, _: bytes) -> bytes:
        return struct.pack("i", sum(map(len, sock.inbox)) if request == FIONREAD else 0)

    monkeypatch.setattr("tsserv.net.queues.ioctl", ioctl)


class Known:
    """A client, and what the model knows of it."""

    def __init__(self, client: Client, now: float) -> None:
        self.client = client
        self.sent = bytearray()
        #: When it last sent something, and when it last took something.
        self.sent_at = self.took_at = now


class Clients(RuleBasedStateMachine):
    """Clients that send, read, half-close and vanish at will, and a service that may be stopped."""

    @initialize(framing=st.sampled_from(sorted(FRAMINGS)))
    def start(self, framing: str) -> None:
        """Start the service."""
        self.framing = framing
        self.service = Service(
            framing=framing, max_connections=MOST, idle_timeout=IDLE, stall_timeout=STALL, drain_timeout=DRAIN
        )
        self.clients: list[Known] = []
        self.stopped_at: float | None = None

    @property
    def now(self) -> float:
        """The time, in seconds."""
        return self.service.reactor.seconds()

    def open(self) -> list[Known]:
        """Return the clients whose connection is open."""
        return [known for known in self.clients if known.client.socket.closed is None]

    def pick(self, place: int) -> Known | None:
        """Return one of them."""
        clients = self.open()
        return clients[place % len(clients)] if clients else None

    @precondition(lambda self: self.stopped_at is None)
    @rule(room=ROOM | st.just(0))
    def connect(self, room: int) -> None:
        """A client comes; it is refused if and only if there are too many."""
        full = len(self.open()) >= MOST
        client = self.service.connect()
        assert (client is None) == full
        if client is not None:
            client.socket.room = room
            self.clients.append(Known(client, self.now))

    @rule(place=PLACES, data=PIECES)
    def send(self, place: int, data: bytes) -> None:
        """A client sends, unless it has shut that side, or the service is just closing the connection."""
        known = self.pick(place)
        if known and not known.client.socket.ended and not known.client.transport.disconnecting:
            known.client.socket.inbox.append(data)
            known.sent += data
            known.sent_at = self.now

    @rule(place=PLACES, room=ROOM)
    def take(self, place: int, room: int) -> None:
        """A client makes room for answers."""
        if known := self.pick(place):
            known.client.socket.room += room
            known.took_at = self.now

    @rule(place=PLACES)
    def end(self, place: int) -> None:
        """A client shuts its sending side."""
        if known := self.pick(place):
            known.client.socket.ended = True

    @rule(place=PLACES)
    def vanish(self, place: int) -> None:
        """A client resets the connection."""
        if known := self.pick(place):
            known.client.socket.broken = True

    @rule(seconds=st.sampled_from([0.0, 0.5, 3.0]))
    def wait(self, seconds: float) -> None:
        """Some time passes."""
        self.service.run(seconds)

    @rule()
    def wait_long(self) -> None:
        """So much time passes that whoever does nothing is gone."""
        self.service.run()  # what has been sent is answered first
        ahead = max((len(known.client.socket.taken) for known in self.clients), default=0)
        self.service.run(2 * IDLE + STALL * (ahead / PORTION))  # time to read what the network took ahead
        assert self.open() == []

    @precondition(lambda self: self.stopped_at is None)
    @rule()
    def stop(self) -> None:
        """The operator stops the service."""
        self.stopped_at = self.now
        self.done = self.service.stop()

    @invariant()
    def all_is_well(self) -> None:
        """What was sent is right, what is held is bounded, and who was closed had it coming."""
        for known in getattr(self, "clients", []):
            sock = known.client.socket
            read = b"".join(sock.read)
            owed = answers_to(sock.read, self.framing)
            assert known.sent.startswith(read)
            assert owed.startswith(sock.taken)
            assert known.client.unsent <= 512 * 1024
            stopped_for = 0.0 if self.stopped_at is None else self.now - self.stopped_at
            if sock.closed == "orderly" and not sock.broken:
                assert (read, sock.taken) == (known.sent, owed)
                assert sock.ended or self.now - known.sent_at >= IDLE or self.stopped_at is not None
            elif sock.closed == "reset":
                assert len(sock.taken) < len(owed)
                assert self.now - known.took_at >= STALL or stopped_for >= DRAIN

    def teardown(self) -> None:
        """In the end every client takes all and shuts its side: who is still there is served."""
        if not hasattr(self, "clients"):
            return
        for known in self.open():
            known.client.socket.room = 1 << 30
            known.client.socket.ended = True
        self.service.run()
        self.all_is_well()
        assert self.open() == []
        if self.stopped_at is not None:
            assert self.done.called


Clients.TestCase.settings = settings(max_examples=200, stateful_step_count=40)
TestClients = Clients.TestCase
