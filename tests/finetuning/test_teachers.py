"""A student learns what its teachers say, of texts with and without labels."""

from __future__ import annotations

import json
import random
import subprocess
import sys
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from test_hybrid import BAD, GOOD, TINY, sentence, trained, write

from albert.data.examples import Example
from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.finetuning.teachers import Lesson
from albert.predict.predictor import Predictor
from albert.tasks import task_named
from albert.tasks.losses import PLAIN

pytestmark = pytest.mark.ci  # minutes altogether

SCRATCH: dict[str, Any] = {**TINY, "epochs": 8.0, "lr": 3e-3, "patience": 0}


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return trained(tmp_path_factory.mktemp("teacher"), hybrid=True)


def student(folder: Path, rows: list[dict[str, Any]], **options: Any) -> FinetuneConfig:
    data = DataSource(write(folder / "few.jsonl", rows), task=options.pop("task", None))
    settings = {**SCRATCH, **options.pop("settings", {})}
    return FinetuneConfig(train=data, out=folder / "student", size="tiny", settings=settings, **options)


def few(rows: int = 40) -> list[dict[str, Any]]:
    """Rows whose labels say nothing of their texts."""
    rng = random.Random(1)
    return [{"text": sentence(rng, rng.choice((*GOOD, *BAD))), "label": ("good", "bad")[n % 2]} for n in range(rows)]


def test_a_student_learns_from_a_teacher_what_no_label_says(teacher: Path, tmp_path: Path) -> None:
    rng = random.Random(2)
    lines = [sentence(rng, rng.choice((*GOOD, *BAD))) for _ in range(400)]
    (tmp_path / "texts.txt").write_text("\n".join(lines) + "\n")
    finetune(
        student(tmp_path, few(), teachers=(str(teacher),), unlabelled=str(tmp_path / "texts.txt"), teacher_weight=0.99)
    )
    fresh = [Example(sentence(rng, rng.choice((*GOOD, *BAD)))) for _ in range(200)]
    said, taught = (
        [best[0]["label"] for best in Predictor.load(folder).predict(fresh)]
        for folder in (tmp_path / "student", teacher)
    )
    assert np.mean([a == b for a, b in zip(said, taught, strict=True)]) > 0.9
    for name in ("README.md", "report.html"):
        assert "taught by" in (tmp_path / "student" / name).read_text()


@pytest.mark.parametrize("kind", ["several", "numbers"])
def test_other_kinds_of_labels_are_taught_and_teachers_averaged(kind: str, tmp_path: Path) -> None:
    own = trained(tmp_path, kind)
    data = DataSource(str(tmp_path / "data.jsonl"))
    config = FinetuneConfig(
        train=data, out=tmp_path / "student", size="tiny", settings=TINY, teachers=(str(own), str(own)), early_exit=True
    )
    finetune(config)
    assert Predictor.load(tmp_path / "student").task.name == Predictor.load(own).task.name


def test_the_loss_is_hintons() -> None:
    task = task_named("classification")
    lesson = Lesson("single_label_classification", 2, temperature=2.0, weight=0.25)
    logits = torch.tensor([[1.0, 0.0], [0.0, 3.0]])
    taught = torch.tensor([[2.0, 0.0], [1.0, 1.0]])
    gold = torch.cat([torch.tensor([[1.0], [float("nan")]]), taught], 1)
    hard = -logits[0].log_softmax(0)[1]
    p, q = (taught / 2).softmax(1), (logits / 2).softmax(1)
    soft = 4 * (p * (p / q).log()).sum()
    assert lesson.loss(task, logits, gold, PLAIN).item() == pytest.approx(float(0.75 * hard + 0.25 * soft), rel=1e-5)
    assert lesson.count(task, gold) == 2
    agreed = torch.cat([torch.tensor([[float("nan")]] * 2), logits], 1)
    assert lesson.loss(task, logits, agreed, PLAIN).item() == pytest.approx(0, abs=1e-6)


@pytest.mark.ci
def test_a_killed_student_goes_on_as_if_it_had_not_been(teacher: Path, tmp_path: Path) -> None:
    whole, cut = tmp_path / "whole", tmp_path / "cut"
    whole.mkdir()
    config = student(whole, few(80), teachers=(str(teacher),), settings={"epochs": 3.0})
    finetune(config)
    cut.mkdir()
    write(cut / "few.jsonl", few(80))
    command = [
        sys.executable, "-m", "albert", "distill", str(cut / "few.jsonl"), "--teacher", str(teacher), "-o",
        str(cut / "student"), "--size", "tiny", "--quiet",
        *(f"--set={name}={value}" for name, value in {**SCRATCH, "epochs": 3.0, "save_seconds": 0.01}.items()),
    ]  # fmt: skip
    running = subprocess.Popen(command, stderr=subprocess.PIPE)
    states = cut / "student" / "checkpoints"
    while running.poll() is None and not (states.is_dir() and any(states.iterdir())):
        pass
    running.kill()
    running.communicate()
    subprocess.run([*command, "--resume"], check=True, capture_output=True)
    assert (cut / "student" / "model.safetensors").read_bytes() == (
        whole / "student" / "model.safetensors"
    ).read_bytes()


@pytest.mark.parametrize(
    ("rows", "options", "kind", "told"),
    [
        ([{"text": f"a {n}", "label": ("yes", "no")[n % 2]} for n in range(60)], {}, ErrorKind.USAGE, "labels"),
        ([{"text": f"a {n}", "label": ("good", "bad", "so")[n % 3]} for n in range(60)], {}, ErrorKind.USAGE, "so"),
        ([{"text": f"a {n}", "label": n / 7} for n in range(60)], {}, ErrorKind.USAGE, "a model for regression"),
        (few(), {"unlabelled": "nowhere.txt"}, ErrorKind.DATA, "nowhere.txt"),
    ],
)
def test_teachers_that_do_not_fit_are_refused(
    rows: list[dict[str, Any]], options: dict[str, Any], kind: ErrorKind, told: str, teacher: Path, tmp_path: Path
) -> None:
    with pytest.raises(AlbertError) as caught:
        finetune(student(tmp_path, rows, teachers=(str(teacher),), **options))
    assert caught.value.kind is kind
    assert told in str(caught.value)
    assert not (tmp_path / "student").exists()


@pytest.mark.parametrize(
    "options", [{"unlabelled": "texts.txt"}, {"teachers": ("x",), "temperature": 0.0},
                {"teachers": ("x",), "temperature": float("nan")},
                {"teachers": ("x",), "teacher_weight": 1.5}]
)  # fmt: skip
def test_numbers_out_of_range_are_refused(options: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(AlbertError) as caught:
        student(tmp_path, few(), **options)
    assert caught.value.kind is ErrorKind.USAGE


def test_an_unlabelled_file_of_other_columns_is_refused(teacher: Path, tmp_path: Path) -> None:
    (tmp_path / "other.jsonl").write_text("".join(json.dumps({"a": "x", "b": "y"}) + "\n" for _ in range(5)))
    with pytest.raises(AlbertError, match="which column is the text"):
        finetune(student(tmp_path, few(), teachers=(str(teacher),), unlabelled=str(tmp_path / "other.jsonl")))
