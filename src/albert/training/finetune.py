"""From a table of examples to a fine-tuned model folder: the steps of `albert train`, in order."""

from __future__ import annotations

import dataclasses
import itertools
import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn

from albert.config import AlbertConfig
from albert.data.batches import Batch
from albert.engine import batch_logits, predict_logits
from albert.errors import AlbertError, ErrorKind
from albert.files import disk_errors
from albert.hub import model_folder
from albert.model import AlbertForTask
from albert.model.checkpoint import start_from
from albert.process import run_lock
from albert.tasks.base import Output, Task
from albert.text.tokenizer import AlbertTokenizer
from albert.training.card import model_card
from albert.training.dataset import Dataset, FinetuneConfig, read_dataset
from albert.training.folder import check_folder, write_model_folder
from albert.training.loop import FeatureSource, LoopConfig, Trainer
from albert.training.optimizer import OptimizerConfig, build_optimizer
from albert.training.progress import ConsoleProgress, duration
from albert.training.settings import divide_settings


@dataclass(frozen=True)
class FinetuneResult:
    """The best evaluation of a run, what answering without reading reaches, and where the model lies."""

    folder: Path
    metric: str
    scores: dict[str, float]
    baseline: float
    steps: int


# From scratch: measured on SST-2, AG News and the bundled messages (docs/log.md); patience ends the longer runs.
_FROM_SCRATCH: dict[str, Any] = {"lr": 1e-3, "epochs": 15.0, "batch_size": 32, "patience": 5}
_FROM_SMALL: dict[str, Any] = {"lr": 5e-4, "epochs": 6.0, "batch_size": 32, "patience": 2}  # the starter's width
_FROM_CHECKPOINT: dict[str, Any] = {"lr": 3e-5, "epochs": 3.0, "batch_size": 32}  # amid the paper's Table 14
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
    defaults = _defaults(config)
    network, updates, looping = divide_settings(
        {**defaults, **config.settings}, AlbertConfig, OptimizerConfig, LoopConfig
    )
    optimizer_config, loop = OptimizerConfig(**updates), LoopConfig(**looping)
    check_folder(config.out, resume=resume, overwrite=overwrite)
    vocabulary = config.init or config.tokenizer
    tokenizer = AlbertTokenizer.from_pretrained(vocabulary) if vocabulary else AlbertTokenizer.english()
    data = read_dataset(config, tokenizer, seed=loop.seed)
    _tell(data, progress)

    model = _build_model(config, data, tokenizer, network, seed=loop.seed, progress=progress)
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    with disk_errors(config.out), run_lock(config.out), progress:
        dev_scores = _DevScores(model, data)
        trainer = _build_trainer(config, model, data, optimizer_config, loop, progress, dev_scores)
        if overwrite and not resume:
            trainer.checkpoints.clear()
            (config.out / "metrics.jsonl").unlink(missing_ok=True)
        _tell_time(trainer, data, progress)
        state = trainer.run(resume=resume)
        best = max(state.evaluations, key=lambda entry: entry["scores"][data.task.metric])
        outputs = dev_scores.outputs(best["scores"][data.task.metric])
        thresholds = data.task.tune(outputs, data.labels)
        if thresholds:
            model.config = model.config.with_(extra={**model.config.extra, "thresholds": thresholds})
        result = FinetuneResult(config.out, data.task.metric, best["scores"], data.baseline[1], state.step)
        card = model_card(
            model.config,
            config,
            loop,
            optimizer_config,
            result,
            data.baseline[0],
            (data.train_rows, len(data.dev_examples)),
            data.lengths,
        )
        write_model_folder(config.out, model, tokenizer, card)
    return result


def _defaults(config: FinetuneConfig) -> dict[str, Any]:
    if config.init is None:
        return _FROM_SCRATCH
    small = AlbertConfig.load(model_folder(config.init)).hidden_size <= _SMALL
    return _FROM_SMALL if small else _FROM_CHECKPOINT


class TaskObjective:
    """A task's loss as the loop's objective."""

    def __init__(self, task: Task) -> None:
        self.task = task

    def counts(self, batch: Batch) -> dict[str, int]:
        """What the loss is a mean over."""
        assert batch.gold is not None
        return {"loss": self.task.count(batch.gold)}

    def sums(self, model: nn.Module, batch: Batch) -> dict[str, Tensor]:
        """The summed loss of a micro-batch."""
        device = next(model.parameters()).device
        assert batch.gold is not None
        return {"loss": self.task.loss(batch_logits(model, batch, device), batch.gold.to(device))}


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
    optimizer_config: OptimizerConfig,
    loop: LoopConfig,
    progress: ConsoleProgress,
    evaluate: _DevScores,
) -> Trainer:
    return Trainer(
        model,
        build_optimizer(model, optimizer_config, groups=model.config.num_hidden_groups),
        FeatureSource(data.train, loop),
        TaskObjective(data.task),
        config=loop,
        folder=config.out,
        fingerprint={
            "data": data.train.fingerprint(),
            "dev": data.dev.fingerprint(),
            "network": json.dumps(model.config.to_dict(), sort_keys=True),
            "optimizer": json.dumps(dataclasses.asdict(optimizer_config), sort_keys=True),
            "loop": json.dumps({**dataclasses.asdict(loop), "save_seconds": 0}, sort_keys=True),
            "init": config.init or "",
        },
        progress=progress,
        schedule=optimizer_config.rate_at,
        clip=optimizer_config.clip,
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
