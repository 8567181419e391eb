"""The files for a fleet: what HAProxy, Prometheus and Kubernetes' schema say to them."""

from __future__ import annotations

import re
import subprocess
import venv
from collections.abc import Callable
from pathlib import Path

import pytest
from certificates import Files
from conftest import program
from processes import PATIENCE, Twistd
from readme import blocks
from sources import CLONE
from web import ask

pytestmark = [pytest.mark.once]

ETC = CLONE / "etc"
HAPROXY = ETC / "haproxy/haproxy.cfg"
PROMETHEUS = ETC / "prometheus"


def check(*command: str | Path) -> str:
    """Run a command that must succeed, among Prometheus' files; return what it printed."""
    done = subprocess.run(command, cwd=PROMETHEUS, capture_output=True, text=True, timeout=3 * PATIENCE)
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


def test_haproxy_has_nothing_to_say_against_its_file() -> None:
    assert check(program("haproxy"), "-c", "-f", HAPROXY) == "Configuration file is valid\n"


def test_readmes_example_is_a_part_of_that_file() -> None:
    lines = [line.strip() for line in HAPROXY.read_text().splitlines()]
    for_all = {word for line in lines if line.startswith("default-server ") for word in line.split()}
    [example] = blocks("Behind HAProxy", "haproxy")
    for line in filter(None, map(str.strip, example.splitlines())):
        if line.startswith("server "):
            _, _, _, *keywords = line.split()  # the name and the address are those of the example
            assert for_all.issuperset(keywords)
        else:
            assert line in lines


def test_prometheus_takes_its_files() -> None:
    check(program("promtool"), "check", "config", "prometheus.yml")


def test_each_alert_goes_off_when_it_should() -> None:
    rules = (PROMETHEUS / "tsserv.rules.yml").read_text()
    tests = (PROMETHEUS / "tsserv.rules.test.yml").read_text()
    tested = re.findall(r"alertname: (\w+)\n *eval_time: .*\n *exp_alerts:\n", tests)
    assert tested == re.findall(r"alert: (\w+)", rules)
    check(program("promtool"), "test", "rules", "tsserv.rules.test.yml")


def test_alerts_are_about_metrics_that_there_are(serve: Callable[..., Twistd], files: Files) -> None:
    service = serve("--status=0", "--listen=proxy+tls+tcp:0:interface=127.0.0.1", *files.options)
    _, metrics = ask(service, "/metrics")
    rules = (PROMETHEUS / "tsserv.rules.yml").read_text()
    [reasons] = re.findall(r'reason=~"(.*)"', rules)
    for series in (
        *re.findall(r"tsserv_\w+", rules),
        *(f'{{reason="{reason}"}}' for reason in reasons.split("|")),
    ):
        assert series in metrics


def test_kubernetes_schema_has_the_fields_of_that_file(tmp_path: Path) -> None:
    venv.create(tmp_path, with_pip=True)
    check(tmp_path / "bin/pip", "install", "--quiet", "kubernetes-validate")
    said = check(tmp_path / "bin/kubernetes-validate", "--strict", ETC / "kubernetes/tsserv.yaml")
    assert re.findall(r"passed for resource (\w+)/", said) == ["deployment", "service", "poddisruptionbudget"]
