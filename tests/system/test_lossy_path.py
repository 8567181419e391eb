"""``tsserv-ping`` between two machines with two ways, on which packets are lost."""

from __future__ import annotations

import json
import re
import subprocess
import sysconfig
from collections.abc import Callable, Iterator
from pathlib import Path

import boot
import pytest
from network import CLIENT, PROGRAMS, SERVER, Network
from processes import PATIENCE, Twistd, environment

PROBE = Path(sysconfig.get_path("scripts")) / "tsserv-ping"

pytestmark = [pytest.mark.once]


@pytest.fixture
def network() -> Iterator[Network]:
    """Return the two machines."""
    with boot.network(Network, PROGRAMS) as network:
        yield network


@pytest.fixture
def service(network: Network, serve: Callable[..., Twistd]) -> Twistd:
    """Return the service on the server."""
    return serve("--interface=0.0.0.0", "--time-format=iso8601", prefix=network.server.prefix)


def start(network: Network, service: Twistd, *options: object) -> subprocess.Popen[str]:
    """Start the probe on the client."""
    return subprocess.Popen(
        [*network.client.prefix, PROBE, SERVER, str(service.port), *map(str, options)],
        env=environment(),
        stdin=subprocess.DEVNULL,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    )


def read_until(probe: subprocess.Popen[str], beginning: str) -> str:
    """Read what the probe writes, up to a line with this beginning."""
    assert probe.stdout is not None
    lines = [probe.stdout.readline()]
    while not lines[-1].startswith(beginning):
        assert lines[-1], f"no {beginning!r} in {lines}"
        lines.append(probe.stdout.readline())
    return "".join(lines)


def test_the_interface_decides_the_way(network: Network, service: Twistd) -> None:
    for options, way in (((), "way0"), (("--interface", "way1"), "way1")):
        with start(network, service, "--count", 1, *options) as probe:
            out, _ = probe.communicate(timeout=PATIENCE)
        assert (probe.returncode, f": {CLIENT[way]}:" in out) == (0, True), out
        service.wait_for(rf"connected from: {re.escape(CLIENT[way])}\n")


def test_what_packets_are_lost_comes_late_and_nothing_is_lost(network: Network, service: Twistd) -> None:
    network.filter("numgen inc mod 5 == 4 counter drop", "there", "back")
    # A segment that is lost is sent again after 0.05 s at the earliest, when the next is acknowledged.
    options = ("--count", 40, "--interval", 0.05, "--timeout", 0.02, "--json")
    with start(network, service, *options) as probe:
        read_until(probe, '{"type": "probe", "seq": 30, ')
        assert network.counted("there") > 1
        assert network.counted("back") > 1
        network.unfilter("there", "back")  # the run does not wait for an answer to the last probe
        out, _ = probe.communicate(timeout=PATIENCE)
    summary = json.loads(out.splitlines()[-1])
    assert (summary["sent"], summary["answered"], summary["lost"]) == (40, 40, 0)
    assert 1 <= summary["late"] < 40
    assert (summary["altered"], summary["doubled"], summary["stray"], summary["outages"]) == (0, 0, 0, 0)
    assert 1 <= summary["retransmits"] <= network.retransmits()
    assert probe.returncode == 1


@pytest.mark.parametrize("ways", [("there",), ("back",), ("there", "back")], ids="+".join)
@pytest.mark.parametrize("lifted", [True, False], ids=["for a time", "to the end"])
def test_late_is_told_from_lost(
    lifted: bool, ways: tuple[str, ...], network: Network, service: Twistd
) -> None:
    """Nothing passes after the first answers, in one direction or both."""
    with start(network, service, "--count", 8, "--interval", 0.1, "--timeout", 0.2) as probe:
        out = read_until(probe, "seq=2 ")
        network.filter("drop", *ways)
        out += read_until(probe, "seq=6 no answer after 0.2 s")
        if lifted:
            network.unfilter(*ways)
        out += probe.communicate(timeout=PATIENCE)[0]
    assert probe.returncode == 1
    overdue = set(re.findall(r"^seq=(\d) no answer", out, re.M))
    assert {"5", "6"} <= overdue <= set("345678")
    late = set(re.findall(r"^seq=(\d) rtt=.* LATE ", out, re.M))
    if lifted:
        assert "8 sent, 8 answered, 0 lost (0 %)" in out
        assert late == overdue
        assert f"\n{len(late)} late: answered after the timeout\n" in out
        retransmits = re.search(r"^kernel: .*, (\d+) retransmits,", out, re.M)
        assert retransmits is not None
        assert 1 <= int(retransmits[1]) <= network.retransmits()
        service.wait_for(r"closed: 10\.0\.0\.1 port \d+, 512 bytes in")
    else:
        assert overdue == {str(number) for number in range(int(min(overdue)), 9)}
        assert f"8 sent, {8 - len(overdue)} answered, {len(overdue)} lost" in out
        assert not late
        assert network.retransmits() >= 1
