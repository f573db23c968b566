"""The report on a model: one HTML file that needs no other, with the scores, the errors and pictures."""

from __future__ import annotations

from pathlib import Path

from albert.errors import require_extra
from albert.storage.files import write_output
from albert.tasks.facts import Facts

__all__ = ["Facts", "write_report"]


def write_report(path: Path, facts: Facts) -> None:
    """Writes the report as an HTML file. Raises `AlbertError` (bad-config) without the extra `report`."""
    for module in ("jinja2", "matplotlib"):
        require_extra(module, "report")
    from albert.report.page import render

    # A lone surrogate in a text must not prevent the report.
    write_output(path, render(facts).encode("utf-8", "replace"))
