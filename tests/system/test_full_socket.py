"""A connection goes on after the kernel's memory for it was full."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
from boot import network
from network import Namespace
from processes import PATIENCE, Twistd

CLIENT = Path(__file__).parents[1] / "support" / "tunpeer.py"

pytestmark = [pytest.mark.once]


@pytest.fixture
def namespace() -> Iterator[Namespace]:
    """Return a network namespace."""
    if not Path("/dev/net/tun").exists():
        pytest.skip("this machine has no TUN devices")
    with network(Namespace, ("ip", "nsenter", "unshare")) as namespace:
        yield namespace


def test_small_packets_that_fill_a_socket_do_not_stop_it(
    namespace: Namespace, serve: Callable[..., Twistd]
) -> None:
    """Linux 6.18 ignores acknowledgements on such a socket until it may receive more."""
    service = serve("--interface=0.0.0.0", "--stall-timeout=8", prefix=namespace.prefix)
    done = subprocess.run(
        [*namespace.prefix, sys.executable, CLIENT, str(service.port), str(PATIENCE)],
        stdout=subprocess.PIPE,
        text=True,
        check=True,
    )
    assert done.stdout == "not acknowledged at the end: 0\n"
