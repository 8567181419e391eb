"""The image, made from its recipe and run without an engine."""

from __future__ import annotations

import os
import re
import signal
import subprocess
from pathlib import Path

import pytest
from conftest import program
from image import PROGRAMS, Image
from processes import STAMP
from sources import CLONE

pytestmark = [pytest.mark.timeout(600), pytest.mark.once]


@pytest.fixture(scope="module")
def image(tmp_path_factory: pytest.TempPathFactory) -> Image:
    """Return the image."""
    if os.geteuid() != 0:
        pytest.skip("files of another root need root")
    for name in PROGRAMS:
        program(name)
    return Image(CLONE / "etc/container/Containerfile", CLONE, tmp_path_factory.mktemp("image"))


def test_it_serves_without_privileges_is_healthy_and_drains(image: Image) -> None:
    running = image.start("--framing", "line")
    assert running.stdout is not None
    try:
        said = [running.stdout.readline()]
        while "waiting for connection" not in said[-1]:
            said.append(running.stdout.readline())
            assert said[-1], said
        [service] = Path(f"/proc/{running.pid}/task/{running.pid}/children").read_text().split()
        assert "plugin cache" not in "".join(said)
        status = Path(f"/proc/{service}/status").read_text()
        assert re.findall(r"^[UG]id:\t(\d+)", status, re.MULTILINE) == ["65534", "65534"]
        enter = ["nsenter", f"--target={service}", "--net"]
        subprocess.run(
            [*enter, "--root", "--wd", *image.command("HEALTHCHECK")], check=True, stdout=subprocess.DEVNULL
        )
        with subprocess.Popen(
            [*enter, program("socat"), "-t5", "-", "TCP:127.0.0.1:21567"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
        ) as client:
            assert client.stdin is not None
            assert client.stdout is not None
            client.stdin.write(b"one\n")
            client.stdin.flush()
            assert client.stdout.readline().endswith(b"] one\n")
            os.kill(int(service), signal.Signals[image.settings["STOPSIGNAL"]])
            while "Closed" not in (line := running.stdout.readline()):
                assert line
            client.stdin.write(b"two\n")
            client.stdin.close()
            answer = client.stdout.read()
        assert STAMP.match(answer)
        assert answer.endswith(b"] two\n")
        assert "aborted" not in running.stdout.read()
    finally:
        running.kill()
        running.communicate()
