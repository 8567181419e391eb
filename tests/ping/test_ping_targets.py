"""``tsserv-ping`` with several targets: one loop, in which none holds up another."""

from __future__ import annotations

import csv
import json
import os
import re
import signal
import socket
import subprocess
import sysconfig
import threading
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import pytest
from pinging import Ping, refusing, serving
from processes import PATIENCE, Twistd, environment

from tsserv.ping.interrupt import Interrupt
from tsserv.ping.loop import Loop, Task, Wait, complete
from tsserv.ping.verdict import joint_status
from tsserv.stamp import Stamp

PROGRAM = Path(sysconfig.get_path("scripts")) / "tsserv-ping"
QUICK = ("--count", 5, "--interval", 0.02)


def answer(client: socket.socket, ahead: float = 0.0, pause: float = 0.0) -> None:
    """Be a tsserv whose clock is ahead, with a way back that takes a while."""
    stamp = Stamp("unix", clock=lambda: time.time() + ahead)
    while data := client.recv(65536):
        stamped = stamp() + data
        time.sleep(pause)
        client.sendall(stamped)


def of_target(lines: str, port: int) -> list[dict[str, Any]]:
    """Return the JSON objects about one target; the last is its summary."""
    records = [json.loads(line) for line in lines.splitlines()]
    return [record for record in records if record["target"] == f"127.0.0.1:{port}"]


def test_each_target_is_measured_on_its_own(ping: Ping) -> None:
    with (
        serving(lambda client: answer(client, ahead=100.2)) as ahead,
        serving(lambda client: answer(client, ahead=-7, pause=0.05)) as slow,
    ):
        ports = (ahead, slow)
        done = ping(*(f"127.0.0.1:{port}" for port in ports), *QUICK, "--json")
    assert (done.status, done.err) == (0, "")
    for port, offset in ((ahead, 100_200), (slow, -7000)):
        *probes, summary = of_target(done.out, port)
        assert [probe["seq"] for probe in probes] == [1, 2, 3, 4, 5]
        assert (summary["type"], summary["answered"], summary["lost"]) == ("summary", 5, 0)
        assert summary["remote"] == f"127.0.0.1:{port}"
        assert abs(summary["offset_ms"] - offset) <= summary["uncertainty_ms"]
    assert of_target(done.out, slow)[-1]["rtt_ms"]["min"] >= 50


def test_a_target_that_is_down_stops_no_other(ping: Ping) -> None:
    with serving(answer) as port, refusing() as down, refusing() as other:
        done = ping(f"127.0.0.1:{down}", f"127.0.0.1:{port}", *QUICK)
        alone = ping(f"127.0.0.1:{down}", f"127.0.0.1:{other}", *QUICK)
    refused = f"cannot connect to 127.0.0.1:{down}: Connection refused"
    assert (done.status, done.err) == (1, f"tsserv-ping: 127.0.0.1:{down}: {refused}\n")
    assert f"\n127.0.0.1:{down}: seq=5 lost: {refused}\n" in done.out
    *_, head, first, second = done.out.splitlines()
    assert head.split()[:3] == ["sent", "lost", "%"]
    assert first.split()[:4] == [f"127.0.0.1:{down}", "5", "100", "-"]
    assert second.split()[:3] == [f"127.0.0.1:{port}", "5", "0"]
    assert all(len(line) <= 80 for line in (head, first, second))
    assert alone.status == 3


def test_what_is_no_tsserv_stops_no_other(ping: Ping) -> None:
    made = []

    def greet(client: socket.socket) -> None:
        made.append(client)
        client.sendall(b"SSH-2.0-test\r\n")
        client.recv(65536)

    with serving(answer) as port, serving(greet) as other:
        done = ping(f"127.0.0.1:{port}", f"127.0.0.1:{other}", *QUICK, "--json")
    assert done.status == 1
    assert of_target(done.out, port)[-1]["answered"] == 5
    *probes, summary = of_target(done.out, other)
    assert (summary["sent"], summary["lost"]) == (5, 5)
    assert summary["error"] == "this is not tsserv: it sends 'SSH-2.0-test'"
    assert len(made) > 1
    assert probes[0]["reason"] == summary["error"]


def test_a_lookup_without_an_answer_holds_up_no_other(monkeypatch: pytest.MonkeyPatch, ping: Ping) -> None:
    look_up, over = socket.getaddrinfo, threading.Event()

    def wait_for_silent(host: str, *arguments: Any) -> object:  # noqa: ANN401 (as the other takes them)
        if host == "silent":
            over.wait(PATIENCE)
        return look_up(host, *arguments)

    monkeypatch.setattr(socket, "getaddrinfo", wait_for_silent)
    with serving(answer) as port:
        done = ping("silent:1", f"127.0.0.1:{port}", "--timeout", 3, "--count", 2, "--json")
    over.set()
    targets = [json.loads(line)["target"] for line in done.out.splitlines()]
    assert targets[:2] == [f"127.0.0.1:{port}"] * 2  # before the first is given up
    assert done.err == "tsserv-ping: silent:1: cannot find the host 'silent': timed out\n"


def test_a_connection_without_an_answer_holds_up_no_other(ping: Ping) -> None:
    with socket.create_server(("127.0.0.1", 0), backlog=0) as listener, serving(answer) as port:
        full = listener.getsockname()
        # Further connections are not answered.
        fillers = [socket.socket() for _ in range(4)]
        for filler in fillers:
            filler.setblocking(False)
            filler.connect_ex(full)
        done = ping(f"127.0.0.1:{full[1]}", f"127.0.0.1:{port}", "--timeout", 3, "--count", 2, "--json")
        for filler in fillers:
            filler.close()
    assert [record["outcome"] for record in of_target(done.out, port)[:-1]] == ["answered"] * 2
    summary = of_target(done.out, full[1])[-1]
    assert (summary["answered"], summary["error"]) == (
        0,
        f"cannot connect to 127.0.0.1:{full[1]}: timed out",
    )


def test_a_target_that_comes_up_is_found_and_ctrl_c_shows_the_table(serve: Callable[..., Twistd]) -> None:
    keeping = ExitStack()
    port, late = serve().port, keeping.enter_context(refusing())
    command = [str(PROGRAM), f"127.0.0.1:{port}", f"127.0.0.1:{late}", "--interval", "0.1"]
    with keeping, subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=environment()) as process:
        assert process.stdout is not None
        lines = process.stdout

        def wait_for(pattern: str) -> None:
            next(line for line in lines if re.match(pattern, line))

        wait_for(rf"127\.0\.0\.1:{late}: seq=2 lost: ")
        keeping.close()
        serve(f"--port={late}")
        wait_for(rf"127\.0\.0\.1:{late}: the service is back after \S+ s: \d+ probes? lost")
        wait_for(rf"127\.0\.0\.1:{late}: seq=\d+ rtt=")
        wait_for(rf"127\.0\.0\.1:{port}: seq=\d+ rtt=")
        process.send_signal(signal.SIGINT)
        out, _ = process.communicate(timeout=PATIENCE)
    assert re.search(rf"\n127\.0\.0\.1:{port} +\d+ +0 +\d", out)
    assert re.search(rf"\n127\.0\.0\.1:{late} +\d+ +[1-9]", out)
    assert process.returncode == 1


def test_each_begins_at_its_own_time_within_the_interval(monkeypatch: pytest.MonkeyPatch, ping: Ping) -> None:
    begins: list[int] = []

    class Recording(Loop):
        def run(self, tasks: Sequence[Task[None]]) -> None:
            begins.extend(next(task).until for task in tasks)
            super().run([])

    monkeypatch.setattr("tsserv.ping.command.Loop", Recording)
    ping("a", "b", "c", "d", "--interval", 1000)
    assert [round((begin - begins[0]) / 1e9) for begin in begins] == [0, 250, 500, 750]


def test_each_probe_over_a_connection_of_its_own(ping: Ping) -> None:
    with serving(answer) as port, refusing() as down:
        done = ping(f"127.0.0.1:{down}", f"127.0.0.1:{port}", *QUICK, "--reconnect")
    assert done.status == 1
    assert f"\n127.0.0.1:{down}: seq=5 lost: cannot connect to " in done.out
    assert len(set(re.findall(rf"^127.0.0.1:{port}: .* from=(\S+)$", done.out, re.M))) == 5


def test_once_ends_each_on_its_own(ping: Ping) -> None:
    with serving(answer) as port, refusing() as down:
        done = ping(f"127.0.0.1:{down}", f"127.0.0.1:{port}", *QUICK, "--once", "--json")
    assert of_target(done.out, port)[-1]["answered"] == 5
    assert done.status == 1


def test_names_are_in_the_csv_and_before_a_histogram(tmp_path: Path, ping: Ping) -> None:
    file = tmp_path / "run.csv"
    with serving(answer) as port, serving(answer) as other:
        done = ping(f"127.0.0.1:{port}", f"127.0.0.1:{other}", *QUICK, "--csv", file, "--histogram")
        alone = ping(f"127.0.0.1:{port}", *QUICK, "--csv", tmp_path / "alone.csv", "--json")
    rows = list(csv.DictReader(file.read_text().splitlines()))
    assert next(iter(rows[0])) == "target"
    for name in (port, other):
        assert [row["seq"] for row in rows if row["target"] == f"127.0.0.1:{name}"] == list("12345")
        assert f"\n--- 127.0.0.1:{name} ---\n" in done.out
    assert not (tmp_path / "alone.csv").read_text().startswith("target")
    assert "target" not in alone.probes[0]


def test_targets_of_a_file(tmp_path: Path, ping: Ping) -> None:
    file = tmp_path / "targets"
    name = "a-name-of-a-host-that-is-longer-than-its-column.invalid"
    with serving(answer) as port, serving(answer) as other:
        file.write_text(f"# all of them\n127.0.0.1 {port}  # two words\n\n{name}\n")
        done = ping("--targets", file, f"127.0.0.1:{other}", *QUICK)
    assert [line.split()[0] for line in done.out.splitlines()[-4:]] == [
        f"127.0.0.1:{other}",
        f"127.0.0.1:{port}",
        f"{name}:21567",
        "5",
    ]
    assert done.out.splitlines()[-1].split() == ["5", "100", "-", "-", "-", "-"]


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (("--targets", "empty"), "the following arguments are required: TARGET"),
        (("--targets", "nowhere"), "--targets: cannot read 'nowhere': No such file or directory"),
        (("--targets", "."), "--targets: cannot read '.': Is a directory"),
        (("--targets", "wrong"), "line 2 of wrong: 'b:' is not "),
        (("a", "b", "a:21567"), "a:21567 is given 2 times"),
        (("a", "b", "--flood"), "--flood: not with several targets"),
        (("a", "b", "--plot", "x.svg"), "--plot: not with several targets"),
        (("a", "--exporter", "0", "--count", "1"), "--count: not with --exporter"),
        (("a", "--exporter", "0", "--once"), "--once: not with --exporter"),
        (("a", "--exporter", "0", "--flood"), "--flood: not with --exporter"),
        (("a", "--exporter", "0", "--warn", "1"), "--warn: not with --exporter"),
        (("a", "--exporter", "0", "--json"), "--json: not allowed with argument --exporter"),
        (("a", "--exporter", "host"), "--exporter: 'host' is not PORT, ADDRESS:PORT or [IPV6]:PORT"),
        (("a", "--exporter", "65536"), "--exporter: '65536' is not PORT, ADDRESS:PORT or [IPV6]:PORT"),
    ],
)
def test_bad_options_get_one_line(
    arguments: tuple[str, ...], message: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, ping: Ping
) -> None:
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").write_text("# nothing\n")
    (tmp_path / "wrong").write_text("a\nb:\n")
    done = ping(*arguments)
    assert (done.status, done.out) == (2, "")
    if "b:" not in message:
        assert done.err == f"tsserv-ping: {message} (see tsserv-ping --help)\n"
    else:
        assert done.err.startswith("tsserv-ping: line 2 of wrong: ")


def test_nagios_has_one_target(ping: Ping) -> None:
    done = ping("a", "b", "--nagios")
    assert (done.status, done.out) == (3, "TSSERV UNKNOWN - --nagios: not with several targets\n")


def test_a_full_disk_ends_all_with_one_line_for_each(ping: Ping) -> None:
    with serving(answer) as port, serving(answer) as other:
        names = [f"127.0.0.1:{port}", f"127.0.0.1:{other}"]
        done = ping(*names, "--csv", "/dev/full")
    assert done.status == 1
    assert done.err == "".join(
        f"tsserv-ping: {name}: cannot write the output: {os.strerror(28)}\n" for name in names
    )


@pytest.mark.parametrize(
    ("statuses", "joint"),
    [((0, 0), 0), ((0, 1), 1), ((0, 3), 1), ((3, 3), 3), ((2, 0), 2), ((2, 3), 2), ((3,), 3), ((0,), 0)],
)
def test_the_worst_target_decides_the_exit_status(statuses: tuple[int, ...], joint: int) -> None:
    assert joint_status(statuses) == joint


class Steps:
    """Tasks that say what they do."""

    def __init__(self) -> None:
        self.done: list[object] = []

    def task(self, name: str, *waits: Wait) -> Task[None]:
        """Do the waits; say whether the source was ready, and that this is the end."""
        try:
            for wait in waits:
                self.done.append((name, (yield wait)))
        finally:
            self.done.append(name)

    def failing(self) -> Task[None]:
        """Raise at the first turn."""
        yield Wait(0)
        raise ValueError


def test_tasks_go_on_when_their_time_comes_or_their_source_is_ready() -> None:
    steps = Steps()
    now = time.monotonic_ns()
    far = now + 10**9 * 3600
    here, there = socket.socketpair()
    with here, there:
        there.send(b"x")
        Loop(Interrupt()).run(
            [
                steps.task("slow", Wait(now + 40_000_000), Wait(now + 50_000_000)),
                steps.task("ready", Wait(far, here), Wait(far, here)),
                steps.task("quick", Wait(now + 20_000_000, there)),
            ]
        )
    assert steps.done == [
        ("ready", True),
        ("ready", True),
        "ready",
        ("quick", False),
        "quick",
        ("slow", False),
        ("slow", False),
        "slow",
    ]


def test_a_task_that_fails_closes_the_others() -> None:
    steps = Steps()
    with pytest.raises(ValueError, match=r"^$"):
        Loop(Interrupt()).run([steps.task("other", Wait(1 << 62)), steps.failing()])
    assert steps.done == ["other"]


def test_one_task_returns_its_value() -> None:
    def task() -> Task[int]:
        yield Wait(0)
        return 7

    assert complete(task(), Interrupt()) == 7
