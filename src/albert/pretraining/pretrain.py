"""From a prepared corpus to a pre-trained model folder: the steps of `albert pretrain`, in order."""

from __future__ import annotations

import dataclasses
import json
import math
from contextlib import nullcontext
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from albert.compute import train_step as fast
from albert.config import AlbertConfig
from albert.corpus.shards import Corpus, open_corpus
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask
from albert.model.checkpoint import start_from
from albert.model.folder import ModelFolder
from albert.pretraining.card import pretraining_card
from albert.pretraining.cooccurrence import EmbeddingConfig, cooccurrence_embeddings
from albert.pretraining.course import Course
from albert.pretraining.curves import draw_curves
from albert.pretraining.growth import GrowingSource
from albert.pretraining.guard import Guard
from albert.pretraining.masking import FIRST_ORDINARY
from albert.pretraining.scores import held_out_scores
from albert.pretraining.settings import PretrainConfig, PretrainSettings
from albert.pretraining.throughput import peak_flops, training_flops
from albert.storage.files import disk_errors
from albert.storage.locks import run_lock
from albert.storage.replacing import settle
from albert.text.tokenizer import AlbertTokenizer
from albert.training.folder import check_folder, clear_run, write_model_folder
from albert.training.loop import Trainer
from albert.training.optimizer import build_optimizer
from albert.training.progress import ConsoleProgress, duration
from albert.training.settings import divide_settings
from albert.training.state import LAST, Checkpoints
from albert.training.track import tensorboard
from albert.training.world import World


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
DEFAULTS = {"from scratch": _FROM_SCRATCH, "from a model": _FROM_CHECKPOINT}  # where they are not the fields' own
COMPONENTS = (AlbertConfig, *PretrainSettings.kinds())  # whose fields `--set` takes


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
    network, *parts = divide_settings({**defaults, **config.settings}, *COMPONENTS)
    settings = PretrainSettings(*(kind(**part) for kind, part in zip(PretrainSettings.kinds(), parts, strict=True)))
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
        course = Course.of(config, settings, model, corpus, tokenizer, world, progress, begins=begins)
        trainer = _build_trainer(config, settings, model, course, corpus, world, progress)
        if overwrite and not resume and world.leads:
            clear_run(config.out)
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


def _build_model(
    config: PretrainConfig,
    settings: PretrainSettings,
    tokenizer: AlbertTokenizer,
    network: dict[str, Any],
    progress: ConsoleProgress,
) -> AlbertForTask:
    generator = torch.Generator().manual_seed(settings.loop.seed)
    if config.init is None:
        shape = AlbertConfig.named(config.size, **{"vocab_size": tokenizer.vocab_size, **network})
        model = AlbertForTask(shape, "pretraining", generator=generator)
    else:
        folder = ModelFolder.open(config.init)
        if AlbertTokenizer.from_pretrained(folder.path).vocabulary != tokenizer.vocabulary:
            raise AlbertError(
                ErrorKind.CONFIG,
                f"{config.init} and {config.shards} have different vocabularies",
                hint=f"prepare the corpus anew: albert prepare corpus/ -o shards/ --vocab {config.init}",
            )
        shape = folder.config.with_(id2label=(), problem_type=None, **network)
        model, fresh = start_from(folder, shape, "pretraining", generator)
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


def _build_trainer(
    config: PretrainConfig,
    settings: PretrainSettings,
    model: AlbertForTask,
    course: Course,
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


def _tell(
    trainer: Trainer, corpus: Corpus, settings: PretrainSettings, model: AlbertForTask, progress: ConsoleProgress
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
