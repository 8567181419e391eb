"""
Three hosts behind HAProxy as ``etc/haproxy/haproxy.cfg`` has it, with clients, and what befalls them.

``tests/support/fleet.py`` is the long form, which also says how long a host that fails is in the way.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from boot import network
from fleet import CONFIGURATION, PLANNED, PROGRAMS, UNPLANNED, Fleet, stop, was_on

pytestmark = [pytest.mark.once]

# How long a conversation lasts, in seconds: longer than HAProxy takes to notice what befalls a host.
CONVERSATION = 2.0


@pytest.fixture(scope="module")
def fleet(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Fleet]:
    """Return a fleet; what befalls it is over when a test ends."""
    with network(lambda: Fleet(tmp_path_factory.mktemp("fleet")), PROGRAMS) as fleet:
        yield fleet


@pytest.mark.parametrize("event", PLANNED)
def test_nothing_is_lost_when_it_is_planned(event: Callable[[Fleet], float], fleet: Fleet) -> None:
    assert fleet.during(event, CONVERSATION).lost == []


@pytest.mark.parametrize("event", UNPLANNED)
def test_only_what_is_on_a_host_that_fails_is_lost(event: Callable[[Fleet], float], fleet: Fleet) -> None:
    outcome = fleet.during(event, CONVERSATION)
    assert [lost for lost in outcome.lost if not was_on(fleet.hosts[0], lost)] == []


def test_a_stop_without_status_cuts_conversations(tmp_path: Path) -> None:
    """HAProxy finds that the port is closed, and takes the host for dead."""
    text = re.sub(r"^ +(option httpchk|http-check) .*\n| port 8080", "", CONFIGURATION, flags=re.M)
    with network(lambda: Fleet(tmp_path, (), text), PROGRAMS) as fleet:
        outcome = fleet.during(stop, 2 * CONVERSATION)
    assert "conversation" in {exchange.kind for exchange, _ in outcome.lost}
