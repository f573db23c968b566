"""The report on a model: one HTML file that needs no other, from predictions and gold to pictures and tables."""

from __future__ import annotations

from pathlib import Path

from albert.errors import require_extra
from albert.storage.files import write_output
from albert.tasks.facts import Facts

__all__ = ["Facts", "write_report"]


def write_report(path: Path, facts: Facts) -> None:
    """Writes the report. Raises `AlbertError` (bad-config) with a hint where the extra `report` is not installed."""
    for module in ("jinja2", "matplotlib"):
        require_extra(module, "report")
    from albert.report.page import render

    # Half a character (a lone surrogate) in a text must not cost the report.
    write_output(path, render(facts).encode("utf-8", "replace"))
