"""Looks at all connections, a hundred in each turn."""

from __future__ import annotations

from fakes import Service, connect, ends
from twisted.internet.defer import Deferred
from twisted.internet.task import Clock

from tsserv.connections.walk import walk


def take_turn(clock: Clock) -> None:
    """Do what is due, and not what falls due in doing so, as a reactor does in one turn."""
    due, clock.calls = clock.calls, []
    for call in due:
        call.func(*call.args)


def test_a_turn_has_a_hundred_and_everyone_is_looked_at_once() -> None:
    clock, present, seen = Clock(), set(range(250)), list[int]()
    done = Deferred.fromCoroutine(walk(present, seen.append, clock))
    turns = [len(seen)]
    while not done.called:
        take_turn(clock)
        turns.append(len(seen))
    assert turns == [100, 200, 250]
    assert {*seen} == present
    assert clock.getDelayedCalls() == []


def test_those_that_go_meanwhile_are_passed_over_and_so_are_those_that_come() -> None:
    clock, present, seen = Clock(), set(range(150)), list[int]()
    Deferred.fromCoroutine(walk(present, seen.append, clock))
    gone = min(present - {*seen})
    present.remove(gone)
    present.add(1000)
    clock.advance(0)
    assert {*seen} == {*range(150)} - {gone}


def test_one_that_fails_does_not_keep_others_from_it(logged: list[str]) -> None:
    seen = []

    def look(number: int) -> None:
        if number == 1:
            raise RuntimeError("a bug")
        seen.append(number)

    Deferred.fromCoroutine(walk({1, 2, 3}, look, Clock()))
    assert {*seen} == {2, 3}
    assert "Unhandled error in 1" in logged[0]


def test_idle_connections_are_closed_in_several_turns() -> None:
    service = Service(idle_timeout=8.0)
    clients = [connect(service) for _ in range(150)]
    service.run(8)
    service.reactor.rightNow += 1
    take_turn(service.reactor)
    assert [client.transport.disconnecting for client in clients].count(1) == 100
    service.run()
    assert ends(*clients) == ["orderly"] * 150


def test_a_drain_that_ends_in_the_middle_of_a_look_leaves_no_timer() -> None:
    service = Service(drain_timeout=60.0)
    clients = [connect(service) for _ in range(150)]
    done = service.stop()
    for client in clients:
        client.socket.ended = True
    service.run()
    assert done.called
    assert service.reactor.getDelayedCalls() == []
