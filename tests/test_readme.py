"""The README's commands and Python run as they stand there, and its files exist."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT, write_reviews

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"<!-- executed by tests/test_readme.py -->\n```{language}\n(.*?)```", README, re.DOTALL)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readme")
    write_reviews(path / "reviews.csv", rows=120)
    write_reviews(path / "test.csv", rows=40, seed=1)
    (path / "in.csv").write_text("id,text\n1,a lovely soup\n2,a broken chair\n")
    return path


def test_the_commands_run(folder: Path) -> None:
    commands = [line.removeprefix("$ ") for line in blocks("console")[0].splitlines() if line]
    assert len(commands) == 4
    program = Path(sys.executable).parent / "albert"
    for command in commands:
        command = command.replace("albert ", f"{program} ", 1) if command.startswith("albert") else command
        command = command.replace("| albert", f"| {program}")
        done = subprocess.run(
            command, shell=True, cwd=folder, capture_output=True, text=True, timeout=240, check=False
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr)
    assert len((folder / "scored.jsonl").read_text().splitlines()) == 2


def test_the_python_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(folder)
    names: dict[str, object] = {}
    exec(blocks("python")[0], names)
    assert names["m"]("a great film")[0]["label"] == "positive"  # type: ignore[operator]


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", *sorted(
    str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))])  # fmt: skip
def test_links_and_paths_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert ((ROOT / document).parent / target).exists(), target
    for target in re.findall(r"`((?:src|docs|tests|benchmarks|recipes)/[\w./-]+)`", text):
        assert (ROOT / target).exists(), target
