"""What README.md and the pages of docs/ show is what happens."""

from __future__ import annotations

import json
import os
import re
import signal
import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Files
from conftest import program
from processes import PATIENCE, STAMP, TWISTD, Twistd, environment, receive, wait_until
from readme import blocks, text

from tsserv.stamp import Stamp

MONITORING = "docs/monitoring.md"


def options(command: str) -> list[str]:
    """Return the service's options in a command of a page, on a port of 127.0.0.1 that the system chooses."""
    _, _, options = command.partition(" tsserv ")
    return re.sub(r"tcp:\d+", "tcp:0:interface=127.0.0.1", options).split()


def installed(command: str) -> str:
    """Return a command of a page with the programs that are tested."""
    return command.replace(".venv/bin", str(TWISTD.parent))


def test_run_it(serve: Callable[..., Twistd]) -> None:
    shown = re.sub(r"0\.0\.0\.0:21567", "", blocks("Run it", "text")[0])
    service = serve()
    with service.connect():
        service.wait_for("connected from: ")
    said = service.output.replace(f"127.0.0.1:{service.port}", "")
    ours = r"\[tsserv\S+\] .*"
    assert re.findall(ours, said)[:3] == re.findall(ours, shown)


def test_clients_of_the_terminal(serve: Callable[..., Twistd]) -> None:
    service = serve()
    command, typed, shown = blocks("Run it", "text")[1].splitlines()
    assert typed == "hello"
    assert STAMP.sub(b"", shown.encode()) == b"hello"
    program("nc")
    with subprocess.Popen(
        command.removeprefix("$ ").replace("21567", str(service.port)).split(),
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    ) as client:
        assert client.stdin is not None
        assert client.stdout is not None
        client.stdin.write(b"hello\n")
        client.stdin.flush()
        assert STAMP.sub(b"", client.stdout.readline()) == b"hello\n"
        client.kill()
    [pipe] = re.findall(r"`(printf .*? 21567)`", text("README.md"))
    done = subprocess.run(
        pipe.replace("21567", str(service.port)), shell=True, capture_output=True, timeout=PATIENCE
    )
    assert STAMP.sub(b"", done.stdout) == b"hi\n"


@pytest.mark.once
def test_what_comes_back() -> None:
    rows = re.findall(r"^\| .*?`(\S+)`.*\| `(\[.*?\] )` \|$", text("README.md"), re.M)
    assert len(rows) == 4
    for time_format, stamp in rows:
        assert Stamp(time_format, utc=True, clock=lambda: 1795422158.25)() == stamp.encode()


@pytest.mark.once
def test_a_service_in_the_foreground_has_no_pid_file() -> None:
    pages = ("README.md", "docs/tls.md", MONITORING, "docs/operations.md")
    commands = re.findall(r"bin/twistd -n .*", "".join(map(text, pages)))
    assert len(commands) == 4
    assert all(command.startswith("bin/twistd -n --pidfile= tsserv ") for command in commands)


@pytest.mark.once
def test_in_the_background(tmp_path: Path) -> None:
    [commands] = blocks("In the background", document="docs/operations.md")
    subprocess.run(
        installed(commands).replace("21567", "0"),
        shell=True,
        cwd=tmp_path,
        env=environment(),
        check=True,
        timeout=PATIENCE,
    )
    wait_until(lambda: not (tmp_path / "tsserv.pid").exists(), "the end")
    assert "waiting for connection..." in (tmp_path / "tsserv.log").read_text()


def test_tls(tmp_path: Path, serve: Callable[..., Twistd]) -> None:
    service_block, client_block, probe = blocks("Try it", document="docs/tls.md")
    make, run = service_block.splitlines()
    program("openssl")
    subprocess.run(make, shell=True, cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE)
    service = serve(*options(run))
    port = re.findall(r"listening on \S+:(\d+)\n", service.output)[-1]
    for line in client_block.splitlines():
        program(line.split("| ")[1].split()[0])
        patient = line.replace("21568", port).replace("timeout 1 ", f"timeout {PATIENCE:g} ")
        with subprocess.Popen(
            patient, shell=True, cwd=tmp_path, stdout=subprocess.PIPE, start_new_session=True
        ) as client:
            assert client.stdout is not None
            assert STAMP.sub(b"", client.stdout.readline()) == b"hi\n", line
            os.killpg(client.pid, signal.SIGKILL)
    done = subprocess.run(
        installed(probe).replace("21568", port),
        shell=True,
        cwd=tmp_path,
        capture_output=True,
        timeout=PATIENCE,
    )
    assert re.search(rb"its certificate expires on ", done.stdout), done


def test_logs(tmp_path: Path, serve: Callable[..., Twistd]) -> None:
    [lines] = blocks("Logs", "text", document=MONITORING)
    [example] = blocks("Logs", "json", document=MONITORING)
    path = tmp_path / "log"
    service = serve(f"--logfile={path}", "--log-format=json")
    with service.connect() as client:
        client.sendall(b"hello\n")
        receive(client, 33)
    service.wait_for("closed: ")
    service.stop()
    shown = [re.sub(r"\d+\.\d{3} s|port \d+", "", line.split("] ")[1]) for line in lines.splitlines()]
    said = [
        re.sub(r"\d+\.\d{3} s|port \d+", "", line)
        for line in re.findall(r"tsserv#info\] (\.\.\..*)", service.output)
    ]
    assert said == shown
    last = json.loads(path.read_text().splitlines()[-1])
    expected = json.loads(example)
    for line in (last, expected):
        for field in ("time", "port", "duration"):
            del line[field]
    assert list(last.items()) == list(expected.items())


def test_status(serve: Callable[..., Twistd], tmp_path: Path, files: Files) -> None:
    start, ask = blocks("Status", document=MONITORING)
    install, run = start.splitlines()
    assert install == ".venv/bin/pip install -q '.[metrics]'"
    assert run.endswith(" tsserv --port 21567 --status 8080")
    service = serve("--status=0", "--listen=proxy+tcp:0", *files.options)
    port = service.wait_for(r"status on 127\.0\.0\.1:(\d+)\n")[1]
    program("curl")
    done = subprocess.run(
        ask.replace("8080", port), shell=True, check=True, capture_output=True, text=True, timeout=PATIENCE
    )
    first, *metrics = done.stdout.splitlines()
    assert first == "ready"
    told = set(re.findall(r"`(tsserv_\w+)(?:{\w+})?`", text(MONITORING)))
    assert told == {line.split()[2] for line in metrics if line.startswith("# TYPE tsserv_")}
    asked = set(re.findall(r"tsserv_\w+", "".join(queries(MONITORING))))
    assert {name.removesuffix("_bucket") for name in asked} <= told
    (tmp_path / "prometheus.yml").write_text(blocks("Status", "yaml", document=MONITORING)[0])
    subprocess.run(
        [program("promtool"), "check", "config", tmp_path / "prometheus.yml"], check=True, timeout=PATIENCE
    )


def queries(page: str) -> list[str]:
    """Return what the tables of a page ask Prometheus."""
    return re.findall(r"^\|.*?`([^`]*(?:==|[<>]|\[5m\]).*?)`", text(page), re.M)


@pytest.mark.once
@pytest.mark.parametrize(("page", "count"), [(MONITORING, 7), ("docs/probe.md", 4)])
def test_queries_for_prometheus(page: str, count: int, tmp_path: Path) -> None:
    rules = [{"alert": f"rule {number}", "expr": query} for number, query in enumerate(queries(page))]
    assert len(rules) == count
    file = tmp_path / "rules.yml"
    file.write_text(json.dumps({"groups": [{"name": "page", "rules": rules}]}))
    subprocess.run([program("promtool"), "check", "rules", file], check=True, timeout=PATIENCE)


def test_logrotate(tmp_path: Path, serve: Callable[..., Twistd]) -> None:
    folder = tmp_path / "logs"
    folder.mkdir(mode=0o755)
    path = folder / "tsserv.log"
    service = serve(f"--logfile={path}")
    rules = text("etc/logrotate.d/tsserv").replace("/var/log/tsserv", str(folder))
    config = tmp_path / "config"
    config.write_text(rules.replace("systemctl reload 'tsserv*.service'", f"kill -HUP {service.process.pid}"))
    config.chmod(0o644)
    subprocess.run(
        [program("logrotate"), "--force", f"--state={tmp_path}/state", config], check=True, timeout=PATIENCE
    )
    old = path.with_name("tsserv.log.1").read_text()
    with service.connect() as client:
        client.sendall(b"x")
        receive(client, 28)
    wait_until(lambda: "...closed: " in path.read_text(), "a line in the new file")
    assert "waiting for connection..." in old
    assert "...closed: " not in old
