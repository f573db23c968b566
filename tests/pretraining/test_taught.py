"""`albert pretrain --teacher` and full rows, from shards to a folder: killed and resumed, called back, refused."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from albert.config import AlbertConfig
from albert.errors import AlbertError
from albert.model import AlbertForTask, AlbertModel, save_model
from albert.model.checkpoint import load_model
from albert.model.network import initialize
from albert.pretraining.guard import Guard
from albert.pretraining.pretrain import PretrainResult, pretrain
from albert.pretraining.settings import PretrainConfig
from albert.text.tokenizer import AlbertTokenizer
from albert.training.loop import Trainer
from corpora import VOCABULARY, counting_corpus

pytestmark = pytest.mark.ci  # minutes altogether

NETWORK: dict[str, Any] = {
    "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 64, "num_hidden_layers": 2,
    "num_hidden_groups": 2, "max_position_embeddings": 64,
}  # fmt: skip
SETTINGS: dict[str, Any] = {
    **NETWORK, "max_length": 24, "row_lengths": [16, 24], "batch_size": 8, "max_tokens": 96, "precision": "fp32",
    "held_out": 0.1, "lr": 3e-3, "depths": [2, 4], "steps": 8, "evals_per_epoch": 1,
}  # fmt: skip


@pytest.fixture(scope="module")
def shards(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return counting_corpus(tmp_path_factory.mktemp("shards"))


@pytest.fixture(scope="module")
def teacher(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("teacher")
    tokenizer = AlbertTokenizer.english()
    config = AlbertConfig(
        vocab_size=tokenizer.vocab_size, **{**NETWORK, "num_hidden_layers": 4, "num_hidden_groups": 4}
    )
    model = AlbertModel(config)
    initialize(model, config, torch.Generator().manual_seed(5))
    save_model(model, folder)
    tokenizer.save(folder)
    return folder


def run(shards: Path, out: Path, teacher: Path | None, *, resume: bool = False, **settings: Any) -> PretrainResult:
    config = PretrainConfig(
        shards=shards, out=out, size="tiny", teacher=None if teacher is None else str(teacher), evaluation_rows=16,
        settings={**SETTINGS, **settings},
    )  # fmt: skip
    return pretrain(config, resume=resume)


def digest(folder: Path) -> str:
    return hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()


def records(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]


def test_it_learns_from_the_teacher_and_leaves_an_ordinary_folder(shards: Path, teacher: Path, tmp_path: Path) -> None:
    result = run(shards, tmp_path, teacher, steps=60)
    steps = [record for record in records(tmp_path) if "loss" in record]
    for term in ("mlm", "words", "depths", "mean", "pooled"):
        assert sum(r[term] for r in steps[-5:]) < 0.9 * sum(r[term] for r in steps[:5])
    assert {step["tokens"] for step in steps} == {192}
    assert result.scores["cls_spread"] > 0
    model = load_model(tmp_path)
    assert model.config.num_hidden_layers == 2
    assert not any("comparison" in name for name, _ in model.named_parameters())


class Killed(BaseException):
    """What no handler catches."""


@pytest.mark.ci
@pytest.mark.parametrize("taught", [True, False])
def test_a_killed_run_ends_with_the_same_weights(
    shards: Path, teacher: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, taught: bool
) -> None:
    asked = teacher if taught else None
    options: dict[str, Any] = {"teacher_blocks": [1, 3]} if taught else {"rows": "full"}
    run(shards, tmp_path / "whole", asked, **options)
    step = Trainer._step

    def kill(trainer: Trainer, at: int = 5, step: Callable[[Trainer], bool] = step) -> bool:
        if trainer.state.step == at:
            raise Killed
        return step(trainer)

    monkeypatch.setattr(Trainer, "_step", kill)
    with pytest.raises(Killed):
        run(shards, tmp_path / "killed", asked, save_seconds=0.0, **options)
    monkeypatch.setattr(Trainer, "_step", step)
    run(shards, tmp_path / "killed", asked, resume=True, save_seconds=0.0, **options)
    assert digest(tmp_path / "killed") == digest(tmp_path / "whole")


def test_a_run_that_goes_wrong_goes_back_and_says_so(
    shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    judged = Guard.after_step
    told: list[int] = []

    def once(guard: Guard, losses: dict[str, float]) -> str | None:
        told.append(1)
        return "it went wrong" if len(told) == 6 else judged(guard, losses)

    monkeypatch.setattr(Guard, "after_step", once)
    run(shards, tmp_path, None, rows="full", save_seconds=0.0)
    rates = [record["lr"] for record in records(tmp_path) if "lr" in record]
    assert len(rates) == 8  # every step once
    assert len(told) > 8
    plain = tmp_path / "plain"
    monkeypatch.setattr(Guard, "after_step", judged)
    run(shards, plain, None, rows="full")
    before = [record["lr"] for record in records(plain) if "lr" in record]
    assert rates[-1] == pytest.approx(0.7 * before[-1])


def test_a_run_that_always_goes_wrong_ends(shards: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(Guard, "after_step", lambda guard, losses: "it went wrong")
    with pytest.raises(AlbertError, match="after 5 retreats"):
        run(shards, tmp_path, None, rows="full", save_seconds=0.0)


@pytest.mark.parametrize(
    ("settings", "what"),
    [
        ({"teacher_blocks": [1]}, "teacher_blocks"),
        ({"teacher_blocks": [1, 3], "intermediate_size": 32}, "intermediate_size"),
        ({"row_lengths": [16, 48]}, "row_lengths"),
        ({"max_length": 64, "row_lengths": [], "held_out": 0.1, "max_tokens": 512, "pairs": "nsp"}, "pairs"),
    ],
)
def test_what_does_not_fit_is_refused(
    shards: Path, teacher: Path, tmp_path: Path, settings: dict[str, Any], what: str
) -> None:
    with pytest.raises(AlbertError, match=what):
        run(shards, tmp_path, teacher, **settings)
    assert not (tmp_path / "model.safetensors").exists()


def test_fewer_layers_serve_what_was_trained_at_several(shards: Path, tmp_path: Path) -> None:
    run(shards, tmp_path, None, rows="full", steps=4)
    model = AlbertForTask(load_model(tmp_path).config.with_(num_hidden_layers=4), "pretraining")
    model.load_state_dict(load_model(tmp_path).state_dict())
    ids = torch.randint(5, 100, (1, 8))
    assert model(ids)[0].shape == (1, 8, VOCABULARY)
