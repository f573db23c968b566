"""The loop: accumulation, exact resumption, early stopping, faults."""

from __future__ import annotations

import hashlib
import json
import shutil
import signal
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch import nn

from albert.data.batches import Batch, Features
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.source import FeatureSource
from albert.model import AlbertForTask
from albert.storage.locks import run_lock
from albert.training.best import keep_best
from albert.training.loop import Trainer
from albert.training.optimizer import OptimizerConfig, build_optimizer
from albert.training.parts import LoopConfig
from albert.training.progress import ConsoleProgress
from albert.training.state import BEST, LAST, Checkpoints, MetricsLog
from conftest import small_config


def features(count: int = 60) -> Features:
    rng = np.random.default_rng(0)
    lengths = rng.integers(3, 20, count)
    ids = rng.integers(5, 61, lengths.sum()).astype(np.int32)
    return Features(ids, np.zeros_like(ids, np.int8), np.cumsum([0, *lengths]), rng.integers(0, 3, count))


Loss = Callable[[nn.Module, Batch], torch.Tensor]


def cross_entropy(model: nn.Module, batch: Batch) -> torch.Tensor:
    logits = model(batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids)
    return torch.nn.functional.cross_entropy(logits, batch.gold, reduction="sum")


class RowObjective:
    def __init__(self, loss: Loss) -> None:
        self.loss = loss
        self.weights: dict[str, float] = {}

    def counts(self, batch: Batch) -> dict[str, int]:
        return {"loss": len(batch.input_ids)}

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, torch.Tensor]:
        return {"loss": self.loss(model, batch)}


def trainer(
    folder: Path,
    *,
    loss: Loss = cross_entropy,
    evaluate: Callable[[], dict[str, float]] | None = None,
    optimizer: str = "adamw",
    fingerprint: dict[str, Any] | None = None,
    average: float = 0.0,
    **loop: Any,
) -> Trainer:
    shape = small_config(hidden_dropout_prob=0.2, attention_probs_dropout_prob=0.2)
    model = AlbertForTask(shape, "sequence_classification", generator=torch.Generator().manual_seed(0))
    config = LoopConfig(**{"epochs": 2.0, "batch_size": 8, "precision": "fp32", "save_seconds": 1e6, **loop})
    return Trainer(
        model,
        build_optimizer(model, OptimizerConfig(optimizer=optimizer, lr=1e-3), groups=1),  # type: ignore[arg-type]
        FeatureSource(features(), config),
        RowObjective(loss),
        config=config,
        folder=folder,
        fingerprint=fingerprint or {"data": "x"},
        progress=ConsoleProgress(quiet=True),
        schedule=OptimizerConfig(warmup=0.1).rate_at,
        clip=1.0,
        evaluate=evaluate,
        metric="score",
        average=average,
    )


def digest(model: nn.Module) -> str:
    return hashlib.sha256(b"".join(p.detach().numpy().tobytes() for p in model.parameters())).hexdigest()


def losses(folder: Path) -> list[Any]:
    records = [json.loads(line) for line in (folder / "metrics.jsonl").read_text().splitlines()]
    return [(r["step"], r.get("loss"), r.get("dev")) for r in records]


class Interrupt(BaseException):
    """A kill that no handler in the loop may catch."""


@pytest.mark.parametrize(("optimizer", "average"), [("adamw", 0.0), ("adamw", 0.4), ("lamb", 0.0), ("muon", 0.0)])
def test_an_interrupted_run_ends_like_an_uninterrupted_one(tmp_path: Path, optimizer: str, average: float) -> None:
    def score() -> dict[str, float]:
        return {"score": next(whole.model.parameters()).sum().item()}

    whole = trainer(tmp_path / "whole", optimizer=optimizer, evaluate=score, average=average)
    whole.run()
    folder = tmp_path / "parts"
    for stop in (3, 5, 11, None):
        part = trainer(folder, optimizer=optimizer, save_seconds=0, average=average)
        part.evaluate = lambda part=part: {"score": next(part.model.parameters()).sum().item()}  # type: ignore[misc]
        step = part._step

        def killed(part: Trainer = part, stop: int | None = stop, step: Callable[[], None] = step) -> None:
            step()
            if part.state.step == stop:
                raise Interrupt

        part._step = killed  # type: ignore[method-assign]
        if stop is None:
            part.run(resume=True)
        else:
            with pytest.raises(Interrupt):
                part.run(resume=True)
    assert digest(part.model) == digest(whole.model)
    assert losses(folder) == losses(tmp_path / "whole")
    assert part.state.evaluations == whole.state.evaluations


def test_the_mean_of_the_weights_is_kept_where_it_scores_better(tmp_path: Path) -> None:
    """The first score of an evaluation is that of the weights, the second that of their mean."""
    scores = iter([0.1, 0.2, 0.4, 0.3])
    seen: list[str] = []

    def evaluate() -> dict[str, float]:
        seen.append(digest(run.model))
        return {"score": next(scores)}

    run = trainer(tmp_path, average=1.0, evaluate=evaluate, patience=1)
    state = run.run()
    assert [(e["scores"]["score"], e["averaged"], e["beside"]["score"]) for e in state.evaluations] == [
        (0.2, True, 0.1),
        (0.4, False, 0.3),
    ]
    assert len(set(seen)) == 4
    assert digest(run.model) == seen[2]


def test_the_mean_is_that_of_the_weights_after_each_update(tmp_path: Path) -> None:
    run = trainer(tmp_path, average=1.0, epochs=1.0)
    weights, step = [], run._step

    def kept() -> bool:
        told = step()
        weights.append(next(run.model.parameters()).detach().clone())
        return told

    run._step = kept  # type: ignore[method-assign]
    run.run()
    assert run.average is not None
    assert torch.allclose(next(iter(run.average.mean.values())), torch.stack(weights).mean(0), atol=1e-6)


def test_micro_batches_give_the_gradient_of_the_whole_batch(tmp_path: Path) -> None:
    """Not the sum, nor the mean of the micro-batches' means: the gradient of the mean over all examples."""
    whole = trainer(tmp_path)
    whole.model.eval()
    batch = whole.source.micro_batches(0)[0]
    loss = cross_entropy(whole.model, batch) / len(batch.input_ids)
    loss.backward()
    gradients = [(loss.item(), torch.cat([p.grad.flatten() for p in whole.model.parameters()]))]
    for budget in (10_000, 40):
        run = trainer(tmp_path, max_tokens=budget)
        run.model.eval()  # dropout would draw other masks for other shapes
        batches = run.source.micro_batches(0)
        losses, _ = run._gradients(batches)
        gradients.append((losses["loss"], torch.cat([p.grad.flatten() for p in run.model.parameters()])))
    assert len(batches) > 1
    for value, gradient in gradients[1:]:
        assert value == pytest.approx(gradients[0][0], rel=1e-5)
        assert torch.allclose(gradient, gradients[0][1], atol=1e-6)


def test_the_best_weights_are_kept_and_patience_stops(tmp_path: Path) -> None:
    scores = iter([0.1, 0.9, 0.5, 0.4, 0.3, 0.2])
    best: list[str] = []

    def evaluate() -> dict[str, float]:
        score = next(scores)
        if score == 0.9:
            best.append(digest(run.model))
        return {"score": score}

    run = trainer(tmp_path, evaluate=evaluate, epochs=6.0, patience=2)
    state = run.run()
    assert [e["scores"]["score"] for e in state.evaluations] == [0.1, 0.9, 0.5, 0.4]
    assert digest(run.model) == best[0]
    assert len(list((tmp_path / "checkpoints").glob("best-*"))) == 1
    assert len(list((tmp_path / "checkpoints").glob("step-*"))) == 2


def test_of_equal_scores_the_lower_loss_is_better(tmp_path: Path) -> None:
    scores = iter([(0.9, 0.7), (0.9, 0.5), (0.9, 0.6), (0.8, 0.1)])
    digests: list[str] = []

    def evaluate() -> dict[str, float]:
        digests.append(digest(run.model))
        score, loss = next(scores)
        return {"score": score, "loss": loss}

    run = trainer(tmp_path, evaluate=evaluate, epochs=4.0)
    run.run()
    assert digest(run.model) == digests[1]


def test_a_damaged_checkpoint_falls_back_to_the_one_before(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    whole = trainer(tmp_path / "whole")
    whole.run()
    folder = tmp_path / "run"
    trainer(folder, save_seconds=0).run()
    newest = max((folder / "checkpoints").glob("step-*"))
    raw = bytearray((newest / "model.safetensors").read_bytes())
    raw[len(raw) // 2] ^= 1
    (newest / "model.safetensors").write_bytes(raw)
    again = trainer(folder)
    again.run(resume=True)
    assert "damaged" in capsys.readouterr().err
    assert digest(again.model) == digest(whole.model)


def test_other_data_or_settings_cannot_resume(tmp_path: Path) -> None:
    trainer(tmp_path).run()
    with pytest.raises(AlbertError, match="expected as it began: training rows x, got training rows y") as caught:
        trainer(tmp_path, fingerprint={"data": "y"}).run(resume=True)
    assert caught.value.kind is ErrorKind.CONFIG


def poisoned(*bad_calls: int) -> Loss:
    calls = iter(range(10_000))

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        value = cross_entropy(model, batch)
        return value * float("nan") if next(calls) in bad_calls else value

    return loss


def test_a_step_that_is_not_finite_is_left_out(tmp_path: Path) -> None:
    run = trainer(tmp_path, loss=poisoned(4), save_seconds=0)
    state = run.run()
    assert state.skipped_steps == [4]
    assert all(torch.isfinite(p).all() for p in run.model.parameters())
    assert [step for step, *_ in losses(tmp_path)] == [s for s in range(16) if s != 4]


def test_lasting_trouble_ends_the_run_with_the_steps_named(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match="steps 4, 5, 6") as caught:
        trainer(tmp_path, loss=poisoned(4, 5, 6), save_seconds=0).run()
    assert caught.value.kind is ErrorKind.INTERNAL


@pytest.mark.parametrize(
    ("number", "kind"), [(signal.SIGTERM, ErrorKind.PREEMPTED), (signal.SIGINT, ErrorKind.INTERRUPTED)]
)
def test_a_signal_saves_and_leaves(tmp_path: Path, number: signal.Signals, kind: ErrorKind) -> None:
    whole = trainer(tmp_path / "whole")
    whole.run()
    calls = iter(range(100))

    def loss(model: nn.Module, batch: Batch) -> torch.Tensor:
        if next(calls) == 5:
            signal.raise_signal(number)
        return cross_entropy(model, batch)

    folder = tmp_path / "run"
    with pytest.raises(AlbertError, match="at step 6") as caught:
        trainer(folder, loss=loss).run()
    assert caught.value.kind is kind
    again = trainer(folder)
    again.run(resume=True)
    assert digest(again.model) == digest(whole.model)


def by_the_sum(run: Trainer) -> Trainer:
    """Scores that rise and fall, so that the best weights are neither the first nor the last."""
    run.evaluate = lambda: {"score": -abs(run.state.step - 8.0)}
    return run


@pytest.fixture(scope="module")
def whole(tmp_path_factory: pytest.TempPathFactory) -> tuple[str, list[Any]]:
    """The weights and losses of a run whose best weights are those of step 8."""
    run = by_the_sum(trainer(tmp_path_factory.mktemp("whole"), evals_per_epoch=2))
    run.run()
    return digest(run.model), losses(run.log.path.parent)


@pytest.mark.parametrize(
    ("damage", "stop"),
    [(how, 14) for how in ("flip", "cut", "gone", "no manifest", "empty manifest", "state")] + [("flip", None)],
)
def test_damaged_best_weights_are_made_again(
    tmp_path: Path, damage: str, stop: int | None, whole: tuple[str, list[Any]]
) -> None:
    folder = tmp_path / "run"
    first = by_the_sum(trainer(folder, evals_per_epoch=2))
    if stop is None:
        first.run()
    else:
        interrupted(first, stop)
    best = folder / "checkpoints" / "best-00000008"
    damaged(best, damage)
    said: list[str] = []
    again = by_the_sum(trainer(folder, evals_per_epoch=2))
    again.progress.on_message = said.append  # type: ignore[method-assign]
    again.run(resume=True)
    assert (digest(again.model), losses(folder)) == whole
    assert any("best weights, of step 8, are damaged" in line for line in said)


def interrupted(run: Trainer, stop: int) -> None:
    """Runs until a step, where a kill ends it."""
    step = run._step

    def killed() -> bool:
        told = step()
        if run.state.step == stop:
            raise Interrupt
        return told

    run._step = killed  # type: ignore[method-assign]
    with pytest.raises(Interrupt):
        run.run()


def damaged(best: Path, how: str) -> None:
    weights = (best / "model.safetensors").read_bytes()
    if how == "flip":
        (best / "model.safetensors").write_bytes(bytes([*weights[:-1], weights[-1] ^ 1]))
    elif how == "cut":
        (best / "model.safetensors").write_bytes(weights[:-4])
    elif how == "gone":
        shutil.rmtree(best)
    elif how == "no manifest":
        (best / "manifest.json").unlink()
    elif how == "empty manifest":
        (best / "manifest.json").write_text('{"files": {}}')
    else:
        (best / "state.json").write_text("{}")


def test_best_weights_that_are_damaged_at_the_end_are_refused(
    tmp_path: Path, whole: tuple[str, list[Any]], monkeypatch: pytest.MonkeyPatch
) -> None:
    run = by_the_sum(trainer(tmp_path, evals_per_epoch=2))

    def late(*arguments: Any) -> None:
        damaged(tmp_path / "checkpoints" / "best-00000008", "flip")
        keep_best(*arguments)

    monkeypatch.setattr("albert.training.loop.keep_best", late)
    with pytest.raises(AlbertError, match="best weights are damaged") as caught:
        run.run()
    monkeypatch.undo()
    assert caught.value.kind is ErrorKind.MODEL
    again = by_the_sum(trainer(tmp_path, evals_per_epoch=2))
    again.run(resume=True)
    assert (digest(again.model), losses(tmp_path)) == whole


@pytest.mark.parametrize("threads", [1, 2, 3])
def test_another_number_of_threads_is_recorded_and_said(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("torch.get_num_threads", lambda: 1)
    interrupted(trainer(tmp_path, save_seconds=0), 5)
    monkeypatch.setattr("torch.get_num_threads", lambda: threads)
    said: list[str] = []
    again = trainer(tmp_path, save_seconds=0)
    again.progress.on_message = said.append  # type: ignore[method-assign]
    state = again.run(resume=True)
    told = [line for line in said if f"{threads} threads, 1 before" in line]
    assert bool(told) == (threads != 1)
    assert state.threads == ([1] if threads == 1 else [1, threads])
    assert Checkpoints.state(tmp_path / "checkpoints" / "step-00000016").threads == state.threads


def test_a_full_disk_keeps_the_old_checkpoint(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    run = trainer(tmp_path)
    checkpoints = Checkpoints(tmp_path / "checkpoints")
    checkpoints.save(LAST, 1, run.model, run.optimizer, {})
    monkeypatch.setattr("albert.training.state.save_file", lambda *_: (_ for _ in ()).throw(OSError(28, "full")))
    with pytest.raises(AlbertError) as caught:
        checkpoints.save(LAST, 2, run.model, run.optimizer, {})
    assert caught.value.kind is ErrorKind.DISK
    assert [p.name for p in (tmp_path / "checkpoints").iterdir()] == ["step-00000001"]


def test_rotation_goes_by_step(tmp_path: Path) -> None:
    run = trainer(tmp_path)
    checkpoints = Checkpoints(tmp_path / "c")
    for step in (5, 10, 100):
        checkpoints.save(LAST, step, run.model, run.optimizer, {"step": step})
        checkpoints.save(BEST, step, run.model, None, {"step": step})
    assert sorted(p.name for p in (tmp_path / "c").iterdir()) == ["best-00000100", "step-00000010", "step-00000100"]


def test_two_writers_are_told_apart(tmp_path: Path) -> None:
    with run_lock(tmp_path), pytest.raises(AlbertError, match="process") as caught, run_lock(tmp_path):
        pass
    assert caught.value.kind is ErrorKind.LOCKED
    with run_lock(tmp_path):
        pass


def test_the_log_forgets_what_is_written_again(tmp_path: Path) -> None:
    log = MetricsLog(tmp_path / "m.jsonl")
    for step in range(4):
        log.write({"step": step, "loss": 1.0})
    log.write({"step": 4, "dev": {}})
    log.path.write_text(log.path.read_text() + '{"step": 5, "lo')
    log.rewind(3, evaluated={4})
    assert [json.loads(line)["step"] for line in log.path.read_text().splitlines()] == [0, 1, 2, 4]


@pytest.mark.parametrize("bad", [{"epochs": 0.0}, {"batch_size": 0}, {"precision": "fp8"}, {"seed": -1}])
def test_bad_settings_are_refused(tmp_path: Path, bad: dict[str, Any]) -> None:
    with pytest.raises(AlbertError, match=next(iter(bad))):
        trainer(tmp_path, **bad)
