"""From a prepared corpus to a pre-trained model folder: the steps of `albert pretrain`, in order."""

from __future__ import annotations

import dataclasses
import json
import math
from collections.abc import Callable, Sequence
from contextlib import nullcontext
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from albert.compute import train_step as fast
from albert.compute.precision import Precision
from albert.config import AlbertConfig
from albert.corpus.shards import Corpus, open_corpus
from albert.engine import autocast, resolve_precision
from albert.errors import AlbertError, ErrorKind, require_whole
from albert.hub import model_folder
from albert.model import AlbertForTask
from albert.model.checkpoint import load_encoder, start_from
from albert.pretraining.alignment import Words
from albert.pretraining.card import pretraining_card
from albert.pretraining.cooccurrence import EmbeddingConfig, cooccurrence_embeddings
from albert.pretraining.curves import draw_curves
from albert.pretraining.distillation import Comparison, DistillationConfig, Teacher
from albert.pretraining.full_objective import FullRowObjective, FullRowSource
from albert.pretraining.full_rows import Stream
from albert.pretraining.growth import GrowingSource, GrowthConfig
from albert.pretraining.guard import Guard
from albert.pretraining.instances import InstanceConfig
from albert.pretraining.masking import FIRST_ORDINARY
from albert.pretraining.objective import PretrainingBatch, PretrainingObjective
from albert.pretraining.source import MaskingConfig, PretrainingSource
from albert.pretraining.start import start_from_teacher
from albert.pretraining.throughput import peak_flops, training_flops
from albert.storage.files import disk_errors
from albert.storage.locks import run_lock
from albert.storage.replacing import settle
from albert.text.encodings import Tokenizer
from albert.text.open import open_tokenizer
from albert.text.tokenizer import AlbertTokenizer
from albert.text.words import word_starts
from albert.training.folder import check_folder, write_model_folder
from albert.training.loop import LoopConfig, Objective, Trainer
from albert.training.optimizer import OptimizerConfig, build_optimizer
from albert.training.progress import ConsoleProgress, duration
from albert.training.settings import divide_settings
from albert.training.state import LAST, Checkpoints
from albert.training.track import tensorboard
from albert.training.world import World


@dataclass(frozen=True, kw_only=True)
class PretrainConfig:
    """What to pre-train on what.

    `init` goes on from a model folder or hub id with the corpus's vocabulary. `teacher` is the folder or hub id of a
    BERT or ALBERT whose vectors are learned from, too (`albert.pretraining.distillation`); rows are full then.
    """

    shards: Path
    out: Path
    size: str = "small"
    init: str | None = None
    teacher: str | None = None
    evaluation_rows: int = 1024
    tensorboard: bool = False
    settings: dict[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        require_whole(self, ("evaluation_rows", 1, 1_000_000_000))


@dataclass(frozen=True)
class PretrainResult:
    """Where the model lies and its scores on held-out text; `leads` is true for rank 0 alone."""

    folder: Path
    scores: dict[str, float]
    steps: int
    tokens: int
    leads: bool
    threads: tuple[int, ...] = ()


_WORTH_COMPILING = 1000  # steps
_FROM_SCRATCH: dict[str, Any] = {
    "lr": 1e-3, "epochs": 1.0, "batch_size": 128, "max_tokens": 8192, "warmup": 0.05, "evals_per_epoch": 10,
}  # fmt: skip
_FROM_CHECKPOINT: dict[str, Any] = {**_FROM_SCRATCH, "lr": 2e-4}


def pretrain(
    config: PretrainConfig,
    *,
    resume: bool = False,
    overwrite: bool = False,
    progress: ConsoleProgress | None = None,
) -> PretrainResult:
    """Trains on masked pieces and sentence order, evaluates on held-out documents, writes the folder `config.out`.

    Under torchrun every process calls this; rank 0 writes. Raises `AlbertError` with the codes of `ErrorKind`.
    """
    world = World.join()
    progress = progress if progress and world.leads else ConsoleProgress(quiet=True)
    defaults = _FROM_CHECKPOINT if config.init else _FROM_SCRATCH
    network, *parts = divide_settings({**defaults, **config.settings}, AlbertConfig, *_Settings.kinds())
    settings = _Settings(*(kind(**part) for kind, part in zip(_Settings.kinds(), parts, strict=True)))
    if config.teacher is not None:
        settings = dataclasses.replace(settings, instances=dataclasses.replace(settings.instances, rows="full"))
    check_folder(config.out, resume=resume or not world.leads, overwrite=overwrite)
    corpus = open_corpus(config.shards)
    tokenizer = AlbertTokenizer.from_pretrained(config.shards)
    model = _build_model(config, settings, tokenizer, network, progress)
    model.to(world.device)
    lock = run_lock(config.out) if world.leads else nullcontext()
    with disk_errors(config.out), lock, progress:
        if world.leads:
            settle(config.out)
        begins = not resume or Checkpoints(config.out / "checkpoints").newest(LAST) is None
        if settings.start.embeddings == "cooccurrence" and config.init is None and begins:
            _start_embeddings(model, corpus, settings.start, progress)
        course = _Course.of(config, settings, model, corpus, tokenizer, world, progress, begins=begins)
        trainer = _build_trainer(config, settings, model, course, corpus, world, progress)
        if overwrite and not resume and world.leads:
            trainer.checkpoints.clear()
            (config.out / "metrics.jsonl").unlink(missing_ok=True)
        if config.tensorboard and world.leads:
            trainer.log.mirror = tensorboard(config.out)
        if trainer.total >= _WORTH_COMPILING and world.device.type == "cpu":
            progress.on_message("compiling GELU, which takes some seconds")
            if not fast.compile_activations():
                progress.on_message("not compiled, PyTorch's own GELU takes its place: no C++ compiler, or it failed")
        _tell(trainer, corpus, settings, model, progress)
        state = trainer.run(resume=resume)
        if config.teacher is not None:
            del model.comparison
        model.albert.encoder.num_layers = model.config.num_hidden_layers
        scores = state.evaluations[-1]["scores"]
        tokens = trainer.log.total("tokens") if world.leads else 0
        result = PretrainResult(config.out, scores, state.step, tokens, world.leads, tuple(state.threads))
        if world.leads:
            drawn = draw_curves(config.out / "metrics.jsonl")
            if drawn is None:
                progress.on_message("no learning curves drawn: pip install 'albert-nlp[report]' for matplotlib")
            card = pretraining_card(model.config, config, settings.as_dict(), result, corpus.manifest)
            pictures = [] if drawn is None else [("curves.png", drawn)]
            write_model_folder(config.out, model, tokenizer, card, *pictures)
            for name, _ in pictures:
                progress.on_message(f"learning curves -> {config.out / name}")
    return result


@dataclass(frozen=True)
class _Settings:
    """Every component's own."""

    optimizer: OptimizerConfig
    loop: LoopConfig
    instances: InstanceConfig
    masking: MaskingConfig
    growth: GrowthConfig
    start: EmbeddingConfig
    distillation: DistillationConfig

    @staticmethod
    def kinds() -> tuple[type, ...]:
        batches = (InstanceConfig, MaskingConfig, GrowthConfig)
        return OptimizerConfig, LoopConfig, *batches, EmbeddingConfig, DistillationConfig

    def as_dict(self) -> dict[str, Any]:
        return {name: value for part in dataclasses.asdict(self).values() for name, value in part.items()}

    @classmethod
    def defaults(cls) -> dict[str, Any]:
        """The components' own."""
        return cls(*(kind() for kind in cls.kinds())).as_dict()

    def fingerprint(self) -> dict[str, str]:
        """What a resumed run must have in common with its beginning; only its schedule may change.

        Values that nobody chose are left out, so that a version with new settings goes on with an old run.
        """
        values = self.as_dict()
        values.pop("save_seconds")
        schedule = {name: values.pop(name) for name in ("steps", "epochs", "warmup", "decay")}
        defaults = self.defaults()
        chosen = {name: value for name, value in values.items() if value != defaults[name]}
        return {"settings": json.dumps(chosen, sort_keys=True), "schedule": json.dumps(schedule)}


COMPONENTS = (AlbertConfig, *_Settings.kinds())  # whose fields `--set` takes
DEFAULTS = {"from scratch": _FROM_SCRATCH, "from a model": _FROM_CHECKPOINT}  # where they are not the fields' own


def _build_model(
    config: PretrainConfig,
    settings: _Settings,
    tokenizer: AlbertTokenizer,
    network: dict[str, Any],
    progress: ConsoleProgress,
) -> AlbertForTask:
    generator = torch.Generator().manual_seed(settings.loop.seed)
    if config.init is None:
        shape = AlbertConfig.named(config.size, **{"vocab_size": tokenizer.vocab_size, **network})
        model = AlbertForTask(shape, "pretraining", generator=generator)
    else:
        if AlbertTokenizer.from_pretrained(config.init).vocabulary != tokenizer.vocabulary:
            raise AlbertError(
                ErrorKind.CONFIG,
                f"{config.init} and {config.shards} have different vocabularies",
                hint=f"prepare the corpus anew: albert prepare corpus/ -o shards/ --vocab {config.init}",
            )
        shape = AlbertConfig.load(model_folder(config.init)).with_(id2label=(), problem_type=None, **network)
        model, fresh = start_from(config.init, shape, "pretraining", generator)
        if fresh:
            progress.on_message(f"drawn anew, not in {config.init}: {', '.join(fresh)}")
    for loops in (*settings.growth.loops, *settings.growth.depths):
        shape.with_(num_hidden_layers=loops)  # raises for fewer loops than groups
    if shape.vocab_size < tokenizer.vocab_size:
        raise AlbertError(
            ErrorKind.CONFIG, "vocab_size", expected=f"at least the vocabulary's {tokenizer.vocab_size:,}",
            got=f"{shape.vocab_size:,}",
        )  # fmt: skip
    longest = max((settings.instances.max_length, *settings.growth.lengths))
    if shape.max_position_embeddings < longest:
        raise AlbertError(
            ErrorKind.CONFIG,
            "max_length or lengths",
            expected=f"at most the model's {shape.max_position_embeddings}",
            got=str(longest),
        )
    return model


def _start_embeddings(model: AlbertForTask, corpus: Corpus, start: EmbeddingConfig, progress: ConsoleProgress) -> None:
    progress.on_message("counting which pieces stand near which, for the embeddings to start from")
    words = model.albert.embeddings.word.weight
    table = cooccurrence_embeddings(
        corpus,
        vocab_size=words.shape[0],
        size=words.shape[1],
        window=start.window,
        std=model.config.initializer_range,
    )
    with torch.no_grad():
        words[FIRST_ORDINARY:] = torch.from_numpy(table[FIRST_ORDINARY:])


@dataclass(frozen=True)
class _Course:
    """What a run is taught from: the objective, and the source of its steps for rows and batches of a size."""

    objective: Objective
    make: Callable[[int, int, int, int], PretrainingSource | FullRowSource]
    held_out: list[PretrainingBatch]

    @classmethod
    def of(
        cls,
        config: PretrainConfig,
        settings: _Settings,
        model: AlbertForTask,
        corpus: Corpus,
        tokenizer: Tokenizer,
        world: World,
        progress: ConsoleProgress,
        *,
        begins: bool,
    ) -> _Course:
        loop, instances = settings.loop, settings.instances
        starts = word_starts(tokenizer.vocabulary)

        @cache  # the held-out part and the run's first source are one
        def documents(length: int, batch_size: int, first: int, part: int) -> PretrainingSource:
            return PretrainingSource(
                corpus,
                starts,
                dataclasses.replace(instances, max_length=length, row_lengths=()),
                settings.masking,
                batch_size=batch_size,
                max_tokens=loop.max_tokens,
                seed=loop.seed + part,
                first=first,
                rank=world.rank,
                ranks=world.size,
            )

        held_out = documents(instances.max_length, loop.batch_size, 0, 0).held_out(config.evaluation_rows)
        if instances.rows == "documents":
            return cls(PretrainingObjective(), documents, held_out)
        stream = Stream.of(corpus, starts, instances.held_out, world.device)
        teacher = None
        if config.teacher is not None:
            teacher = _teacher(config.teacher, settings, model, stream, tokenizer, world, progress, begins=begins)
        objective = FullRowObjective(
            stream,
            instances,
            settings.masking,
            dtype=_dtype(settings, world),
            compiled=world.device.type == "cuda",
            teacher=teacher,
            distillation=settings.distillation,
        )

        def full(length: int, batch_size: int, first: int, part: int) -> FullRowSource:
            mixed = instances.row_lengths if length == instances.max_length else ()
            return FullRowSource(
                stream,
                dataclasses.replace(instances, max_length=length, row_lengths=mixed),
                settings.masking,
                batch_size=batch_size,
                max_tokens=loop.max_tokens,
                seed=loop.seed,
                first=first,
                rank=world.rank,
                ranks=world.size,
            )

        if teacher is not None:
            objective.standardise(model, full(instances.max_length, loop.batch_size, 0, 0).micro_batches(0)[0])
        return cls(objective, full, held_out)


def _dtype(settings: _Settings, world: World) -> torch.dtype:
    """The number format of what full rows are computed in."""
    return torch.bfloat16 if resolve_precision(settings.loop.precision, world.device) == "bf16" else torch.float32


def _teacher(
    name: str,
    settings: _Settings,
    model: AlbertForTask,
    stream: Stream,
    tokenizer: Tokenizer,
    world: World,
    progress: ConsoleProgress,
    *,
    begins: bool,
) -> Teacher:
    """Loads the teacher, gives the model its comparison with it and, where asked for, its blocks to begin from."""
    progress.on_message(f"looking up the corpus's words in the vocabulary of {name}")
    encoder, pieces = load_encoder(name), open_tokenizer(name)
    if settings.distillation.teacher_blocks and begins:
        counts = torch.bincount(stream.tokens.long(), minlength=stream.vocab_size).cpu()
        start_from_teacher(
            model.cpu(), encoder, tokenizer.vocabulary, pieces, counts, settings.distillation.teacher_blocks
        )
    groups = model.config.num_hidden_groups
    generator = torch.Generator().manual_seed(settings.loop.seed)
    model.comparison = Comparison(model.config.hidden_size, encoder.config.hidden_size, groups, generator)
    model.to(world.device)
    return Teacher(
        encoder.to(world.device),
        pieces,
        Words.of(stream, tokenizer.vocabulary, pieces),
        groups,
        _dtype(settings, world),
        compiled=world.device.type == "cuda",
    )


def _build_trainer(
    config: PretrainConfig,
    settings: _Settings,
    model: AlbertForTask,
    course: _Course,
    corpus: Corpus,
    world: World,
    progress: ConsoleProgress,
) -> Trainer:
    loop, growth = settings.loop, settings.growth
    length, full_depth = settings.instances.max_length, model.config.num_hidden_layers
    source = GrowingSource(growth, course.make, length=length, batch_size=loop.batch_size)

    def evaluate() -> dict[str, float]:
        loops, model.albert.encoder.num_layers = model.albert.encoder.num_layers, full_depth
        scores = held_out_scores(model, course.held_out, precision=loop.precision, world=world)
        model.albert.encoder.num_layers = loops
        return scores

    def rate_at(step: int, total: int) -> float:
        loops = growth.loops_at(step, total, full_depth, loop.seed)
        return settings.optimizer.rate_at(step, total) * min(1.0, math.sqrt(full_depth / loops))

    trainer = Trainer(
        model,
        build_optimizer(model, settings.optimizer, groups=model.config.num_hidden_groups),
        source,
        course.objective,
        config=loop,
        folder=config.out,
        fingerprint={
            "corpus": corpus.fingerprint(),
            "network": json.dumps(model.config.to_dict(), sort_keys=True),
            **settings.fingerprint(),
            "init": config.init or "",
            **({} if config.teacher is None else {"teacher": config.teacher}),
        },
        defaults=settings.defaults(),
        progress=progress,
        schedule=rate_at,
        clip=settings.optimizer.clip,
        evaluate=evaluate,
        watch=Guard(),
        world=world,
    )
    source.begin(trainer.total)
    at: tuple[int, int] | None = None

    def grow(step: int) -> None:
        nonlocal at
        loops = growth.loops_at(step, trainer.total, full_depth, loop.seed)
        pieces, _ = growth.size_at(step, trainer.total, length, loop.batch_size)
        if (loops, pieces) == at:
            return
        at = loops, pieces
        model.albert.encoder.num_layers = loops
        progress.flops_per_token = training_flops(
            model.config.with_(num_hidden_layers=loops), length=pieces, masked=settings.masking.mask_rate
        )

    trainer.before_step = grow
    return trainer


@torch.inference_mode()
def held_out_scores(
    model: AlbertForTask,
    batches: Sequence[PretrainingBatch],
    *,
    precision: Precision = "auto",
    world: World | None = None,
) -> dict[str, float]:
    """Scores over the batches of all ranks.

    Loss, accuracy and perplexity of masked pieces; loss and accuracy of the order; "cls_spread", the mean over the
    pooled vector's units of their standard deviation over texts, near 0 where [CLS] says the same of every text.
    """
    world = world or World()
    objective = PretrainingObjective()
    training = model.training
    model.eval()
    names = ("mlm", "sop", "mlm_count", "sop_count", "mlm_right", "sop_right")
    totals, pooled = dict.fromkeys(names, 0.0), []
    for batch in batches:
        with autocast(resolve_precision(precision, world.device), world.device):
            sums, right, vectors = objective.judge(model, batch)
        pooled.append(vectors.float())
        for name, count in objective.counts(batch).items():
            totals[name] += float(sums[name])
            totals[f"{name}_count"] += count
            totals[f"{name}_right"] += right[name]
    model.train(training)
    totals = world.sum(totals)
    mlm, sop = max(totals["mlm_count"], 1), max(totals["sop_count"], 1)
    return {
        "mlm_loss": totals["mlm"] / mlm,
        "perplexity": math.exp(min(totals["mlm"] / mlm, 700)),
        "mlm_accuracy": totals["mlm_right"] / mlm,
        "sop_loss": totals["sop"] / sop,
        "sop_accuracy": totals["sop_right"] / sop,
        "cls_spread": _spread(torch.cat(pooled).double(), world),
    }


def _spread(vectors: Float[Tensor, "rows units"], world: World) -> float:
    """The mean over units of their standard deviation over the rows of all ranks."""
    sums = torch.cat([vectors.sum(0), vectors.square().sum(0), vectors.new_tensor([len(vectors)])])
    everywhere = world.sum({str(place): value for place, value in enumerate(sums.tolist())})
    *moments, rows = everywhere.values()
    first, second = torch.tensor(moments, dtype=torch.float64).view(2, -1)
    variance = (second - first.square() / rows).clamp(min=0) / max(rows - 1, 1)
    return float(variance.sqrt().mean())


def _tell(
    trainer: Trainer, corpus: Corpus, settings: _Settings, model: AlbertForTask, progress: ConsoleProgress
) -> None:
    tokens = sum(len(shard.tokens) for shard in corpus.shards)
    length = settings.instances.max_length
    progress.on_message(
        f"{tokens:,} pieces in {len(corpus.shards)} shards; {trainer.source.steps_per_epoch:,} steps of "
        f"{settings.loop.batch_size} x {length} pieces an epoch"
    )
    progress.peak_flops = peak_flops(trainer.device, trainer.precision)
    parameters = sum(p.numel() for p in model.parameters())
    seconds = trainer.estimated_seconds() if trainer.world.size == 1 else None
    progress.on_message(
        f"{parameters:,} parameters, {trainer.total:,} steps in {trainer.precision} on {trainer.device} x "
        f"{trainer.world.size}" + (f": about {duration(seconds)}, measured on a few of them" if seconds else "")
    )
