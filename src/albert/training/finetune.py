"""From a table of examples to a fine-tuned model folder: the steps of `albert train`, in order."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from albert.config import AlbertConfig
from albert.data.batches import Batch
from albert.engine import batch_logits, predict_logits
from albert.errors import AlbertError, ErrorKind
from albert.files import disk_errors, write_json
from albert.hub import model_folder
from albert.model import AlbertForTask
from albert.model.checkpoint import start_from
from albert.process import run_lock
from albert.tasks.base import Output, Task
from albert.tasks.losses import LossConfig, LossShape
from albert.text.tokenizer import AlbertTokenizer
from albert.training.card import model_card
from albert.training.dataset import Dataset, FinetuneConfig, read_dataset
from albert.training.folder import check_folder, write_model_folder
from albert.training.loop import FeatureSource, LoopConfig, Trainer
from albert.training.optimizer import OptimizerConfig, build_optimizer
from albert.training.progress import ConsoleProgress, duration
from albert.training.settings import divide_settings
from albert.training.state import Checkpoints


@dataclass(frozen=True)
class FinetuneResult:
    """The best evaluation of a run, what answering without reading reaches, and where the model lies."""

    folder: Path
    metric: str
    scores: dict[str, float]
    baseline: float
    steps: int
    outputs: list[Output] = field(repr=False, default_factory=list)  # on dev


# From scratch: measured on SST-2, AG News and the bundled messages (docs/log.md); patience ends the longer runs.
_FROM_SCRATCH: dict[str, Any] = {"lr": 1e-3, "epochs": 15.0, "batch_size": 32, "patience": 5}
_FROM_SMALL: dict[str, Any] = {"lr": 5e-4, "epochs": 6.0, "batch_size": 32, "patience": 2}  # the starter's width
_FROM_CHECKPOINT: dict[str, Any] = {"lr": 3e-5, "epochs": 3.0, "batch_size": 32}  # amid the paper's Table 14
_RESTART_DIVISOR = 5.0
_SAME = 0.05  # logits that differ by less are the same
_SMALL = 512  # hidden size up to which small models' defaults hold

_SHAPES = {
    "embedding_size", "hidden_size", "intermediate_size", "num_hidden_groups", "inner_group_num",
    "max_position_embeddings", "type_vocab_size", "sharing", "embedding_projection",
}  # fmt: skip


def finetune(
    config: FinetuneConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: ConsoleProgress | None = None,
) -> FinetuneResult:
    """Reads, encodes, trains, keeps the best checkpoint on dev, and writes the model folder `config.out`.

    Raises `AlbertError` with the exit codes of `ErrorKind`; for bad data nothing is written.
    """
    progress = progress or ConsoleProgress(quiet=True)
    network, *parts = divide_settings({**_defaults(config), **config.settings}, AlbertConfig, *_Settings.kinds())
    settings = _Settings(*(kind(**part) for kind, part in zip(_Settings.kinds(), parts, strict=True)))
    check_folder(config.out, resume=resume, overwrite=overwrite)
    vocabulary = config.init or config.tokenizer
    tokenizer = AlbertTokenizer.from_pretrained(vocabulary) if vocabulary else AlbertTokenizer.english()
    data = read_dataset(config, tokenizer, settings.loss, seed=settings.loop.seed)
    _tell(data, progress)
    model = _build_model(config, data, tokenizer, network, seed=settings.loop.seed, progress=progress)
    with disk_errors(config.out), run_lock(config.out), progress:
        run = _Run(config, settings, data, progress)
        if overwrite and not resume:
            run.clear()
        result = run.train(model, resume=resume)
        if collapsed(result.outputs) and not run.restarted:
            model = _build_model(config, data, tokenizer, network, seed=settings.loop.seed, progress=progress)
            result = run.restart(model)
        thresholds = data.task.tune(result.outputs, data.labels)
        if thresholds:
            model.config = model.config.with_(extra={**model.config.extra, "thresholds": thresholds})
        card = model_card(
            model.config,
            config,
            run.settings.loop,
            run.settings.optimizer,
            result,
            data.baseline[0],
            (data.train_rows, len(data.dev_examples)),
            data.lengths,
        )
        write_model_folder(config.out, model, tokenizer, card)
    return result


@dataclass(frozen=True)
class _Settings:
    """Every component's own, but for the network's."""

    optimizer: OptimizerConfig
    loop: LoopConfig
    loss: LossConfig

    @staticmethod
    def kinds() -> tuple[type, ...]:
        return OptimizerConfig, LoopConfig, LossConfig


class _Run:
    """Training in the folder `config.out`, once more at a lower rate if the first time nothing was learned."""

    def __init__(self, config: FinetuneConfig, settings: _Settings, data: Dataset, progress: ConsoleProgress) -> None:
        self.config = config
        self.settings = settings
        self.data = data
        self.progress = progress
        self.note = config.out / "restarted.json"  # there from the restart on, so that a killed one goes on
        self.checkpoints = Checkpoints(config.out / "checkpoints")

    @property
    def restarted(self) -> bool:
        """Whether this is the second time."""
        return self.note.exists()

    def clear(self) -> None:
        """Forgets what an earlier run left."""
        self.checkpoints.clear()
        for path in (self.config.out / "metrics.jsonl", self.note):
            path.unlink(missing_ok=True)

    def train(self, model: AlbertForTask, *, resume: bool) -> FinetuneResult:
        """Trains the model, which keeps its best weights."""
        if self.restarted:
            self.settings = replace(self.settings, optimizer=replace(self.settings.optimizer, lr=self._lower_rate()))
        model.to("cuda" if torch.cuda.is_available() else "cpu")
        task = self.data.task
        dev_scores = _DevScores(model, self.data)
        trainer = _build_trainer(self.config, model, self.data, self.settings, self.progress, dev_scores)
        _tell_time(trainer, self.data, self.progress)
        state = trainer.run(resume=resume)
        best = max(state.evaluations, key=lambda entry: entry["scores"][task.metric])["scores"]
        outputs = dev_scores.outputs(best[task.metric])
        return FinetuneResult(self.config.out, task.metric, best, self.data.baseline[1], state.step, outputs)

    def restart(self, model: AlbertForTask) -> FinetuneResult:
        """Trains anew at a lower rate."""
        self.progress.on_message(
            f"collapsed: every dev row gets the same answer; starting anew, once, at lr {self._lower_rate():.2g}"
        )
        self.clear()
        write_json(self.note, {"lr": self._lower_rate()})
        return self.train(model, resume=False)

    def _lower_rate(self) -> float:
        return self.settings.optimizer.lr / _RESTART_DIVISOR


def collapsed(outputs: Sequence[Output]) -> bool:
    """Whether a model says the same whatever it reads, as large ones do after a few steps at too high a rate.

    Source: huggingface/transformers#2104, google-research/albert#151.
    """
    logits = [output.pooled for output in outputs if output.logits[0].ndim == 1]
    return len(logits) > 1 and len({len(row) for row in logits}) == 1 and float(np.ptp(logits, axis=0).max()) < _SAME


def _defaults(config: FinetuneConfig) -> dict[str, Any]:
    if config.init is None:
        return _FROM_SCRATCH
    small = AlbertConfig.load(model_folder(config.init)).hidden_size <= _SMALL
    return _FROM_SMALL if small else _FROM_CHECKPOINT


class TaskObjective:
    """A task's loss as the loop's objective."""

    def __init__(self, task: Task, shape: LossShape) -> None:
        self.task = task
        self.shape = shape

    def counts(self, batch: Batch) -> dict[str, int]:
        """What the loss is a mean over."""
        assert batch.gold is not None
        return {"loss": self.task.count(batch.gold)}

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The summed loss of a micro-batch."""
        device = next(model.parameters()).device
        assert batch.gold is not None
        return {"loss": self.task.loss(batch_logits(model, batch, device), batch.gold.to(device), self.shape)}


# --- model and trainer ---------------------------------------------------------------------------------


def _build_model(
    config: FinetuneConfig,
    data: Dataset,
    tokenizer: AlbertTokenizer,
    network: dict[str, Any],
    *,
    seed: int,
    progress: ConsoleProgress,
) -> AlbertForTask:
    generator = torch.Generator().manual_seed(seed)
    described: dict[str, Any] = {
        "id2label": data.labels,
        "problem_type": data.task.problem_type,
        "extra": {
            "task": data.task.name,
            "columns": dataclasses.asdict(data.columns),
            "max_length": data.lengths.max_length,
            "stride": data.lengths.stride,
        },
    }
    if config.size is not None:
        shape = AlbertConfig.named(config.size, **{"vocab_size": tokenizer.vocab_size, **network}).with_(**described)
        progress.on_message(f"training a {config.size} network from scratch, without a pre-trained model")
        model = AlbertForTask(shape, data.task.head, generator=generator)
    else:
        assert config.init is not None
        progress.on_message(f"starting from {config.init}")
        if fixed := sorted(set(network) & _SHAPES):
            raise AlbertError(
                ErrorKind.CONFIG,
                f"{', '.join(fixed)} of {config.init}",
                expected="the sizes that its weights have",
                hint="leave the setting out, or train from scratch with --size",
            )
        shape = AlbertConfig.load(model_folder(config.init)).with_(**network, **described)
        model, fresh = start_from(config.init, shape, data.task.head, generator)
        if fresh:
            progress.on_message(f"drawn anew, not in {config.init}: {', '.join(fresh)}")
    if shape.max_position_embeddings < data.lengths.max_length:
        raise AlbertError(
            ErrorKind.CONFIG,
            "max_length",
            expected=f"at most the model's {shape.max_position_embeddings}",
            got=str(data.lengths.max_length),
        )
    return model


class _DevScores:
    """Scores on the dev part, and the outputs they come from."""

    def __init__(self, model: AlbertForTask, data: Dataset) -> None:
        self.model = model
        self.data = data
        self.best: tuple[float, list[Output]] = (-math.inf, [])

    def __call__(self) -> dict[str, float]:
        scores, outputs = self._evaluate()
        value = scores[self.data.task.metric]
        if value > self.best[0]:
            self.best = value, outputs
        return scores

    def outputs(self, score: float) -> list[Output]:
        """Those with this score on the deciding metric; the model computes them anew if an earlier process had them."""
        return self.best[1] if self.best[0] == score else self._evaluate()[1]

    def _evaluate(self) -> tuple[dict[str, float], list[Output]]:
        data, task = self.data, self.data.task
        logits = predict_logits(self.model, data.dev)  # float32, as the Predictor will compute
        total, count = 0.0, 0
        for first, after in itertools.pairwise(data.dev.unit_bounds()):  # units may differ in their shapes
            gold = torch.from_numpy(np.stack([data.dev.gold_of(row) for row in range(first, after)]))
            total += float(task.loss(torch.from_numpy(np.stack(logits[first:after])), gold))
            count += task.count(gold)
        outputs = Output.each(data.dev_examples, data.dev, logits)
        scores = task.score(outputs, data.labels, task.tune(outputs, data.labels))
        return {"loss": total / max(count, 1), **scores}, outputs


def _build_trainer(
    config: FinetuneConfig,
    model: AlbertForTask,
    data: Dataset,
    settings: _Settings,
    progress: ConsoleProgress,
    evaluate: _DevScores,
) -> Trainer:
    loop = settings.loop
    return Trainer(
        model,
        build_optimizer(model, settings.optimizer, groups=model.config.num_hidden_groups),
        FeatureSource(data.train, loop),
        TaskObjective(data.task, data.loss),
        config=loop,
        folder=config.out,
        fingerprint={
            "data": data.train.fingerprint(),
            "dev": data.dev.fingerprint(),
            "network": json.dumps(model.config.to_dict(), sort_keys=True),
            "optimizer": json.dumps(dataclasses.asdict(settings.optimizer), sort_keys=True),
            "loss": json.dumps(dataclasses.asdict(settings.loss), sort_keys=True),
            "loop": json.dumps({**dataclasses.asdict(loop), "save_seconds": 0}, sort_keys=True),
            "init": config.init or "",
        },
        progress=progress,
        schedule=settings.optimizer.rate_at,
        clip=settings.optimizer.clip,
        evaluate=evaluate,
        metric=data.task.metric,
    )


def _tell(data: Dataset, progress: ConsoleProgress) -> None:
    columns = data.columns
    source = "a tenth held out as dev" if data.held_out else "dev from its file"
    progress.on_message(
        f"task {data.task.name}: {' + '.join(columns.texts())} -> {columns.label}, "
        f"{_listed(data.labels)}; {data.train_rows:,} training and {len(data.dev_examples):,} dev rows ({source})"
    )
    words, value = data.baseline
    progress.on_message(f"baseline, {words}: dev {data.task.metric} {value:.4f}")
    if data.cut:
        progress.on_message(
            f"{data.cut:,} of {data.train_rows + len(data.dev_examples):,} texts are longer than "
            f"{data.lengths.max_length} pieces and were cut; --stride 32 reads them whole, --max-length further"
        )
    if (
        windows := len(data.train) + len(data.dev) - data.train_rows - len(data.dev_examples)
    ) and not data.task.grouped:
        progress.on_message(f"{windows:,} windows more than texts: {data.lengths.rule()}")
    for remark in data.remarks:
        progress.on_message(remark)


def _tell_time(trainer: Trainer, data: Dataset, progress: ConsoleProgress) -> None:
    # Evaluation is forward only: a third of the work of training on as many tokens.
    evaluations = len(data.dev.ids) / 3 * trainer.total / trainer.eval_every
    training = len(data.train.ids) * trainer.total / trainer.source.steps_per_epoch
    seconds = trainer.estimated_seconds() * (1 + evaluations / training)
    parameters = sum(p.numel() for p in trainer.model.parameters())
    progress.on_message(
        f"{parameters:,} parameters, {trainer.total:,} steps in {trainer.precision} on {trainer.device}: "
        f"{duration(seconds)} at most, measured on a few of them"
    )


def _listed(labels: Sequence[str]) -> str:
    if len(labels) == 1:
        return "a number"
    return f"{len(labels)} labels (" + ", ".join(labels[:6]) + (", …)" if len(labels) > 6 else ")")
