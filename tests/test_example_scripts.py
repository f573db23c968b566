"""The scripts of `examples/` do what they say."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from albert.model.checkpoint import load_model
from conftest import ROOT


def said(name: str, *arguments: object) -> str:
    command = [sys.executable, str(ROOT / "examples" / name), *map(str, arguments)]
    done = subprocess.run(command, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


@pytest.mark.ci
def test_dates_that_the_model_has_not_seen_are_written_right(tmp_path: Path) -> None:
    assert "50 of 50 dates that it has not seen are right" in said("dates_to_iso.py", "--out", tmp_path)


@pytest.mark.ci
def test_the_starter_goes_on_learning_from_own_texts(tmp_path: Path) -> None:
    out = said("adapt_to_your_field.py", ROOT / "docs", "--out", tmp_path, "--steps", 3)
    before, after = (re.search(rf"\| {name} \| (\d\.\d+) \|", out) for name in ("before", "after"))
    assert before
    assert after
    assert before[1] != after[1]
    load_model(tmp_path / "model")
