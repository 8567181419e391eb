"""Two lines of log for however many events."""

from __future__ import annotations

from twisted.internet.task import Clock

from tsserv.connections.repeated import Tally


def test_a_spell_of_events_is_two_lines_with_its_number(logged: list[str]) -> None:
    clock = Clock()
    tally = Tally(clock, "refusing {host}", "refused {count}")
    for _ in range(50):  # a spell goes on while events come
        for _ in range(100):
            tally.add(host="h")
        clock.advance(9)
    assert logged == ["refusing h"]
    clock.pump([10, 10])
    assert logged == ["refusing h", "refused 5000"]
    assert clock.getDelayedCalls() == []


def test_the_next_spell_is_counted_anew(logged: list[str]) -> None:
    clock = Clock()
    tally = Tally(clock, "begun", "ended {count}")
    for count in (3, 1):
        for _ in range(count):
            tally.add()
        clock.pump([10, 10])
    assert logged == ["begun", "ended 3", "begun", "ended 1"]


def test_closing_ends_a_spell_at_once(logged: list[str]) -> None:
    clock = Clock()
    tally = Tally(clock, "begun", "ended {count}")
    tally.close()
    tally.add()
    tally.close()
    tally.close()
    assert logged == ["begun", "ended 1"]
    assert clock.getDelayedCalls() == []
