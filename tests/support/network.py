"""
Two machines with two ways between them, as network namespaces with packet filters: for packets that get lost.

They are gone when the test run ends, even if it is killed.  This needs root and :data:`PROGRAMS`.
"""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

#: What the network is made with.
PROGRAMS = ("ip", "nft", "nsenter", "unshare")

#: The address of the server; the client reaches it by ``way0``, or by ``way1`` if it has to.
SERVER = "10.0.9.9"

#: The addresses of the client on each way.
CLIENT = {"way0": "10.0.0.1", "way1": "10.0.1.1"}

_CLIENT = """
ip link set lo up
for number in 0 1; do
    ip link add way$number type veth peer name way$number netns {server}
    ip address add 10.0.$number.1/24 dev way$number
    ip link set way$number up
    echo 0 >/proc/sys/net/ipv4/conf/way$number/rp_filter
done
echo 0 >/proc/sys/net/ipv4/conf/all/rp_filter
nft list tables
"""
_SERVER = """
ip link set lo up
ip address add 10.0.9.9/32 dev lo
for number in 0 1; do
    ip address add 10.0.$number.2/24 dev way$number
    ip link set way$number up
done
"""
_ROUTES = """
ip route add 10.0.9.9 via 10.0.0.2 metric 1
ip route add 10.0.9.9 via 10.0.1.2 metric 2
"""


class Namespace:
    """A network namespace, which its keeper keeps until the other end of its standard input is closed."""

    def __init__(self) -> None:
        self._keeper = subprocess.Popen(
            ["unshare", "--net", "sh", "-c", "echo made && exec cat"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.STDOUT,
            text=True,
            start_new_session=True,  # Ctrl-C is for the test run
        )
        self.pid = self._keeper.pid
        #: Runs the command that follows it in the namespace.
        self.prefix = ("nsenter", f"--target={self.pid}", "--net")
        assert self._keeper.stdout is not None
        if self._keeper.stdout.readline() != "made\n":
            raise RuntimeError(f"cannot make a network namespace: {self.end()}")

    def run(self, script: str) -> str:
        """Run a shell script in the namespace; return what it printed."""
        done = subprocess.run([*self.prefix, "sh", "-ec", script], capture_output=True, text=True)
        if done.returncode:
            raise RuntimeError(f"cannot set up the network: {done.stderr}")
        return done.stdout

    def end(self) -> str:
        """Let the kernel remove the namespace; return what its keeper printed."""
        return self._keeper.communicate()[0]


class Network:
    """
    The two machines.

    :raises RuntimeError: if this machine does not let them be made.
    """

    def __init__(self) -> None:
        self.client = Namespace()
        self.server = Namespace()
        try:
            self.client.run(_CLIENT.format(server=self.server.pid))
            self.server.run(_SERVER)
            self.client.run(_ROUTES)
        except BaseException:
            self.end()
            raise

    def end(self) -> None:
        """Remove them."""
        self.client.end()
        self.server.end()

    def filter(self, rule: str, *ways: str) -> None:
        """
        Add a rule of nft(8) for what arrives over TCP, until :meth:`unfilter`.

        The sender cannot know that these packets are lost: it would know of those that its own filter drops.

        :param ways: ``there``, to the server, and ``back``.
        """
        for way in ways:
            self._end_of(way).run(
                f"""
                nft add table ip lossy
                nft 'add chain ip lossy arriving {{ type filter hook input priority 0; }}'
                nft add rule ip lossy arriving meta l4proto tcp {rule}
                """
            )

    def unfilter(self, *ways: str) -> None:
        """Let all packets pass."""
        for way in ways:
            self._end_of(way).run("nft delete table ip lossy")

    def counted(self, way: str) -> int:
        """Return how many packets the ``counter`` of a rule has counted."""
        found = re.search(r"packets (\d+)", self._end_of(way).run("nft list table ip lossy"))
        assert found is not None
        return int(found[1])

    def _end_of(self, way: str) -> Namespace:
        return self.server if way == "there" else self.client

    def retransmits(self) -> int:
        """Return how many segments the kernel of the client has sent again (RetransSegs in RFC 4022)."""
        lines = Path(f"/proc/{self.client.pid}/net/snmp").read_text().splitlines()
        names, values = (line.split() for line in lines if line.startswith("Tcp:"))
        return int(values[names.index("RetransSegs")])
