"""Commands that replace a model, killed with SIGKILL: the folder predicts as the old or as the new one, or is refused.

Never a mixture: the new model has the old one's labels the other way round.
"""

from __future__ import annotations

import csv
import shutil
import signal
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from test_kill import FORKS

import kill_at
from albert.errors import AlbertError, ErrorKind
from albert.predict.predictor import Predictor
from albert.storage.files import INT8
from conftest import write_reviews

TEXTS = ["a great lamp", "a broken chair", "an awful soup, number 3"]
NETWORK = ["hidden_size=32", "num_attention_heads=2", "intermediate_size=64", "precision=fp32", "batch_size=16",
           "lr=0.003", "initializer_range=0.1"]  # fmt: skip
Answers = Callable[[Path], Any]


def turned(source: Path, target: Path) -> Path:
    """The same reviews with each label in the place of the other."""
    other = {"positive": "negative", "negative": "positive", "label": "label"}
    with source.open(newline="") as before, target.open("w", newline="") as after:
        csv.writer(after).writerows([text, other[label]] for text, label in csv.reader(before))
    return target


def answers(folder: Path) -> Any:
    return Predictor.load(folder, precision="fp32")(TEXTS, top_k=None)


def answers_in_int8(folder: Path) -> Any:
    """In full precision, too; without a calibration that alone."""
    there = (folder / INT8).exists()
    return answers(folder), Predictor.load(folder, precision="int8")(TEXTS, top_k=None) if there else None


@dataclass(frozen=True)
class Replaced:
    """A command over a copy of the old model's folder, what reads it, and what it says before and after."""

    old: Path
    command: Callable[[Path], list[str]]
    answers: Answers
    before: Any
    after: Any
    total: int  # write boundaries

    def killed_at(self, number: int, folder: Path) -> str:
        """What the folder, made anew, holds after a kill at a boundary: "old", "new" or "refused"."""
        shutil.rmtree(folder, ignore_errors=True)
        shutil.copytree(self.old, folder)
        output = folder.with_name(f"{folder.name}.txt")
        assert run(self.command(folder), output, number) == -signal.SIGKILL, output.read_text()
        return self.held(folder)

    def held(self, folder: Path) -> str:
        try:
            said = self.answers(folder)
        except AlbertError as error:
            assert error.kind is ErrorKind.MODEL, error  # noqa: PT017
            return "refused"
        assert said in (self.before, self.after), "a mixture"
        return "old" if said == self.before else "new"


def run(command: list[str], output: Path, number: int) -> int:
    process = FORKS.Process(target=kill_at.redirected, args=(output, number, command))
    process.start()
    process.join()
    assert process.exitcode is not None
    return process.exitcode


def train(data: Path, epochs: int, *more: str) -> Callable[[Path], list[str]]:
    settings = [word for setting in [*NETWORK, f"epochs={epochs}"] for word in ("--set", setting)]
    return lambda folder: ["train", str(data), "-o", str(folder), "--size", "tiny", "--quiet", *settings, *more]


@pytest.fixture(scope="module", params=["train", pytest.param("export", marks=pytest.mark.slow), "export again"])
def replaced(request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory) -> Replaced:
    base = tmp_path_factory.mktemp("replaced")
    data = write_reviews(base / "reviews.csv", rows=60)
    old, whole, output = base / "old", base / "whole", base / "output.txt"
    assert run(train(data, 2)(old), output, 0) == 0, output.read_text()
    command, reads = train(turned(data, base / "turned.csv"), 1, "--overwrite"), answers
    if request.param != "train":
        dev = {"export": data, "export again": write_reviews(base / "dev.csv", rows=30, seed=1)}[request.param]
        reads = answers_in_int8

        def command(folder: Path) -> list[str]:
            return ["export", str(folder), "--to", "int8", "--dev", str(dev), "--force"]

    if request.param == "export again":  # over another calibration
        first = ["export", str(old), "--to", "int8", "--dev", str(data), "--force"]
        assert run(first, output, 0) == 0, output.read_text()
    shutil.copytree(old, whole)
    assert run(command(whole), output, 0) == 0, output.read_text()
    total = int(output.read_text().split()[-1])
    made = Replaced(old, command, reads, reads(old), reads(whole), total)
    assert made.before != made.after
    return made


@pytest.mark.ci
def test_killed_at_a_write_boundary_it_is_the_old_or_the_new_model(replaced: Replaced, tmp_path: Path) -> None:
    assert replaced.total > 20
    found = {replaced.killed_at(replaced.total - back, tmp_path / "model") for back in (30, 9)}
    assert found <= {"old", "new"}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_killed_at_every_write_boundary_it_is_the_old_or_the_new_model(replaced: Replaced, tmp_path: Path) -> None:
    found = [replaced.killed_at(number, tmp_path / "model") for number in range(1, replaced.total + 1)]
    assert "refused" not in found
    assert found == sorted(found, reverse=True)  # the old one until the commit, the new one from it on
    assert set(found) == {"old", "new"}


@pytest.mark.slow
@pytest.mark.timeout(7200)
def test_after_a_kill_the_command_repeated_gives_the_new_model(replaced: Replaced, tmp_path: Path) -> None:
    for number in range(1, replaced.total + 1, 7):
        folder = tmp_path / "model"
        replaced.killed_at(number, folder)
        output = folder.with_name(f"{folder.name}.txt")
        assert run(replaced.command(folder), output, 0) == 0, output.read_text()
        assert replaced.held(folder) == "new"
        assert not [path for path in folder.iterdir() if path.name.startswith((".tmp-", ".next"))]
