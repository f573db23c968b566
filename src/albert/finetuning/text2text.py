"""From pairs of texts to a model that writes: the steps of `albert train --task text2text`, in order."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

import torch
from torch import Tensor, nn

from albert.config import AlbertConfig, DecoderConfig
from albert.data.batches import IGNORED, within_budget
from albert.data.pairs import PairBatch
from albert.finetuning.attempts import FinetuneResult, Settings
from albert.finetuning.card import text2text_card
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.pairs import Pairs, read_pairs
from albert.finetuning.source import PairSource
from albert.finetuning.start import require_same_sizes, require_token_types, starting_tokenizer
from albert.finetuning.texts import TextConfig
from albert.generation.options import GREEDY
from albert.machine.memory import peak_memory
from albert.model import AlbertForText2Text
from albert.model.checkpoint import start_text2text
from albert.model.folder import ModelFolder
from albert.predict.writer import Writer
from albert.storage.files import disk_errors
from albert.storage.locks import run_lock
from albert.storage.replacing import settle
from albert.tasks.losses import LossShape
from albert.tasks.stored import StoredTask
from albert.tasks.text2text import Text2Text
from albert.text.encodings import Tokenizer
from albert.text.sampling import SamplingConfig, Segmentations
from albert.training.best import best_scores
from albert.training.cross_entropy import head_cross_entropy
from albert.training.folder import check_folder, clear_run, write_model_folder
from albert.training.loop import Trainer
from albert.training.optimizer import build_optimizer
from albert.training.progress import ConsoleProgress, duration
from albert.training.settings import divide_settings

_COMMON: dict[str, Any] = {"label_smoothing": 0.1, "batch_size": 32, "hidden_dropout_prob": 0.1}
_FROM_SCRATCH: dict[str, Any] = {**_COMMON, "lr": 1e-3, "epochs": 20.0, "patience": 5}
_FROM_CHECKPOINT: dict[str, Any] = {**_COMMON, "lr": 3e-4, "epochs": 10.0, "patience": 3}  # cross-attention is new
DEFAULTS = {"from scratch": _FROM_SCRATCH, "from a checkpoint": _FROM_CHECKPOINT}
COMPONENTS = (AlbertConfig, DecoderConfig, SamplingConfig, *Settings.kinds())
# The range of weights at first: the published 0.02 is that of wide networks. Numbers in words, H 48, one layer each: no
# dev text right after 180 steps with 0.02, 97 % with 0.1; dates, H 64: 3 % and 47 % after 190 (docs/generation.md).
_WIDEST = 0.1
_PART = 8192  # padded pieces of dev whose loss is computed at once


def finetune_text2text(
    config: FinetuneConfig, *, resume: bool, overwrite: bool, progress: ConsoleProgress
) -> FinetuneResult:
    """Reads, encodes, trains, keeps the best checkpoint on dev, and writes the model folder `config.out`.

    Raises `AlbertError` with the exit codes of `ErrorKind`; for bad data nothing is written.
    """
    start = None if config.init is None else ModelFolder.open(config.init)
    defaults = _FROM_SCRATCH if start is None else _FROM_CHECKPOINT
    network, decoder, drawn, *parts = divide_settings({**defaults, **config.settings}, *COMPONENTS)
    sampling = SamplingConfig(**drawn)
    settings = Settings(*(kind(**part) for kind, part in zip(Settings.kinds(), parts, strict=True)))
    check_folder(config.out, resume=resume, overwrite=overwrite)
    tokenizer = settings.text.tokenizer(starting_tokenizer(config, start), Text2Text())
    shape = _shape(config, start, tokenizer, network, decoder)
    data = read_pairs(config, tokenizer, positions=shape.max_position_embeddings, seed=settings.loop.seed)
    require_token_types(shape, data.train.sources.types)
    segmentations = sampling.segmentations(tokenizer)
    loss = data.task.shape_loss(settings.loss, (), ())
    _tell(data, progress)
    model = _model(start, _described(shape, data), seed=settings.loop.seed, progress=progress)
    with disk_errors(config.out), run_lock(config.out), progress:
        settle(config.out)
        if overwrite and not resume:
            clear_run(config.out)
        objective = Text2TextObjective(data.task, loss)
        result = _train(config, settings, model, tokenizer, data, objective, progress, segmentations, resume=resume)
        used = {**settings.as_dict(), **dataclasses.asdict(sampling)}
        card = text2text_card(model.config, config, used, result, data)
        write_model_folder(config.out, model, tokenizer, card)
        if (peak := peak_memory()) is not None:
            progress.on_message(f"{peak / 2**20:,.0f} MiB of memory at most")
    return result


# --- the network -----------------------------------------------------------------------------------------------


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
    require_same_sizes(start, changed)
    return start.config.with_(**network, decoder=dataclasses.replace(kept, **decoder), id2label=(), problem_type=None)


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
    settings: Settings,
    model: AlbertForText2Text,
    tokenizer: Tokenizer,
    data: Pairs,
    objective: Text2TextObjective,
    progress: ConsoleProgress,
    segmentations: Segmentations | None,
    *,
    resume: bool,
) -> FinetuneResult:
    model.to("cuda" if torch.cuda.is_available() else "cpu")
    dev_scores = _DevScores(model, tokenizer, data, objective)
    loop = settings.loop
    trainer = Trainer(
        model,
        build_optimizer(model, settings.optimizer, groups=model.config.num_hidden_groups),
        PairSource(data.train, loop, segmentations, (data.lengths.max_length, model.config.max_position_embeddings)),
        objective,
        config=loop,
        folder=config.out,
        fingerprint={
            "data": data.train.fingerprint(),
            "dev": data.dev.fingerprint(),
            **settings.fingerprint(model.config, config.init),
            **({"sampling_alpha": str(segmentations.alpha)} if segmentations else {}),
        },
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
    best = best_scores(state, data.task.metric)
    model.eval()
    return FinetuneResult(config.out, data.task.metric, best, data.baseline[1], state.step, dev_scores.outputs,
                          threads=tuple(state.threads))  # fmt: skip


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
        hidden, gold = hidden[real], gold[real]
        if device.type != "cpu" or self.shape.config.focal:
            return {"loss": self.task.loss(model.logits(hidden), gold, self.shape)}
        words, smoothing = model.albert.embeddings.word.weight, self.shape.config.label_smoothing
        return {"loss": head_cross_entropy(model.head, hidden, words, gold, smoothing=smoothing)}


class _DevScores:
    """Scores on the dev part, whose sources are rewritten greedily; `outputs` are those of the last time."""

    def __init__(
        self, model: AlbertForText2Text, tokenizer: Tokenizer, data: Pairs, objective: Text2TextObjective
    ) -> None:
        self.model = model
        self.tokenizer = tokenizer
        self.data = data
        self.objective = Text2TextObjective(objective.task, LossShape())  # without smoothing: to be compared
        longest = int(data.dev.lengths[:, 1].max())
        # What repeats itself for ever is wrong anyway, and would cost most of the time.
        self.generation = dataclasses.replace(GREEDY, max_length=min(2 * longest, model.config.max_position_embeddings))
        self.outputs: list[Any] = []

    def __call__(self) -> dict[str, float]:
        data = self.data
        writer = Writer(self.model, self.tokenizer, data.task, data.columns, lengths=data.lengths, precision="auto")
        try:
            self.outputs = writer.write(data.dev_examples, self.generation)
            return {"loss": self._loss(), **data.task.score(self.outputs, ())}
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
