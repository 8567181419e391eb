"""The units on a real systemd, which installs and runs the service as docs/operations.md says."""

from __future__ import annotations

import os
import re
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator
from pathlib import Path

import pytest
from boot import boot
from box import Box
from conftest import program
from processes import STAMP, TWISTD, receive, wait_until
from readme import blocks, text
from sources import CLONE

OPERATIONS = "docs/operations.md"

# Most of the time goes into the installation, at the first test that needs it.
pytestmark = [pytest.mark.timeout(300), pytest.mark.once]


@pytest.fixture(scope="module")
def installed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Box]:
    """Boot a systemd and install the service as an operator does it."""
    box = boot(CLONE, tmp_path_factory.mktemp("box"))
    try:
        box.run(blocks("Under systemd", document=OPERATIONS)[0], online=True)
        yield box
    finally:
        box.end()


@pytest.fixture
def box(installed: Box) -> Box:
    """Return a systemd with the service installed as it is shipped, and nothing of it running."""
    installed.run(
        """
        systemctl stop 'tsserv*.socket' 'tsserv*.service'
        rm -rf /etc/systemd/system/tsserv*.d /etc/default/tsserv@*
        cp etc/default/tsserv /etc/default/
        systemctl daemon-reload
        systemctl reset-failed
        journalctl --quiet --rotate --vacuum-time=1us
        """
    )
    return installed


def drop_in(box: Box, text: str) -> None:
    """Add to the unit of the service, as an operator does it."""
    box.run(
        f"""
        mkdir /etc/systemd/system/tsserv.service.d
        echo '{text}' >/etc/systemd/system/tsserv.service.d/test.conf
        systemctl daemon-reload
        """
    )


def shown(box: Box, name: str, unit: str = "tsserv.service") -> str:
    """Return what systemd knows of a unit."""
    return box.run(f"systemctl show --value --property={name} {unit}")


def exchange(box: Box, data: bytes = b"hello\n") -> bytes:
    """Connect, send, shut the sending side, and return all that comes back."""
    with box.connect(21567) as client:
        client.sendall(data)
        client.shutdown(socket.SHUT_WR)
        answer = b""
        while piece := client.recv(1 << 16):
            answer += piece
    return answer


def assert_serves(box: Box) -> None:
    """See that the service answers."""
    answer = exchange(box)
    assert STAMP.match(answer)
    assert answer.endswith(b"] hello\n")


def test_systemd_finds_nothing_wrong_with_the_units(tmp_path: Path) -> None:
    for unit in (CLONE / "etc/systemd").iterdir():
        # systemd looks whether the program is there.
        (tmp_path / unit.name).write_text(unit.read_text().replace("/opt/tsserv/bin", str(TWISTD.parent)))
    done = subprocess.run(
        [program("systemd-analyze"), "verify", *sorted(tmp_path.iterdir())],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        timeout=60,
    )
    assert (done.returncode, done.stdout) == (0, "")


def test_started_means_listening(box: Box) -> None:
    for _ in range(10):
        box.run("systemctl restart tsserv")
        assert_serves(box)
    assert shown(box, "WatchdogUSec") == "30s"
    log = box.run("journalctl -u tsserv")
    assert log.count("waiting for connection...") == 10
    assert "plugin cache" not in log
    assert "Traceback" not in log


def test_the_service_may_do_little(box: Box) -> None:
    box.run("systemctl start tsserv")
    status = dict(
        line.split(":\t") for line in box.run(f"cat /proc/{shown(box, 'MainPID')}/status").splitlines()
    )
    for line in ("Uid", "Gid"):
        assert all(int(number) >= 61184 for number in status[line].split())  # what DynamicUser= draws from
    assert {int(status[line], 16) for line in status if line.startswith("Cap")} == {0}
    assert (status["NoNewPrivs"], status["Seccomp"]) == ("1", "2")
    assert shown(box, "LimitNOFILE") == "65536"
    for unit in ("tsserv.service", "tsserv@1.service"):
        assessment = box.run(f"systemd-analyze security --no-pager {unit}")
        [exposure] = re.findall(rf"exposure level for {unit}: (\S+)", assessment)
        assert float(exposure) <= 1.3


def test_a_socket_in_the_file_system(box: Box) -> None:
    box.run("echo 'TSSERV_OPTIONS=--listen unix:/run/tsserv/sock:mode=666' >/etc/default/tsserv")
    box.run("systemctl start tsserv")
    client = "import socket as s; c = s.socket(s.AF_UNIX); c.connect('sock'); c.send(b'x'); print(c.recv(99))"
    assert "] x" in box.run(f'cd /run/tsserv && /usr/bin/python3 -c "{client}"')


def test_the_drain_may_take_longer_than_the_unit_allows(box: Box) -> None:
    box.run("echo 'TSSERV_OPTIONS=--drain-timeout=6' >/etc/default/tsserv")
    drop_in(box, "[Service]\nTimeoutStopSec=2")
    box.run("systemctl start tsserv")
    with box.connect(21567) as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.sendall(bytes(1 << 20))  # and reads none of the answers
        box.run("systemctl stop tsserv")
    assert shown(box, "Result") == "success"
    assert "connections aborted before they had finished: 1" in box.run("journalctl -u tsserv")


def test_the_delay_may_take_longer_than_the_unit_allows(box: Box) -> None:
    box.run("echo 'TSSERV_OPTIONS=--status 8080 --drain-delay=6' >/etc/default/tsserv")
    drop_in(box, "[Service]\nTimeoutStopSec=2")
    box.run("systemctl start tsserv")
    box.run("systemctl --no-block stop tsserv")
    wait_until(lambda: "stopping in 6 s" in box.run("journalctl -u tsserv"), "the delay")
    with box.connect(8080) as client:
        client.sendall(b"GET /ready HTTP/1.0\r\n\r\n")
        assert b" 404 " in client.recv(1 << 16)
    assert_serves(box)
    wait_until(lambda: shown(box, "ActiveState") == "inactive", "the end")
    assert shown(box, "Result") == "success"


def test_reload_is_told_and_keeps_process_and_connections(box: Box) -> None:
    box.run("systemctl start tsserv")
    pid = shown(box, "MainPID")
    with box.connect(21567) as client:
        box.run("systemd-analyze log-level debug")
        box.run("systemctl reload tsserv")
        # systemctl is back when the signal is sent.
        wait_until(lambda: box.run("journalctl -u tsserv").count("(READY=1)") == 1, "the end of the reload")
        box.run("systemd-analyze log-level info")
        client.sendall(b"x")
        assert receive(client, 28).endswith(b"x")
    log = box.run("journalctl -u tsserv")
    assert re.search(r"\(RELOADING=1, MONOTONIC_USEC=\d+\)", log)
    assert "Changed running -> reload" in log
    assert (shown(box, "MainPID"), shown(box, "ActiveState"), shown(box, "NRestarts")) == (pid, "active", "0")


def test_a_reload_fails_if_a_restart_would_and_the_service_goes_on(box: Box) -> None:
    box.run("systemctl start tsserv")
    box.run("echo 'TSSERV_OPTIONS=--framing words' >/etc/default/tsserv")
    assert "failed" in box.run("systemctl reload tsserv", check=False)
    assert "--framing: 'words' is not one of chunk, line" in box.run("journalctl -u tsserv")
    assert_serves(box)
    box.run("echo 'TSSERV_OPTIONS=--listen tls+systemd:domain=INET:name=tsserv' >/etc/default/tsserv")
    assert "failed" in box.run("systemctl reload tsserv", check=False)
    assert "--listen: TLS needs --certificate" in box.run("journalctl -u tsserv")


def test_status_shows_connections(box: Box) -> None:
    drop_in(box, "[Service]\nWatchdogSec=2")  # so that it tells every second
    box.run("systemctl start tsserv")
    with box.connect(21567), box.connect(21567):
        wait_until(
            lambda: 'Status: "connections: 2"' in box.run("systemctl status tsserv"), "two connections"
        )
    wait_until(lambda: 'Status: "connections: 0"' in box.run("systemctl status tsserv"), "no connections")


@pytest.mark.parametrize("number", [signal.SIGKILL, signal.SIGSTOP], ids=lambda number: number.name)
def test_a_process_that_dies_or_hangs_is_replaced(box: Box, number: signal.Signals) -> None:
    drop_in(box, "[Service]\nWatchdogSec=2")
    box.run("systemctl start tsserv")
    pid = shown(box, "MainPID")
    box.run(f"kill -{number:d} {pid}")
    wait_until(
        lambda: shown(box, "NRestarts") == "1" and shown(box, "ActiveState") == "active", "a new process"
    )
    assert shown(box, "MainPID") != pid
    assert_serves(box)
    assert ("watchdog" in box.run("journalctl -u tsserv")) == (number == signal.SIGSTOP)


def test_tls_with_a_key_that_a_group_may_read_and_a_log_file_that_is_rotated(box: Box) -> None:
    for name in ("logrotate", "openssl"):
        program(name)
    drop_in(box, "[Service]\nSupplementaryGroups=tls")
    box.run(
        """
        getent group tls || groupadd --system tls
        cd /etc/ssl
        openssl req -x509 -newkey rsa:2048 -nodes -subj /CN=box -keyout key.pem -out box.pem 2>/dev/null
        cat key.pem >>box.pem
        chgrp tls box.pem
        chmod 640 box.pem
        options='--listen tls+tcp:21567 --certificate /etc/ssl/box.pem --logfile /var/log/tsserv/tsserv.log'
        echo "TSSERV_OPTIONS=$options" >/etc/default/tsserv
        systemctl start tsserv
        """
    )
    client = "timeout 1 openssl s_client -quiet -connect 127.0.0.1:21567 2>/dev/null"
    ask = f"printf 'hi\\n' | {client} | grep ' hi'"
    assert box.run(ask).endswith("] hi")
    box.run("logrotate --force /clone/etc/logrotate.d/tsserv")
    wait_until(lambda: "read its certificate again" in box.run("journalctl -u tsserv"), "the reload")
    assert box.run(ask).endswith("] hi")
    wait_until(lambda: "closed: " in box.run("cat /var/log/tsserv/tsserv.log"), "a line in the new file")
    assert "listening on" in box.run("cat /var/log/tsserv/tsserv.log.1")


def test_a_bad_option_is_one_line_and_no_loop(box: Box) -> None:
    box.run("echo 'TSSERV_OPTIONS=--framing=words' >/etc/default/tsserv")
    assert "failed" in box.run("systemctl start tsserv", check=False)
    assert (shown(box, "ActiveState"), shown(box, "NRestarts")) == ("failed", "0")
    [line] = box.run("journalctl --output=cat SYSLOG_IDENTIFIER=twistd").splitlines()
    assert line.startswith("twistd tsserv: ")
    assert "'words'" in line


def test_a_port_beside_the_socket_is_one_line(box: Box) -> None:
    box.run("echo 'TSSERV_OPTIONS=--port 8000' >/etc/default/tsserv")
    box.run("systemctl start tsserv.socket")
    assert "failed" in box.run("systemctl start tsserv", check=False)
    assert (shown(box, "ActiveState"), shown(box, "NRestarts")) == ("failed", "0")
    [line] = box.run("journalctl --output=cat SYSLOG_IDENTIFIER=twistd").splitlines()
    assert "systemd passes sockets that would not be used: systemd:domain=INET6:index=0; " in line


@pytest.mark.parametrize(
    "place",
    ["--interface ::", "--listen tcp6:21567", "--interface :: --no-eager", "--no-eager --listen tcp6:21567"],
)
def test_every_address_is_both_families_where_ipv6_sockets_are_for_ipv6_only(box: Box, place: str) -> None:
    box.run(f"echo 'TSSERV_OPTIONS={place}' >/etc/default/tsserv")
    box.run("sysctl -q net.ipv6.bindv6only=1")
    try:
        box.run("systemctl restart tsserv")
        assert_serves(box)  # over IPv4
    finally:
        box.run("sysctl -q net.ipv6.bindv6only=0")


def test_the_installation_shows_what_it_would_do(box: Box) -> None:
    before = box.run("rm /etc/default/tsserv /etc/systemd/system/tsserv@.service; find /etc | sort")
    commands = box.run("/opt/tsserv/share/tsserv/install --dry-run").splitlines()
    assert box.run("find /etc | sort") == before
    assert "install -D -m 644 /dev/stdin /etc/systemd/system/tsserv@.service" in commands
    assert "install -D -m 644 /dev/stdin /etc/default/tsserv" in commands
    assert commands[-1] == "systemctl daemon-reload"
    assert box.run("/opt/tsserv/share/tsserv/install").splitlines() == commands
    assert "/etc/default/tsserv" not in box.run("/opt/tsserv/share/tsserv/install")


def test_an_installation_elsewhere_has_its_own_path_in_the_units(box: Box) -> None:
    box.run(
        "cp -a /opt/tsserv /srv/elsewhere; sed -i 's,/opt/tsserv,/srv/elsewhere,' /srv/elsewhere/bin/twistd"
    )
    try:
        box.run("/srv/elsewhere/share/tsserv/install")
        assert "path=/srv/elsewhere/bin/twistd" in shown(box, "ExecStart")
        box.run("systemctl start tsserv")
        assert_serves(box)
    finally:
        box.run("rm -r /srv/elsewhere; /opt/tsserv/share/tsserv/install")


@pytest.mark.parametrize(
    ("place", "reason"),
    [
        ("/srv/broken", "/srv/broken/bin/twistd does not run the service"),
        ("/root/tsserv", "the unit may not read home directories, as /root/tsserv is in one"),
    ],
)
def test_an_installation_that_cannot_serve_puts_nothing_in_place(box: Box, place: str, reason: str) -> None:
    box.run(f"mkdir -p {place}/bin; cp -r /opt/tsserv/share {place}")
    if "home" in reason:
        box.run(f"ln -s /opt/tsserv/bin/* {place}/bin/")
    before = box.run("ls -l --time-style=full-iso /etc/systemd/system /etc/default")
    try:
        assert reason in box.run(f"! {place}/share/tsserv/install")
        assert box.run("ls -l --time-style=full-iso /etc/systemd/system /etc/default") == before
    finally:
        box.run(f"rm -r {place}")


def test_clients_do_not_wait_for_a_program_that_is_missing(box: Box) -> None:
    box.run("mv /opt/tsserv/bin/twistd /opt/tsserv/bin/gone; systemctl start tsserv.socket")
    try:
        with box.connect(21567) as client, pytest.raises(ConnectionResetError):
            client.recv(1)
        with pytest.raises(ConnectionRefusedError):
            box.connect(21567)
    finally:
        box.run("mv /opt/tsserv/bin/gone /opt/tsserv/bin/twistd")


def test_clients_do_not_wait_for_a_service_that_cannot_start(box: Box) -> None:
    """Whoever connects starts it, again and again, up to the limit."""
    drop_in(box, "[Unit]\nStartLimitIntervalSec=infinity\nStartLimitBurst=3")
    box.run("echo 'TSSERV_OPTIONS=--framing=words' >/etc/default/tsserv")
    box.run("systemctl start tsserv.socket")
    with box.connect(21567) as client, pytest.raises(ConnectionResetError):
        client.recv(1)
    assert shown(box, "Result", "tsserv.socket") == "service-start-limit-hit"
    box.run("cp etc/default/tsserv /etc/default/ && systemctl reset-failed tsserv.socket tsserv.service")
    box.run("systemctl start tsserv.socket tsserv.service")
    assert_serves(box)


def test_the_first_client_starts_the_service(box: Box) -> None:
    box.run("systemctl start tsserv.socket")
    assert shown(box, "ActiveState") == "inactive"
    assert_serves(box)
    assert shown(box, "ActiveState") == "active"


def test_the_probe_for_prometheus_may_do_little_and_stops_well(box: Box) -> None:
    [example] = blocks("For Prometheus", document="docs/probe.md")
    box.run("systemctl start tsserv")
    box.run(example, online=True)
    unit = "tsserv-ping-exporter.service"
    page = """/usr/bin/python3 -c 'from urllib.request import urlopen as u
print(u("http://127.0.0.1:21570/metrics").read().decode())'"""
    wait_until(
        lambda: 'tsserv_ping_up{target="localhost:21567"} 1.0' in box.run(page, check=False), "an answer"
    )
    box.run("systemctl stop tsserv")
    wait_until(lambda: 'tsserv_ping_up{target="localhost:21567"} 0.0' in box.run(page), "an outage")
    box.run("systemctl start tsserv")
    wait_until(lambda: 'tsserv_ping_outages_total{target="localhost:21567"} 1.0' in box.run(page), "its end")
    assessment = box.run(f"systemd-analyze security --no-pager {unit}")
    [exposure] = re.findall(rf"exposure level for {unit}: (\S+)", assessment)
    assert float(exposure) <= 1.3
    box.run(f"systemctl stop {unit}")
    assert (shown(box, "Result", unit), shown(box, "ExecMainStatus", unit)) == ("success", "0")
    log = box.run(f"journalctl --output=cat -u {unit}")
    # Closed or reset: the service closes a connection that is silent for a second, which may cross a probe.
    assert re.search("localhost:21567: connection ended: .+; connecting again", log)
    assert "Traceback" not in log
    box.run("echo TSSERV_PING_OPTIONS=--exporter=x >/etc/default/tsserv-ping-exporter")
    box.run(f"systemctl start {unit}", check=False)
    wait_until(lambda: shown(box, "ActiveState", unit) == "failed", "the end")
    assert shown(box, "NRestarts", unit) == "0"


class Traffic:
    """Clients that connect, send, half-close and read their answer, again and again."""

    def __init__(self, box: Box) -> None:
        self._box = box
        self._ended = threading.Event()
        self._threads = [threading.Thread(target=self._go_on, args=[1000**size]) for size in (0, 0, 1, 2)]
        self.count = 0
        self.wrong: list[object] = []

    def _go_on(self, size: int) -> None:
        data = b"x" * size
        while not self._ended.is_set():
            try:
                answer = exchange(self._box, data)
            except OSError as error:
                self.wrong.append(error)
            else:
                if STAMP.sub(b"", answer) != data:
                    self.wrong.append(answer)
                self.count += 1

    def wait_for_more(self) -> None:
        """Wait until every client has had the time for an exchange."""
        enough = self.count + 10
        wait_until(lambda: self.count >= enough, "an exchange")

    def __enter__(self) -> Traffic:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._ended.set()
        for thread in self._threads:
            thread.join()


def test_a_restart_loses_nobody(box: Box) -> None:
    box.run("systemctl start tsserv.socket tsserv.service")
    with Traffic(box) as traffic:
        for _ in range(10):
            traffic.wait_for_more()
            box.run("systemctl restart tsserv")
        traffic.wait_for_more()
    assert traffic.wrong == []
    assert box.run("journalctl -u tsserv").count("waiting for connection...") == 11


def test_a_stop_without_the_socket_answers_or_refuses(box: Box) -> None:
    box.run("systemctl start tsserv")
    with Traffic(box) as traffic:
        for _ in range(5):
            traffic.wait_for_more()
            box.run("systemctl restart tsserv")
        traffic.wait_for_more()
    assert [wrong for wrong in traffic.wrong if not isinstance(wrong, ConnectionRefusedError)] == []


def test_several_processes_share_a_port_and_one_may_go(box: Box) -> None:
    start, give_status, take_away = blocks("Several processes", document=OPERATIONS)
    box.run(start)
    with Traffic(box) as traffic:
        wait_until(
            lambda: all("...connected" in box.run(f"journalctl -u tsserv@{number}") for number in (1, 2)),
            "each has its share",
        )
        for _ in range(5):
            box.run(take_away)
            traffic.wait_for_more()
            box.run("systemctl start tsserv@2.socket tsserv@2.service")
            traffic.wait_for_more()
        box.run(give_status)
        traffic.wait_for_more()
    assert traffic.wrong == []
    for port in (8081, 8082):
        box.connect(port).close()


def test_the_examples_for_operators(box: Box) -> None:
    examples = re.findall(r"^```sh\n(.*?)^```$", text(OPERATIONS), re.DOTALL | re.MULTILINE)
    assert examples[:1] == blocks("Under systemd", document=OPERATIONS)[:1]
    assert examples[-1:] == blocks("In the background", document=OPERATIONS)  # needs no systemd
    box.run("systemctl start tsserv")  # as the first has left it
    for example in examples[1:-1]:
        box.run(example)
        assert exchange(box).endswith(b"] hello\n")


@pytest.mark.usefixtures("installed")  # so that a box can be made
def test_nothing_is_left_of_a_box_whose_test_run_is_killed(tmp_path: Path) -> None:
    script = "import pathlib, sys, box; b = box.Box(*map(pathlib.Path, sys.argv[1:])); print(b.init); input()"
    with subprocess.Popen(
        [sys.executable, "-uc", script, CLONE, tmp_path],
        env={**os.environ, "PYTHONPATH": str(Path(__file__).parents[1] / "support")},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
        text=True,
    ) as run:
        assert run.stdout is not None
        init = Path("/proc", run.stdout.readline().strip())
        [cgroup] = re.findall(r"^0::/(\S*tsserv-box-\d+)/", init.joinpath("cgroup").read_text(), re.M)
        groups = [folder / cgroup for folder in map(Path, ("/sys/fs/cgroup", "/sys/fs/cgroup/unified"))]
        assert any(group.exists() for group in groups)
        run.kill()
    wait_until(
        lambda: not init.exists() and not any(group.exists() for group in groups), "the end of the box"
    )
