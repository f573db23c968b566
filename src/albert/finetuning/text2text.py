"""From pairs of texts to a model that writes: the steps of `albert train --task text2text`, in order."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn

from albert.config import AlbertConfig, DecoderConfig
from albert.data.batches import IGNORED, training_steps, within_budget
from albert.data.pairs import PairBatch, PairFeatures
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.attempts import FinetuneResult
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.pairs import Pairs, read_pairs
from albert.finetuning.texts import TextConfig
from albert.finetuning.written_card import text2text_card
from albert.generation.options import GREEDY
from albert.machine.memory import peak_memory
from albert.model import AlbertForText2Text
from albert.model.checkpoint import start_text2text
from albert.model.folder import ModelFolder
from albert.predict.writer import Writer
from albert.storage.files import disk_errors
from albert.storage.locks import run_lock
from albert.storage.replacing import settle
from albert.tasks.losses import LossConfig, LossShape
from albert.tasks.stored import StoredTask
from albert.tasks.text2text import Text2Text
from albert.text.encodings import Tokenizer
from albert.text.open import open_tokenizer
from albert.text.tokenizer import AlbertTokenizer
from albert.training.average import AverageConfig
from albert.training.best import merit
from albert.training.folder import check_folder, write_model_folder
from albert.training.loop import Trainer
from albert.training.optimizer import OptimizerConfig, build_optimizer
from albert.training.parts import LoopConfig
from albert.training.progress import ConsoleProgress, duration
from albert.training.settings import divide_settings
from albert.training.state import Checkpoints

_COMMON: dict[str, Any] = {"label_smoothing": 0.1, "batch_size": 32, "hidden_dropout_prob": 0.1}
_FROM_SCRATCH: dict[str, Any] = {**_COMMON, "lr": 1e-3, "epochs": 20.0, "patience": 5}
_FROM_CHECKPOINT: dict[str, Any] = {**_COMMON, "lr": 3e-4, "epochs": 10.0, "patience": 3}  # cross-attention is new
DEFAULTS = {"from scratch": _FROM_SCRATCH, "from a checkpoint": _FROM_CHECKPOINT}
COMPONENTS = (AlbertConfig, DecoderConfig, OptimizerConfig, LoopConfig, LossConfig, TextConfig, AverageConfig)
# The range of weights at first: the published 0.02 is that of wide networks. Numbers in words, H 48, one layer each: no
# dev text right after 180 steps with 0.02, 97 % with 0.1; dates, H 64: 3 % and 47 % after 190 (docs/generation.md).
_WIDEST = 0.1
_PART = 8192  # padded pieces of dev whose loss is computed at once


@dataclass(frozen=True)
class _Settings:
    """Every component's own, but for the network's."""

    optimizer: OptimizerConfig
    loop: LoopConfig
    loss: LossConfig
    text: TextConfig
    average: AverageConfig

    def as_dict(self) -> dict[str, Any]:
        return {name: value for part in dataclasses.asdict(self).values() for name, value in part.items()}


def finetune_text2text(
    config: FinetuneConfig, *, resume: bool, overwrite: bool, progress: ConsoleProgress
) -> FinetuneResult:
    """Reads, encodes, trains, keeps the best checkpoint on dev, and writes the model folder `config.out`.

    Raises `AlbertError` with the exit codes of `ErrorKind`; for bad data nothing is written.
    """
    start = None if config.init is None else ModelFolder.open(config.init)
    defaults = _FROM_SCRATCH if start is None else _FROM_CHECKPOINT
    network, decoder, *parts = divide_settings({**defaults, **config.settings}, *COMPONENTS)
    settings = _Settings(*(kind(**part) for kind, part in zip(COMPONENTS[2:], parts, strict=True)))
    check_folder(config.out, resume=resume, overwrite=overwrite)
    tokenizer = settings.text.tokenizer(_tokenizer(config, start))
    shape = _shape(config, start, tokenizer, network, decoder)
    data = read_pairs(config, tokenizer, positions=shape.max_position_embeddings, seed=settings.loop.seed)
    if shape.type_vocab_size < 2 and data.train.sources.types.any():
        raise AlbertError(ErrorKind.CONFIG, "pairs of texts", expected="a network with two token types",
                          got="type_vocab_size 1")  # fmt: skip
    loss = data.task.shape_loss(settings.loss, (), ())
    _tell(data, progress)
    model = _model(start, _described(shape, data), seed=settings.loop.seed, progress=progress)
    with disk_errors(config.out), run_lock(config.out), progress:
        settle(config.out)
        if overwrite and not resume:
            Checkpoints(config.out / "checkpoints").clear()
            (config.out / "metrics.jsonl").unlink(missing_ok=True)
        objective = Text2TextObjective(data.task, loss)
        result = _train(config, settings, model, tokenizer, data, objective, progress, resume=resume)
        card = text2text_card(model.config, config, settings.as_dict(), result, data)
        write_model_folder(config.out, model, tokenizer, card)
        if (peak := peak_memory()) is not None:
            progress.on_message(f"{peak / 2**20:,.0f} MiB of memory at most")
    return result


# --- the network -----------------------------------------------------------------------------------------------


def _tokenizer(config: FinetuneConfig, start: ModelFolder | None) -> Tokenizer:
    if start is not None:
        return open_tokenizer(start.path, config=start.config)
    return open_tokenizer(config.tokenizer) if config.tokenizer else AlbertTokenizer.english()


def _shape(
    config: FinetuneConfig, start: ModelFolder | None, tokenizer: Tokenizer, network: dict[str, Any],
    decoder: dict[str, Any],
) -> AlbertConfig:  # fmt: skip
    if start is None:
        assert config.size is not None
        pieces = {"vocab_size": tokenizer.vocab_size, "pad_token_id": tokenizer.special.pad}
        shape = AlbertConfig.named(config.size, **{**pieces, **network, "decoder": DecoderConfig(**decoder)})
        range_ = network.get("initializer_range", min(_WIDEST, shape.hidden_size**-0.5))
        return shape.with_(initializer_range=range_)
    kept = start.config.decoder or DecoderConfig()
    changed = {name: value for name, value in network.items() if value != getattr(start.config, name)}
    if fixed := sorted(set(changed) & _SHAPES):
        raise AlbertError(
            ErrorKind.CONFIG, f"{', '.join(fixed)} of {start.name}", expected="the sizes that its weights have",
            hint="leave the setting out, or train from scratch with --size",
        )  # fmt: skip
    return start.config.with_(**network, decoder=dataclasses.replace(kept, **decoder), id2label=(), problem_type=None)


_SHAPES = {
    "embedding_size", "hidden_size", "intermediate_size", "num_hidden_groups", "inner_group_num",
    "max_position_embeddings", "type_vocab_size", "sharing", "embedding_projection", "model_type", "pad_token_id",
}  # fmt: skip


def _described(shape: AlbertConfig, data: Pairs) -> AlbertConfig:
    stored = StoredTask(task=data.task.name, metric=data.task.metric, columns=data.columns,
                        max_length=data.lengths.max_length)  # fmt: skip
    return shape.with_(extra=stored.extra())


def _model(
    start: ModelFolder | None, config: AlbertConfig, *, seed: int, progress: ConsoleProgress
) -> AlbertForText2Text:
    generator = torch.Generator().manual_seed(seed)
    if start is None:
        progress.on_message("training a network from scratch, without a pre-trained model")
        return AlbertForText2Text(config, generator=generator)
    progress.on_message(f"starting from {start.name}")
    model, drawn = start_text2text(start, config, generator)
    if drawn:
        progress.on_message(f"drawn anew, not in {start.name}: {', '.join(drawn)}")
    return model


# --- training ------------------------------------------------------------------------------------------------


def _train(
    config: FinetuneConfig,
    settings: _Settings,
    model: AlbertForText2Text,
    tokenizer: Tokenizer,
    data: Pairs,
    objective: Text2TextObjective,
    progress: ConsoleProgress,
    *,
    resume: bool,
) -> FinetuneResult:
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    dev_scores = _DevScores(model, tokenizer, data, objective)
    loop = settings.loop
    trainer = Trainer(
        model,
        build_optimizer(model, settings.optimizer, groups=model.config.num_hidden_groups),
        PairSource(data.train, loop),
        objective,
        config=loop,
        folder=config.out,
        fingerprint=_fingerprint(config, settings, model, data),
        defaults=dataclasses.asdict(TextConfig()),
        progress=progress,
        schedule=settings.optimizer.rate_at,
        clip=settings.optimizer.clip,
        evaluate=dev_scores,
        metric=data.task.metric,
        average=settings.average.average,
    )
    parameters = sum(p.numel() for p in model.parameters())
    progress.on_message(
        f"{parameters:,} parameters, {trainer.total:,} steps in {trainer.precision} on {trainer.device}: "
        f"{duration(trainer.estimated_seconds())} at most beside the evaluations, measured on a few of them"
    )
    state = trainer.run(resume=resume)
    best = max((entry["scores"] for entry in state.evaluations), key=lambda scores: merit(scores, data.task.metric))
    model.eval()
    return FinetuneResult(config.out, data.task.metric, best, data.baseline[1], state.step, dev_scores.outputs,
                          threads=tuple(state.threads))  # fmt: skip


def _fingerprint(config: FinetuneConfig, settings: _Settings, model: AlbertForText2Text, data: Pairs) -> dict[str, Any]:
    """What a resumed run must have as the one that began."""
    values = {"network": model.config.to_dict(), "optimizer": dataclasses.asdict(settings.optimizer),
              "loss": dataclasses.asdict(settings.loss),
              "loop": {**dataclasses.asdict(settings.loop), "save_seconds": 0}}  # fmt: skip
    return {
        "data": data.train.fingerprint(),
        "dev": data.dev.fingerprint(),
        **{name: json.dumps(value, sort_keys=True) for name, value in values.items()},
        "init": config.init or "",
        **({"text": json.dumps(chosen, sort_keys=True)} if (chosen := settings.text.chosen()) else {}),
        **({"average": str(settings.average.average)} if settings.average.average else {}),
    }


class PairSource:
    """Batches of pairs within a budget of padded pieces over both sides; (seed, epoch) draws the order of an epoch."""

    def __init__(self, pairs: PairFeatures, config: LoopConfig) -> None:
        self.pairs = pairs
        self.config = config
        self._epoch = -1
        self._steps: list[list[Any]] = []

    @property
    def steps_per_epoch(self) -> int:
        return math.ceil(len(self.pairs) / self.config.batch_size)

    def micro_batches(self, step: int) -> list[Any]:
        """The micro-batches of a step; the order of an epoch is drawn from (seed, epoch)."""
        epoch, index = divmod(step, self.steps_per_epoch)
        if epoch != self._epoch:
            config = self.config
            self._steps = training_steps(self.pairs.lengths, batch_size=config.batch_size, seed=config.seed,
                                         max_tokens=config.max_tokens, epoch=epoch)  # fmt: skip
            self._epoch = epoch
        return [self.pairs.batch(rows) for rows in self._steps[index]]


class Text2TextObjective:
    """Teacher forcing: each piece of a target, and its end, named from those before it."""

    def __init__(self, task: Text2Text, shape: LossShape) -> None:
        self.task = task
        self.shape = shape
        self.weights: Mapping[str, float] = {}

    def counts(self, batch: PairBatch) -> dict[str, int]:
        """What the loss is a mean over."""
        return {"loss": batch.targets}

    def sums(self, model: nn.Module, batch: PairBatch) -> dict[str, Tensor]:
        """The summed loss of a micro-batch, computed at the real pieces alone."""
        assert isinstance(model, AlbertForText2Text)
        device = next(model.parameters()).device
        gold = batch.gold.to(device)
        hidden = model(
            batch.input_ids.to(device),
            batch.target_ids.to(device),
            attention_mask=batch.attention_mask.to(device),
            token_type_ids=batch.token_type_ids.to(device),
        )
        real = gold != IGNORED
        return {"loss": self.task.loss(model.logits(hidden[real]), gold[real], self.shape)}


class _DevScores:
    """Scores on the dev part, whose sources are rewritten greedily; `outputs` are those of the last time."""

    def __init__(
        self, model: AlbertForText2Text, tokenizer: Tokenizer, data: Pairs, objective: Text2TextObjective
    ) -> None:
        self.model = model
        self.data = data
        self.writer = Writer(model, tokenizer, data.task, data.columns, lengths=data.lengths)
        self.objective = Text2TextObjective(objective.task, LossShape())  # without smoothing: to be compared
        longest = int(data.dev.lengths[:, 1].max())
        # What repeats itself for ever is wrong anyway, and would cost most of the time.
        self.generation = dataclasses.replace(GREEDY, max_length=min(2 * longest, model.config.max_position_embeddings))
        self.outputs: list[Any] = []

    def __call__(self) -> dict[str, float]:
        self.model.eval()
        try:
            self.outputs = self.writer.write(self.data.dev_examples, self.generation)
            return {"loss": self._loss(), **self.data.task.score(self.outputs, ())}
        finally:
            self.model.train()

    @torch.inference_mode()
    def _loss(self) -> float:
        lengths = self.data.dev.lengths
        total, count = 0.0, 0
        for rows in within_budget(lengths.sum(1).argsort(kind="stable"), lengths, _PART):
            batch = self.data.dev.batch(rows)
            total += float(self.objective.sums(self.model, batch)["loss"])
            count += batch.targets
        return total / max(count, 1)


def _tell(data: Pairs, progress: ConsoleProgress) -> None:
    source = "a tenth held out as dev" if data.held_out else "dev from its file"
    progress.on_message(
        f"task {data.task.name}: {' + '.join(data.columns.texts())} -> {data.columns.label}; "
        f"{data.train_rows:,} training and {len(data.dev_examples):,} dev rows ({source})"
    )
    words, value = data.baseline
    progress.on_message(f"baseline, {words}: dev {data.task.metric} {value:.4f}")
    if data.cut:
        progress.on_message(
            f"{data.cut:,} sources are longer than {data.lengths.max_length} pieces and were cut; "
            "--max-length reads further"
        )
    for remark in data.remarks:
        progress.on_message(remark)
