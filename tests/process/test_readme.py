"""What README.md shows is what happens."""

from __future__ import annotations

import json
import re
import subprocess
from collections.abc import Callable
from pathlib import Path

from conftest import program
from processes import PATIENCE, STAMP, Twistd, receive, wait_until
from readme import README, blocks

LOGROTATE = Path(__file__).parents[2] / "etc/logrotate.d/tsserv"


def options(command: str, port: int = 0) -> list[str]:
    """Return the service's options in a command of README, on a port of 127.0.0.1 that the system chooses."""
    _, _, text = command.partition(" tsserv ")
    return re.sub(r"tcp:\d+", f"tcp:{port}:interface=127.0.0.1", text).split()


def test_run_it(serve: Callable[..., Twistd]) -> None:
    shown = re.sub(r"0\.0\.0\.0:21567", "", blocks("Run it", "text")[0])
    service = serve()
    with service.connect():
        service.wait_for("connected from: ")
    said = service.output.replace(f"127.0.0.1:{service.port}", "")
    ours = r"\[tsserv\S+\] .*"
    assert re.findall(ours, said)[:3] == re.findall(ours, shown)


def test_a_service_in_the_foreground_has_no_pid_file() -> None:
    commands = re.findall(r"twistd -n .*", README.read_text())
    assert len(commands) == 3
    assert all(command.startswith("twistd -n --pidfile= tsserv ") for command in commands)


def test_tls(tmp_path: Path, serve: Callable[..., Twistd]) -> None:
    service_block, client_block = blocks("TLS")
    make, run = service_block.splitlines()
    program("openssl")
    subprocess.run(make, shell=True, cwd=tmp_path, check=True, capture_output=True, timeout=PATIENCE)
    service = serve(*options(run))
    port = re.findall(r"listening on \S+:(\d+)\n", service.output)[-1]
    for line in client_block.splitlines():
        program(line.split("| ")[1].split()[0])
        done = subprocess.run(
            line.replace("21568", port), shell=True, cwd=tmp_path, capture_output=True, timeout=PATIENCE
        )
        assert STAMP.sub(b"", done.stdout) == b"hi\n", (line, done)


def test_logs(tmp_path: Path, serve: Callable[..., Twistd]) -> None:
    (text,) = blocks("Logs", "text")
    (example,) = blocks("Logs", "json")
    path = tmp_path / "log"
    service = serve(f"--logfile={path}", "--log-format=json")
    with service.connect() as client:
        client.sendall(b"hello\n")
        receive(client, 33)
    service.wait_for("closed: ")
    service.stop()
    shown = [re.sub(r"\d+\.\d{3} s|port \d+", "", line.split("] ")[1]) for line in text.splitlines()]
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


def test_logrotate(tmp_path: Path, serve: Callable[..., Twistd]) -> None:
    folder = tmp_path / "logs"
    folder.mkdir(mode=0o755)
    path = folder / "tsserv.log"
    service = serve(f"--logfile={path}")
    text = LOGROTATE.read_text().replace("/var/log/tsserv", str(folder))
    config = tmp_path / "config"
    config.write_text(text.replace("systemctl reload 'tsserv*.service'", f"kill -HUP {service.process.pid}"))
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
