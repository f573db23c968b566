"""One fine-tuning as the loop runs it: the task's loss, scores on dev, and a second attempt after a collapse."""

from __future__ import annotations

import dataclasses
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from albert.compute import train_step as fast
from albert.config import AlbertConfig
from albert.data.batches import Batch
from albert.engine import Engine, batch_logits
from albert.finetuning.dataset import Dataset, FinetuneConfig
from albert.finetuning.source import FeatureSource
from albert.finetuning.teachers import Lesson
from albert.finetuning.texts import TextConfig
from albert.model import AlbertForTask
from albert.storage.files import write_json
from albert.tasks.base import Output, Task
from albert.tasks.losses import LossConfig, LossShape
from albert.training.average import AverageConfig
from albert.training.best import best_scores, merit
from albert.training.folder import clear_run
from albert.training.loop import Trainer
from albert.training.optimizer import OptimizerConfig, build_optimizer
from albert.training.parts import LoopConfig
from albert.training.progress import ConsoleProgress, duration

_RESTART_DIVISOR = 5.0
_SAME = 0.01  # logits that differ by less count as equal
_BLOCK = 32  # the units of the dev part whose loss is computed at once
_ENOUGH = 100  # before this many steps, a model may simply not have learned anything yet


@dataclass(frozen=True)
class FinetuneResult:
    """The best evaluation of a run, the baseline, and the model's folder.

    `outputs` are those on dev, with which the `thresholds` were tuned. `threads` has several numbers if the run went on
    with another number of threads.
    """

    folder: Path
    metric: str
    scores: dict[str, float]
    baseline: float
    steps: int
    outputs: list[Output] = field(repr=False, default_factory=list)
    thresholds: tuple[float, ...] = ()
    threads: tuple[int, ...] = ()


def rescored(result: FinetuneResult, data: Dataset, outputs: list[Output]) -> FinetuneResult:
    """The result with other outputs on dev, and the thresholds and scores of these."""
    thresholds = data.task.tune(outputs, data.labels)
    scores = {**result.scores, **data.task.score(outputs, data.labels, thresholds)}
    return replace(result, outputs=outputs, thresholds=thresholds, scores=scores)


@dataclass(frozen=True)
class Settings:
    """The settings of every component except the network's."""

    optimizer: OptimizerConfig
    loop: LoopConfig
    loss: LossConfig
    text: TextConfig
    average: AverageConfig

    @staticmethod
    def kinds() -> tuple[type, ...]:
        """The classes of the components."""
        return OptimizerConfig, LoopConfig, LossConfig, TextConfig, AverageConfig

    def as_dict(self) -> dict[str, Any]:
        """All settings by name."""
        return {name: value for part in dataclasses.asdict(self).values() for name, value in part.items()}

    def fingerprint(self, network: AlbertConfig, init: str | None) -> dict[str, str]:
        """What a resumed run must have in common with its beginning, beside its data."""
        parts: dict[str, Any] = {
            "network": network.to_dict(),
            "optimizer": dataclasses.asdict(self.optimizer),
            "loss": dataclasses.asdict(self.loss),
            "loop": {**dataclasses.asdict(self.loop), "save_seconds": 0},
        }
        return {
            **{name: json.dumps(part, sort_keys=True) for name, part in parts.items()},
            "init": init or "",
            **({"text": json.dumps(chosen, sort_keys=True)} if (chosen := self.text.chosen()) else {}),
            **({"average": str(self.average.average)} if self.average.average else {}),
        }


class Attempts:
    """Trains in the folder `config.out`, and once more at a lower rate if the first attempt learned nothing."""

    def __init__(
        self,
        config: FinetuneConfig,
        settings: Settings,
        data: Dataset,
        progress: ConsoleProgress,
        objective: TaskObjective,
    ) -> None:
        self.objective = objective
        self.config = config
        self.settings = settings
        self.data = data
        self.progress = progress
        self.note = config.out / "restarted.json"  # written at the restart, so that a killed restart can go on

    @property
    def restarted(self) -> bool:
        """Whether this is the second attempt."""
        return self.note.exists()

    def clear(self) -> None:
        """Removes what an earlier run left."""
        clear_run(self.config.out)
        self.note.unlink(missing_ok=True)

    def train(self, model: AlbertForTask, *, resume: bool) -> FinetuneResult:
        """Trains the model, which then has its best weights."""
        if self.restarted:
            self.settings = replace(self.settings, optimizer=replace(self.settings.optimizer, lr=self._lower_rate()))
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        task = self.data.task
        dev_scores = DevScores(model, self.data)
        trainer = self.trainer(model, dev_scores)
        _tell_time(trainer, self.data, self.progress)
        state = trainer.run(resume=resume)
        best = best_scores(state, task.metric)
        found = dev_scores.found(best)
        baseline = self.data.baseline[1]
        return FinetuneResult(
            self.config.out, task.metric, best, baseline, state.step, found.outputs, found.thresholds,
            tuple(state.threads),
        )  # fmt: skip

    def restart(self, model: AlbertForTask) -> FinetuneResult:
        """Starts the second attempt, at a lower rate."""
        self.progress.on_message(
            f"collapsed: every dev row gets the same answer; starting once more, at lr {self._lower_rate():.2g}"
        )
        self.clear()
        write_json(self.note, {"lr": self._lower_rate()})
        return self.train(model, resume=False)

    def _lower_rate(self) -> float:
        return self.settings.optimizer.lr / _RESTART_DIVISOR

    def trainer(self, model: AlbertForTask, evaluate: Callable[[], dict[str, float]]) -> Trainer:
        """The loop of one attempt."""
        config, data, settings = self.config, self.data, self.settings
        loop = settings.loop
        return Trainer(
            model,
            build_optimizer(model, settings.optimizer, groups=model.config.num_hidden_groups),
            FeatureSource(data.train, loop),
            self.objective,
            config=loop,
            folder=config.out,
            fingerprint={
                "data": data.identity or data.train.fingerprint(),
                "dev": data.dev.fingerprint(),
                **settings.fingerprint(model.config, config.init),
                **({"early_exit": "yes"} if config.early_exit else {}),
            },
            defaults=dataclasses.asdict(TextConfig()),
            progress=self.progress,
            schedule=settings.optimizer.rate_at,
            clip=settings.optimizer.clip,
            evaluate=evaluate,
            metric=data.task.metric,
            average=settings.average.average,
        )


def collapsed(result: FinetuneResult) -> bool:
    """Whether a model gives every text the same answer, as large ones do at too high a rate.

    Source: huggingface/transformers#2104, google-research/albert#151.
    """
    logits = [output.pooled for output in result.outputs if output.logits[0].ndim == 1]
    if result.steps < _ENOUGH:
        return False
    return len(logits) > 1 and len({len(row) for row in logits}) == 1 and float(np.ptp(logits, axis=0).max()) < _SAME


class TaskObjective:
    """A task's loss as the loop's objective."""

    def __init__(self, task: Task, shape: LossShape, lesson: Lesson | None = None) -> None:
        self.task = task
        self.shape = shape
        self.lesson = lesson
        self.weights: Mapping[str, float] = {}

    def counts(self, batch: Batch) -> dict[str, int]:
        """The number of values over which the loss is averaged."""
        assert batch.gold is not None
        return {
            "loss": self.task.count(batch.gold) if self.lesson is None else self.lesson.count(self.task, batch.gold)
        }

    def loss(self, logits: Tensor, gold: Tensor) -> Tensor:
        """The summed loss of logits. If there are teachers, their logits count, too."""
        if self.lesson is None:
            return self.task.loss(logits, gold, self.shape)
        return self.lesson.loss(self.task, logits, gold, self.shape)

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The summed loss of a micro-batch."""
        device = next(model.parameters()).device
        assert batch.gold is not None
        assert isinstance(model, AlbertForTask)
        if fast.applies(model.albert):
            logits = fast.task_logits(model, batch.input_ids, batch.token_type_ids, batch.attention_mask)
        else:
            logits = batch_logits(model, batch, device)
        return {"loss": self.loss(logits, batch.gold.to(device))}


@dataclass(frozen=True)
class Found:
    """An evaluation on dev: the outputs, the thresholds tuned on them, and all scores."""

    outputs: list[Output]
    thresholds: tuple[float, ...]
    scores: dict[str, float]


class DevScores:
    """Scores on the dev part, and the outputs behind them."""

    def __init__(self, model: AlbertForTask, data: Dataset) -> None:
        self.model = model
        self.data = data
        self.best: Found | None = None

    def __call__(self) -> dict[str, float]:
        found, metric = self.evaluated(), self.data.task.metric
        if self.best is None or merit(found.scores, metric) > merit(self.best.scores, metric):
            self.best = found
        return found.scores

    def found(self, scores: dict[str, float]) -> Found:
        """The evaluation with these scores. It is computed again if an earlier process had it."""
        return self.best if self.best is not None and self.best.scores == scores else self.evaluated()

    def evaluated(self) -> Found:
        """The outputs and scores of the present model on dev."""
        data, task = self.data, self.data.task
        logits = Engine(self.model).logits(data.dev)  # as the Predictor will compute
        outputs = Output.each(data.dev_examples, data.dev, logits)
        thresholds = task.tune(outputs, data.labels)
        scores = task.score(outputs, data.labels, thresholds)
        return Found(outputs, thresholds, {"loss": self._loss(logits), **scores})

    def _loss(self, logits: Sequence[np.ndarray]) -> float:
        """The mean over blocks of units with similar shapes. Some losses compare the units of a block."""
        dev, task = self.data.dev, self.data.task
        bounds = dev.unit_bounds()
        total, count, first = 0.0, 0, 0
        for after in range(1, len(bounds)):
            alike = after < len(bounds) - 1 and logits[bounds[after]].shape == logits[bounds[first]].shape
            if alike and after - first < _BLOCK:
                continue
            rows = range(bounds[first], bounds[after])
            gold = torch.from_numpy(np.stack([dev.gold_of(row) for row in rows]))
            total += float(task.loss(torch.from_numpy(np.stack([logits[row] for row in rows])), gold))
            count += task.count(gold)
            first = after
        return total / max(count, 1)


def _tell_time(trainer: Trainer, data: Dataset, progress: ConsoleProgress) -> None:
    # Evaluation is forward only: a third of the work of training on as many tokens.
    candidates = 1 if trainer.average is None else 2
    evaluations = candidates * len(data.dev.ids) / 3 * trainer.total / trainer.eval_every
    training = len(data.train.ids) * trainer.total / trainer.source.steps_per_epoch
    seconds = trainer.estimated_seconds() * (1 + evaluations / training)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    progress.on_message(
        f"{parameters:,} parameters, {trainer.total:,} steps in {trainer.precision} on {trainer.device}: "
        f"{duration(seconds)} at most, measured on a few of them"
    )
