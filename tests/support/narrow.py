"""Fails if a telephone cuts off a part of a page of a site: ``python tests/support/narrow.py DIRECTORY``."""

from __future__ import annotations

import html
import json
import re
import subprocess
import sys
import tempfile
from pathlib import Path

# A page that shows the others in frames, and ends with what is beyond their edge and cannot be scrolled to.
_FRAMES = """<!doctype html>
{frames}
<script>
const scrolls = element => element.tagName !== "ARTICLE" &&
    (["auto", "scroll"].includes(getComputedStyle(element).overflowX) || scrolls(element.parentElement));
const end = element => {
    const box = element.getBoundingClientRect();
    return box.left + Math.max(box.width, element.scrollWidth);
};
const lost = page => Array.from(page.querySelectorAll("article *")).filter(element =>
    end(element) > page.documentElement.clientWidth && !scrolls(element));
onload = () => document.body.append("<lost>" + JSON.stringify(Array.from(document.querySelectorAll("iframe"),
    frame => [frame.src, lost(frame.contentDocument).map(element => element.outerHTML.slice(0, 80))])));
</script>
"""


def lost(site: Path, width: int) -> dict[str, list[str]]:
    """Return for each page of ``site`` the elements that a window of ``width`` pixels does not show."""
    frames = "\n".join(
        f'<iframe src="{page.as_uri()}" width="{width}" height="800" style="border: 0"></iframe>'
        for page in sorted(site.rglob("*.html"))
    )
    with tempfile.TemporaryDirectory() as directory:
        all_pages = Path(directory, "frames.html")
        all_pages.write_text(_FRAMES.replace("{frames}", frames))
        done = subprocess.run(
            [
                *(
                    "chromium",
                    "--headless",
                    "--no-sandbox",
                    "--disable-gpu",
                    "--allow-file-access-from-files",
                ),
                *(f"--user-data-dir={directory}/profile", "--dump-dom", all_pages.as_uri()),
            ],
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            check=True,
            text=True,
            timeout=120,
        )
    found = re.search(r"&lt;lost&gt;(.*)</body>", done.stdout, re.DOTALL)
    assert found, done.stdout[-1000:]
    return dict(json.loads(html.unescape(found[1])))


if __name__ == "__main__":
    pages = lost(Path(sys.argv[1]).resolve(), 400)
    assert pages, "a site has pages"
    bad = {page: elements for page, elements in pages.items() if elements}
    sys.exit(f"a telephone cuts off: {json.dumps(bad, indent=1)}" if bad else None)
