"""Links in the folder of a run: nothing is written to where they lead."""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from albert.finetuning import report
from albert.storage.files import write_output
from albert.training.state import MetricsLog
from conftest import Albert, write_reviews

WRITTEN = ["metrics.jsonl", "report.html", "config.json", "README.md", "model.safetensors", "manifest.json"]


@pytest.mark.parametrize("there", [False, True])
def test_the_log_replaces_a_link_in_its_place(tmp_path: Path, there: bool) -> None:
    log, target = MetricsLog(tmp_path / "metrics.jsonl"), tmp_path / "target"
    old = '{"step": 1, "loss": 0.5}\n'
    if there:
        target.write_text(old)
    log.path.symlink_to(target)
    log.rewind(2)
    log.write({"step": 2})
    assert not log.path.is_symlink()
    assert [json.loads(line)["step"] for line in log.path.read_text().splitlines()] == ([1, 2] if there else [2])
    assert (target.read_text() if there else target.exists()) == (old if there else False)


@pytest.mark.parametrize("target", ["nowhere", "there", "."])
def test_a_link_that_comes_later_is_not_written_through(tmp_path: Path, target: str) -> None:
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.rewind(0)
    (tmp_path / "there").write_text("mine")
    log.path.symlink_to(target)
    with pytest.raises(OSError, match=r"symbolic|directory"):
        log.write({"step": 1})
    assert (tmp_path / "there").read_text() == "mine"
    assert not (tmp_path / "nowhere").exists()


def test_a_log_with_a_second_name_is_gone_on_with(tmp_path: Path) -> None:
    """As backups make it: what was written before is not lost."""
    log = MetricsLog(tmp_path / "metrics.jsonl")
    log.write({"step": 1})
    (tmp_path / "copy").hardlink_to(log.path)
    log.write({"step": 2})
    assert len(log.path.read_text().splitlines()) == 2


@pytest.mark.parametrize("there", [False, True])
def test_the_report_replaces_a_link_in_its_place(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, there: bool) -> None:
    run: Any = SimpleNamespace(config=SimpleNamespace(out=tmp_path))
    monkeypatch.setattr(report, "_facts", lambda run: None)
    monkeypatch.setattr(report, "write_report", lambda path, facts: write_output(path, b"a report"))
    if there:
        (tmp_path / "target").write_text("mine")
    (tmp_path / report.NAME).symlink_to(tmp_path / "target")
    assert "report ->" in report.report_on(run)
    assert (tmp_path / report.NAME).read_text() == "a report"
    assert (tmp_path / "target").exists() == there
    assert not there or (tmp_path / "target").read_text() == "mine"


@pytest.mark.ci
def test_a_run_in_a_folder_of_links_leads_nowhere(tmp_path: Path, albert: Albert) -> None:
    data, out = write_reviews(tmp_path / "reviews.csv", rows=60), tmp_path / "out"
    out.mkdir()
    for name in WRITTEN:
        (out / name).symlink_to(tmp_path / "elsewhere" / name)
    (tmp_path / "elsewhere").mkdir()
    done = albert("train", data, "-o", out, "--size", "tiny", "--set", "epochs=1", "--quiet")
    assert done.returncode == 0, done.stderr
    assert not list((tmp_path / "elsewhere").iterdir())
    assert all((out / name).is_file() and not (out / name).is_symlink() for name in WRITTEN)
