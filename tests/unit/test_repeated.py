"""Bursts of events, logged as two lines each."""

from __future__ import annotations

from twisted.internet.task import Clock

from tsserv.connections.repeated import RepeatedEvent


def test_a_spell_of_events_is_two_lines_with_its_number(logged: list[str]) -> None:
    clock = Clock()
    event = RepeatedEvent(clock, "refusing {host}", "refused {count}")
    for _ in range(50):  # a spell goes on while events come
        for _ in range(100):
            event.add(host="h")
        clock.advance(9)
    assert logged == ["refusing h"]
    clock.pump([10, 10])
    assert logged == ["refusing h", "refused 5000"]
    assert clock.getDelayedCalls() == []


def test_the_next_spell_is_counted_anew(logged: list[str]) -> None:
    clock = Clock()
    event = RepeatedEvent(clock, "begun", "ended {count}")
    for count in (3, 1):
        for _ in range(count):
            event.add()
        clock.pump([10, 10])
    assert logged == ["begun", "ended 3", "begun", "ended 1"]


def test_closing_ends_a_spell_at_once(logged: list[str]) -> None:
    clock = Clock()
    event = RepeatedEvent(clock, "begun", "ended {count}")
    event.close()
    event.add()
    event.close()
    event.close()
    assert logged == ["begun", "ended 1"]
    assert clock.getDelayedCalls() == []
