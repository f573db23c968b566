"""The teaching of a run: documents or full rows, with a teacher or without."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from dataclasses import dataclass
from functools import cache

import torch

from albert.compute.precision import resolve_precision
from albert.corpus.shards import Corpus
from albert.model import AlbertForTask
from albert.model.checkpoint import load_encoder
from albert.model.folder import ModelFolder
from albert.pretraining.alignment import Words
from albert.pretraining.distillation import Comparison, Teacher
from albert.pretraining.full_objective import FullRowObjective, FullRowSource
from albert.pretraining.full_rows import Stream
from albert.pretraining.objective import PretrainingBatch, PretrainingObjective
from albert.pretraining.settings import PretrainConfig, PretrainSettings
from albert.pretraining.source import PretrainingSource
from albert.pretraining.start import start_from_teacher
from albert.text.encodings import Tokenizer
from albert.text.open import open_tokenizer
from albert.text.words import word_starts
from albert.training.parts import Objective
from albert.training.progress import ConsoleProgress
from albert.training.world import World


@dataclass(frozen=True)
class Course:
    """The objective of a run, and the source of its steps for a size of rows and batches."""

    objective: Objective
    make: Callable[[int, int, int, int], PretrainingSource | FullRowSource]
    held_out: list[PretrainingBatch]

    @classmethod
    def of(
        cls,
        config: PretrainConfig,
        settings: PretrainSettings,
        model: AlbertForTask,
        corpus: Corpus,
        tokenizer: Tokenizer,
        world: World,
        progress: ConsoleProgress,
        *,
        begins: bool,
    ) -> Course:
        """The teaching of a run on this corpus."""
        loop, instances = settings.loop, settings.instances
        starts = word_starts(tokenizer.vocabulary)

        @cache  # the held-out part and the run's first source are the same
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


def _dtype(settings: PretrainSettings, world: World) -> torch.dtype:
    """The number format in which full rows are computed."""
    return torch.bfloat16 if resolve_precision(settings.loop.precision, world.device) == "bf16" else torch.float32


def _teacher(
    name: str,
    settings: PretrainSettings,
    model: AlbertForTask,
    stream: Stream,
    tokenizer: Tokenizer,
    world: World,
    progress: ConsoleProgress,
    *,
    begins: bool,
) -> Teacher:
    """Loads the teacher, and gives the model the comparison with it and, if asked for, the teacher's blocks to begin
    with.
    """
    progress.on_message(f"looking up the corpus's words in the vocabulary of {name}")
    folder = ModelFolder.open(name)
    encoder, pieces = load_encoder(folder), open_tokenizer(folder.path, config=folder.config)
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
