"""Reports in a real browser: nothing in the console, nothing fetched, no scrolling sideways on a phone."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest

import albert.report
from albert.report import Facts
from browsers import contrast

STYLE = (Path(albert.report.__file__).parent / "page.css").read_text(encoding="utf-8")


def test_a_report_opens_quietly_and_fits_a_phone(browser: Any, made: tuple[Facts, Path]) -> None:
    path = made[1]
    said: list[str] = []
    for scheme in ("light", "dark"):
        page = browser.new_page(viewport={"width": 390, "height": 844}, color_scheme=scheme)
        page.on("console", lambda message: said.append(message.text))
        page.on("pageerror", lambda error: said.append(str(error)))
        page.on("dialog", lambda dialog: said.append(dialog.message))
        page.on("request", lambda request: said.append(request.url))
        page.goto(path.as_uri())
        page.evaluate("document.querySelectorAll('details').forEach(part => { part.open = true })")
        assert page.evaluate("document.documentElement.scrollWidth") <= 390
        assert page.evaluate("getComputedStyle(document.querySelector('figure svg path')).fill")
        page.close()
    assert [entry for entry in said if entry != path.as_uri() and not entry.startswith("data:")] == []


@pytest.mark.parametrize("palette", range(3), ids=["light", "dark", "print"])
def test_text_stands_out_from_what_is_behind_it(palette: int) -> None:
    block = re.findall(r":root \{(.*?)\}", STYLE, re.DOTALL)[palette]
    colors = dict(re.findall(r"--(\w+): (#\w{6});", block))
    behind = dict.fromkeys(("ink", "muted", "first", "second", "gold", "error", "warning", "note"), ("paper", "card"))
    behind |= {"ink": ("paper", "card", "said", "right"), "muted": ("paper", "card", "said", "right")}
    for name, grounds in behind.items():
        for ground in grounds:
            assert contrast(colors[name], colors[ground]) >= 4.5, (name, ground)
