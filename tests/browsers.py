"""A real browser for the tests, and what WCAG says of colours."""

from __future__ import annotations

import os
import shutil
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest

CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")


@contextmanager
def launched() -> Iterator[Any]:
    """A Chromium; the test skips where there is none."""
    sync_api = pytest.importorskip("playwright.sync_api", reason="needs playwright")
    if CHROMIUM is None:
        pytest.skip("needs a Chromium (CHROMIUM names one)")
    with sync_api.sync_playwright() as playwright:
        flags = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
        chromium = playwright.chromium.launch(executable_path=CHROMIUM, args=flags)
        yield chromium
        chromium.close()


@contextmanager
def opened(browser: Any, url: str, *, allowed: str | tuple[str, ...] = "\0", **options: Any) -> Iterator[Any]:
    """A page at a server. Fails afterwards if the console got anything but `allowed`, or another host was asked."""
    context = browser.new_context(permissions=["clipboard-read", "clipboard-write"], **options)
    page = context.new_page()
    page.set_default_timeout(10_000)
    said: list[str] = []
    page.on("console", lambda message: said.append(message.text))
    page.on("pageerror", lambda error: said.append(str(error)))
    page.on("dialog", lambda dialog: said.append(dialog.message))
    page.on("request", lambda request: request.url.startswith((url, "blob:", "data:")) or said.append(request.url))
    try:
        page.goto(url)
        yield page
        unexpected = [entry for entry in said if not entry.startswith(allowed)]
        assert not unexpected, unexpected
    finally:
        context.close()


def scored(page: Any, panel: Any, source: Path, done: str) -> str:
    """A file whose rows the panel has scored, as it is downloaded, after the page said that it was `done`."""
    panel.get_by_text("A whole file").click()
    panel.get_by_label("File").set_input_files(source)
    panel.get_by_role("button", name="Score the rows").click()
    panel.get_by_text(done).wait_for()
    with page.expect_download() as download:
        panel.get_by_role("button", name="Download CSV").click()
    return Path(download.value.path()).read_text(encoding="utf-8")


def contrast(color: str, other: str) -> float:
    """The ratio that WCAG 2 defines, 1 to 21, of two colours like #1f5fbf."""
    light, dark = sorted((_brightness(color), _brightness(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def _brightness(color: str) -> float:
    parts = [int(color[i : i + 2], 16) / 255 for i in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.03928 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]
