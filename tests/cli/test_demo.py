from __future__ import annotations

import re
from pathlib import Path

import pytest

from conftest import Albert


@pytest.mark.ci
@pytest.mark.timeout(600)  # a larger starter, or a machine that others use
def test_the_demo_beats_its_baseline_and_predicts(albert_process: Albert, tmp_path: Path) -> None:
    done = albert_process("demo", "-o", tmp_path / "demo")
    assert done.returncode == 0, done.stderr
    found = re.search(r"held-out accuracy ([\d.]+), majority baseline ([\d.]+)", done.stdout)
    assert found
    assert float(found[1]) > float(found[2]) + 0.25
    assert len(re.findall(r"^ *(positive|negative|neutral) [01]\.\d\d ", done.stdout, re.MULTILINE)) == 6
    assert "starting from starter" in done.stderr
    assert (tmp_path / "demo" / "README.md").exists()
