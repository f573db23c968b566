"""Sections as one HTML page: every text is escaped; the page has one style sheet, no script, and fetches nothing."""

from __future__ import annotations

import base64
import hashlib
from pathlib import Path

import matplotlib
from jinja2 import Environment, FileSystemLoader, StrictUndefined
from markupsafe import Markup

from albert.report.sections import sections
from albert.report.svg import STYLE
from albert.tasks.facts import Facts

_HERE = Path(__file__).parent
_POLICY = "default-src 'none'; style-src 'sha256-{}'; img-src data:; base-uri 'none'; form-action 'none'"


def render(facts: Facts) -> str:
    """The page as HTML."""
    environment = Environment(
        loader=FileSystemLoader(_HERE), autoescape=True, undefined=StrictUndefined, trim_blocks=True, lstrip_blocks=True
    )
    environment.filters["number"] = number
    css = (_HERE / "page.css").read_text(encoding="utf-8")
    digest = base64.b64encode(hashlib.sha256(css.encode()).digest()).decode()
    with matplotlib.rc_context(STYLE):
        return environment.get_template("page.html").render(
            title=facts.title,
            about=facts.about,
            sections=list(sections(facts)),
            css=Markup(css),
            policy=_POLICY.format(digest),
        )


def number(value: float | str | None) -> str:
    """A cell in words: four decimals, whole numbers in groups of three digits, texts unchanged."""
    if value is None:
        return ""
    if isinstance(value, str):
        return value
    return f"{value:,}" if isinstance(value, int) else f"{value:.4f}"
