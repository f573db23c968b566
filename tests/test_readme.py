"""The README's commands and Python run as they stand there, and its files exist."""

from __future__ import annotations

import ast
import csv
import itertools
import json
import random
import re
import shlex
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from conftest import BAD, GOOD, ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")


def blocks(language: str) -> list[str]:
    return re.findall(rf"<!-- executed by tests/test_readme.py -->\n```{language}\n(.*?)```", README, re.DOTALL)


def write_texts(path: Path, *, rows: slice) -> None:
    """Short texts, all different, in which one word decides, and each such word stands in many of them.

    Whatever a processor's rounding makes of the training, its answers are then far from the border.
    """
    openings = ("", "a ", "such a ", "what a ")
    things = ("film", "story", "soup", "chair", "phone", "coat", "lamp", "bed")
    texts = [
        (f"{opening}{word} {thing}", "positive" if word in GOOD else "negative")
        for opening, word, thing in itertools.product(openings, (*GOOD, *BAD), things)
    ]
    random.Random(0).shuffle(texts)
    with path.open("w", newline="", encoding="utf-8") as file:
        csv.writer(file).writerows([("text", "label"), *texts[rows]])


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("readme")
    write_texts(path / "reviews.csv", rows=slice(40, None))
    write_texts(path / "test.csv", rows=slice(40))
    (path / "in.csv").write_text("id,text\n1,a lovely soup\n2,a broken chair\n")
    return path


@pytest.mark.timeout(900)
def test_the_commands_run(folder: Path) -> None:
    commands = [line.removeprefix("$ ") for line in blocks("console")[0].splitlines() if line]
    assert len(commands) == 4
    program = shlex.quote(str(Path(sys.executable).parent / "albert"))
    for command in commands:
        done = subprocess.run(
            re.sub(r"(^|\| )albert ", lambda match: f"{match[1]}{program} ", command),
            shell=True, cwd=folder, capture_output=True, text=True, timeout=600, check=False,
        )  # fmt: skip
        assert done.returncode == 0, (command, done.stderr)
    scored = [json.loads(line) for line in (folder / "scored.jsonl").read_text().splitlines()]
    assert [row["prediction"] for row in scored] == ["positive", "negative"]
    assert json.loads(done.stdout)["text"] == "thanks, that was quick"


@pytest.mark.timeout(600)
def test_the_python_runs(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It says what stands there: the label, and a score near the one shown."""
    monkeypatch.chdir(folder)
    names: dict[str, Any] = {}
    (example,) = blocks("python")
    exec(example, names)
    shown = re.search(r"^m\((.*)\)  # (\[.*\])", example, re.MULTILINE)
    assert shown is not None
    (wanted,) = ast.literal_eval(shown[2])
    assert names["m"](ast.literal_eval(shown[1])) == [{**wanted, "score": pytest.approx(wanted["score"], abs=0.08)}]
    assert names["m"].evaluate("test.csv").scores["accuracy"] > 0.9


@pytest.mark.parametrize("document", ["README.md", "CONTRIBUTING.md", *sorted(
    str(p.relative_to(ROOT)) for p in (ROOT / "docs").rglob("*.md"))])  # fmt: skip
def test_links_and_paths_exist(document: str) -> None:
    text = (ROOT / document).read_text(encoding="utf-8")
    for target in re.findall(r"\]\((?!http)([^)#]+)", text):
        assert ((ROOT / document).parent / target).exists(), target
    for target in re.findall(r"`((?:src|docs|tests|benchmarks|recipes)/[\w./-]+)`", text):
        assert (ROOT / target).exists(), target
