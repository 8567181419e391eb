"""A few seconds of the soak, which runs for minutes when it is started alone."""

from __future__ import annotations

import sys

import pytest
import soak


@pytest.mark.once
@pytest.mark.skipif(sys.platform != "linux", reason="reads /proc")
def test_a_short_soak(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> None:
    monkeypatch.setattr(sys, "argv", ["soak", "--seconds=8", "--looks=4"])
    status = soak.main()
    assert status == 0, capsys.readouterr().out
