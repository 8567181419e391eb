"""
Hosts with the service behind a balancer, each with a network namespace of its own, and what befalls them.

Run as a program, it prints what each event costs the clients, and is the long form of ``test_fleet.py``:

    sudo .venv/bin/python tests/support/fleet.py

The addresses are those of ``etc/haproxy/haproxy.cfg``, which is used as it is.  This needs root and
:data:`PROGRAMS`.
"""

from __future__ import annotations

import argparse
import csv
import json
import re
import shutil
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import Counter
from collections.abc import Callable
from datetime import datetime
from pathlib import Path
from typing import NamedTuple

from exchanges import CLIENTS, KINDS, Exchange
from network import Namespace
from processes import PATIENCE, TWISTD, Twistd, environment, wait_until
from sources import CLONE

#: What a fleet is made with.
PROGRAMS = ("haproxy", "ip", "nsenter", "unshare")

#: HAProxy's.
CONFIGURATION = (CLONE / "etc/haproxy/haproxy.cfg").read_text()

#: The options that the balancer needs of each service.
STATUS = ("--status=tcp:8080:interface=0.0.0.0",)

# After how many seconds a host that fails has to be out.
_BOUND = 5.0

_BALANCER = "10.0.0.2"

# Where the clients find the balancer.
_FRONT = ("10.0.1.2", "21567")

_HAPROXY = shutil.which("haproxy") or "/usr/sbin/haproxy"  # not on the PATH of every user

_CLIENTS = Path(__file__).with_name("exchanges.py")


def _seconds(text: str) -> float:
    """Return a time of HAProxy's log in seconds since 1970."""
    return datetime.fromisoformat(text).timestamp()


def connect(balancer: Namespace, address: str, other: Namespace, others: str, name: str) -> None:
    """Lay a network cable from the balancer, where it is called ``name``, to the ``eth0`` of another."""
    balancer.run(
        f"""
        ip link add {name} type veth peer name eth0 netns {other.pid}
        ip address add {address} peer {others} dev {name}
        ip link set {name} up
        """
    )
    other.run(f"ip address add {others} peer {address} dev eth0; ip link set eth0 up")


class Host:
    """A host of the fleet: a network namespace, and the service in it."""

    def __init__(self, folder: Path, number: int, balancer: Namespace, options: tuple[str, ...]) -> None:
        self.name = f"host{number}"
        self.address = f"10.0.0.1{number}"
        self._folder = folder
        self._options = options
        self.namespace = Namespace()
        self.namespace.run("ip link set lo up")
        connect(balancer, _BALANCER, self.namespace, self.address, self.name)
        self.service = self._serve()

    def link(self, state: str) -> None:
        """Have its network cable ``up`` or ``down``."""
        self.namespace.run(f"ip link set eth0 {state}")

    def _serve(self) -> Twistd:
        """Return the service, which will soon listen."""
        return Twistd(
            self._folder,
            prefix=self.namespace.prefix,
            command=[
                *(TWISTD, "-n", "--pidfile=", "tsserv"),
                *(f"--listen=proxy+tcp:21568:interface={self.address}", f"--proxy-trust={_BALANCER}"),
                *("--drain-timeout=60", "--log-connections=none", *self._options),
            ],
        )

    def start(self) -> None:
        """Start the service again."""
        self.service = self._serve()
        self.service.wait_until_up()

    def end(self) -> None:
        """Remove it."""
        self.service.process.kill()
        self.service.end()
        self.namespace.end()


class Balancer:
    """HAProxy with the fleet's configuration, in a network namespace."""

    def __init__(self, folder: Path, configuration: str) -> None:
        """
        :param folder: where it runs.
        :param configuration: what it runs with at first.
        """
        self._configured = folder / "haproxy.cfg"
        self._admin = folder / "admin"
        self._log = folder / "haproxy.log"
        self._process: subprocess.Popen[bytes] | None = None
        self.namespace = Namespace()
        self.configure(configuration)

    def configure(self, configuration: str) -> None:
        """Write the configuration file, less what is the machine's and not the fleet's."""
        text = configuration.replace("/run/haproxy/admin.sock", str(self._admin))
        text = re.sub(r"^ +(user|group) .*\n", "", text, flags=re.MULTILINE)
        self._configured.write_text(text.replace("log /dev/log ", "log stdout format iso "))

    def start(self) -> None:
        """Start HAProxy, which then takes all servers to be up."""
        with self._log.open("wb") as log:
            self._process = subprocess.Popen(
                [*self.namespace.prefix, _HAPROXY, "-W", "-db", "-f", self._configured],
                stdout=log,
                stderr=log,
            )
        self._wait_for_workers(1)

    def reload(self) -> None:
        """Have a new process take over, with the configuration file as it is now."""
        assert self._process is not None
        workers = self.log.count("New worker")
        self._process.send_signal(signal.SIGUSR2)
        self._wait_for_workers(workers + 1)

    def _wait_for_workers(self, count: int) -> None:
        wait_until(lambda: self.log.count("Loading success") == count, "HAProxy has loaded")

    @property
    def log(self) -> str:
        """All that HAProxy has logged."""
        return self._log.read_text()

    def wait_until_up(self, host: Host) -> None:
        """Wait until a host gets connections."""
        wait_until(lambda: self._state(host)["status"] == "UP", f"{host.name} is up")

    def wait_until_down(self, host: Host) -> None:
        """Wait until a host gets no connections."""
        wait_until(lambda: self._state(host)["status"] == "DOWN", f"{host.name} is down")

    def wait_until_empty(self, host: Host) -> None:
        """Wait until a host has no connections."""
        wait_until(lambda: self._state(host)["scur"] == "0", f"{host.name} has no connections")

    def _state(self, host: Host) -> dict[str, str]:
        """Return what ``show stat`` has of a host."""
        with socket.socket(socket.AF_UNIX) as admin:
            admin.connect(str(self._admin))
            admin.sendall(b"show stat\n")
            table = b"".join(iter(lambda: admin.recv(1 << 16), b"")).decode()
        for row in csv.DictReader(table.removeprefix("# ").splitlines()):
            if row["svname"] == host.name:
                return row
        raise AssertionError(f"HAProxy does not know {host.name}")

    def fate(self, exchange: Exchange) -> tuple[str, str]:
        """
        Return the host that HAProxy sent a connection to, and why it ended.

        This is the last host that it tried.  If it cut the connection because a host is down, the reason
        begins with "D", and that may be the host tried before.
        """
        pattern = rf"^(\S+) 10\.0\.1\.1:{exchange.port} .* timestamps/(\S+) \S+ \d+ (\S+) "
        found: list[tuple[str, str]] = []

        def logged() -> bool:
            for at, host, reason in re.findall(pattern, self.log, re.MULTILINE):
                if exchange.began <= _seconds(at):
                    found.append((host, reason))
            return bool(found)

        wait_until(logged, f"the end of {exchange}")
        return found[0]

    def end(self) -> None:
        """Remove it."""
        if self._process is not None:
            self._process.terminate()
            self._process.wait(PATIENCE)
        self.namespace.end()


class Load:
    """
    The clients, in a network namespace.

    :param namespace: theirs.
    :param seconds: how long a conversation lasts.
    """

    def __init__(self, namespace: Namespace, seconds: float) -> None:
        #: What has ended.
        self.exchanges: list[Exchange] = []
        self._process = subprocess.Popen(
            [*namespace.prefix, sys.executable, _CLIENTS, *_FRONT, str(seconds)],
            env=environment(),
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )
        self._reader = threading.Thread(target=self._read)
        self._reader.start()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            self.exchanges.append(Exchange(*json.loads(line)))

    def wait_for_more(self) -> None:
        """Wait for exchanges, five of each client that half-closes."""
        enough = len(self.exchanges) + 5 * CLIENTS
        wait_until(lambda: len(self.exchanges) >= enough, "exchanges")

    def end(self) -> None:
        """Let each client end what it has begun."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._reader.join()
        self._process.stdout.close()
        self._process.wait()


class Outcome(NamedTuple):
    """What the clients had during an event."""

    exchanges: list[Exchange]
    #: Of these, those that lost something, with what became of them in HAProxy.
    lost: list[tuple[Exchange, tuple[str, str]]]
    #: After how many seconds a host that failed got no connections any longer; else 0.
    out: float


class Fleet:
    """
    Three hosts, a balancer and its clients.

    :param folder: where they run.
    :param options: of each service.
    :param configuration: of HAProxy.
    :raises RuntimeError: if this machine does not let network namespaces be made.
    """

    def __init__(
        self,
        folder: Path,
        options: tuple[str, ...] = STATUS,
        configuration: str = CONFIGURATION,
    ) -> None:
        self._folder = folder
        self._options = options
        self.configuration = configuration
        self.hosts: list[Host] = []
        self._client = Namespace()
        self.balancer = Balancer(folder, self.configuration)
        try:
            connect(self.balancer.namespace, _FRONT[0], self._client, "10.0.1.1", "clients")
            for _ in range(3):
                self.add_host()
            for host in self.hosts:
                host.service.wait_until_up()
            self.balancer.start()
        except BaseException:
            self.end()
            raise

    def add_host(self) -> Host:
        """Return a new host, which HAProxy does not know, and which will soon listen."""
        self.hosts.append(Host(self._folder, len(self.hosts) + 1, self.balancer.namespace, self._options))
        return self.hosts[-1]

    def during(self, event: Callable[[Fleet], float], conversation: float) -> Outcome:
        """
        Return what the clients had during an event, and shortly before and after it.

        :param event: makes it happen; returns after how many seconds a host was out, if that matters.
        :param conversation: how long a conversation lasts, in seconds.
        """
        load = Load(self._client, conversation)
        try:
            load.wait_for_more()
            out = event(self)
            load.wait_for_more()
        finally:
            load.end()
        lost = [exchange for exchange in load.exchanges if exchange.lost]
        return Outcome(load.exchanges, [(exchange, self.balancer.fate(exchange)) for exchange in lost], out)

    def end(self) -> None:
        """Remove it."""
        self.balancer.end()
        for host in self.hosts:
            host.end()
        self._client.end()


def was_on(host: Host, lost: tuple[Exchange, tuple[str, str]]) -> bool:
    """Return whether what was lost was on a host, or cut because that was down."""
    _, (name, reason) = lost
    return name == host.name or reason.startswith("D")


def stop(fleet: Fleet) -> float:
    """A host stops for good, and comes back later."""
    host = fleet.hosts[0]
    host.service.end()
    fleet.balancer.wait_until_down(host)
    host.start()
    fleet.balancer.wait_until_up(host)
    return 0.0


def restart(fleet: Fleet) -> float:
    """All hosts are restarted, one after the other, when one has been added."""
    *old, last = fleet.hosts
    new = fleet.add_host()
    new.service.wait_until_up()
    [line] = re.findall(rf"^ +server {last.name} .*\n", fleet.configuration, re.MULTILINE)
    added = line.replace(last.name, new.name).replace(last.address, new.address)
    fleet.configuration = fleet.configuration.replace(line, line + added)
    fleet.balancer.configure(fleet.configuration)
    fleet.balancer.reload()
    for host in (*old, last):
        host.service.end()
        host.start()
        fleet.balancer.wait_until_up(host)
    return 0.0


def reload(fleet: Fleet) -> float:
    """HAProxy reloads its configuration."""
    fleet.balancer.reload()
    return 0.0


def kill(fleet: Fleet) -> float:
    """The service of a host dies."""

    def revive(host: Host) -> None:
        host.service.end()
        host.start()

    return _out(fleet, lambda host: host.service.process.kill(), revive)


def hang(fleet: Fleet) -> float:
    """The service of a host hangs."""
    return _out(
        fleet,
        lambda host: host.service.process.send_signal(signal.SIGSTOP),
        lambda host: host.service.process.send_signal(signal.SIGCONT),
    )


def cut(fleet: Fleet) -> float:
    """The network of a host is down."""
    return _out(fleet, lambda host: host.link("down"), lambda host: host.link("up"))


def _out(fleet: Fleet, fail: Callable[[Host], object], mend: Callable[[Host], object]) -> float:
    """Have a host fail; return after how many seconds it was out, and mend it."""
    host = fleet.hosts[0]
    failed = time.monotonic()
    fail(host)
    fleet.balancer.wait_until_down(host)
    out = time.monotonic() - failed
    fleet.balancer.wait_until_empty(host)
    mend(host)
    fleet.balancer.wait_until_up(host)
    return out


#: By what is done: with these nothing may be lost,
PLANNED = (stop, restart, reload)
#: and with these what is on the host.
UNPLANNED = (kill, hang, cut)


def main() -> int:
    """Run the long form; return 0 if nothing was lost that may not be, and hosts were out in time."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=10, help="how often each event happens [%(default)s]")
    parser.add_argument(
        "--conversation", type=float, default=10.0, help="seconds that a conversation lasts [%(default)s]"
    )
    arguments = parser.parse_args()
    good = True
    print("| event | exchanges | conversations | lost of each | longest exchange | host out after |")
    print("|---|---|---|---|---|---|")
    for event in (*PLANNED, *UNPLANNED):
        exchanges: Counter[str] = Counter()
        losses: Counter[str] = Counter()
        out: list[float] = []
        longest = 0.0
        for _ in range(arguments.rounds):
            with tempfile.TemporaryDirectory() as folder:
                fleet = Fleet(Path(folder))
                try:
                    outcome = fleet.during(event, arguments.conversation)
                finally:
                    fleet.end()
            exchanges.update(exchange.kind for exchange in outcome.exchanges)
            losses.update(exchange.kind for exchange, _ in outcome.lost)
            longest = max(
                longest,
                *(found.ended - found.began for found in outcome.exchanges if found.kind == "half-close"),
            )
            out.append(outcome.out)
            strays = [lost for lost in outcome.lost if event in PLANNED or not was_on(fleet.hosts[0], lost)]
            if strays:
                print(*strays, sep="\n", file=sys.stderr)
                good = False
        cells = (
            event.__doc__ or "",
            *(f"{exchanges[kind]:,}" for kind in KINDS),
            ", ".join(f"{losses[kind]:,}" for kind in KINDS),
            f"{longest:.1f} s",
            f"{min(out):.1f} to {max(out):.1f} s" if event in UNPLANNED else "",
        )
        print(f"| {' | '.join(cells)} |", flush=True)
        good = good and max(out) < _BOUND
    return int(not good)


if __name__ == "__main__":
    sys.exit(main())
