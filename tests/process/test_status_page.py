"""The page of ``--status`` in a real browser."""

from __future__ import annotations

import subprocess
from collections.abc import Callable
from pathlib import Path

import pytest
from conftest import program
from matplotlib.image import imread
from processes import PATIENCE, Twistd


@pytest.mark.once
@pytest.mark.parametrize(("scheme", "darkest", "brightest"), [(0, 0.0, 0.2), (1, 0.9, 1.0)])
def test_it_fits_a_telephone_by_day_and_by_night(
    scheme: int, darkest: float, brightest: float, serve: Callable[..., Twistd], tmp_path: Path
) -> None:
    service = serve("--status=0", "--listen=tcp6:0:interface=\\:\\:1")
    port = service.wait_for(r"status on 127\.0\.0\.1:(\d+)\n")[1]
    subprocess.run(
        [
            program("chromium"),
            *("--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"),
            *("--window-size=400,1200", f"--user-data-dir={tmp_path}/profile"),
            f"--blink-settings=preferredColorScheme={scheme}",  # 0 is dark
            f"--screenshot={tmp_path}/page.png",
            f"http://127.0.0.1:{port}/",
        ],
        check=True,
        capture_output=True,
        timeout=2 * PATIENCE,
    )
    picture = imread(tmp_path / "page.png")[:, :, :3]
    assert picture.shape[1] == 400
    background = picture[0, 0]
    assert darkest <= background.min()
    assert background.max() <= brightest
    assert abs(picture - background).max() > 0.6, "text can be read"
    assert (picture[:, -8:] == background).all(), "nothing goes over the edge"
