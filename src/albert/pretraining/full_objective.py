"""Pre-training on full rows: the steps of a run and their loss, with a teacher or without."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from albert.compute.dense import activated, encoder_over_rows, layer_norm
from albert.model.heads import AlbertForTask, PreTrainingHead
from albert.pretraining.distillation import Comparison, DistillationConfig, Teacher, group_ends
from albert.pretraining.draws import uniform
from albert.pretraining.full_rows import Draws, FullRows, Stream, full_rows, mask_rows
from albert.pretraining.instances import NO_PAIR, InstanceConfig
from albert.pretraining.source import MaskingConfig, micro_batch_count

_LENGTH = 12  # the slot for a step's row length; full_rows.py has the slots before it


@dataclass(frozen=True)
class StepRows:
    """The numbers of some rows of a step. The device makes the rows when they are read. Each has `masked` hidden
    pieces.
    """

    seed: int
    step: int
    first: int
    rows: int
    length: int
    masked: int

    @property
    def pieces(self) -> int:
        return self.rows * self.length


class FullRowSource:
    """The micro-batches of every step. Each rank takes its own, and all ranks together always see the same ones.

    A step has `batch_size` rows of `max_length` pieces, or as many pieces in rows of a length drawn from `row_lengths`.
    """

    def __init__(
        self,
        stream: Stream,
        instances: InstanceConfig,
        masking: MaskingConfig,
        *,
        batch_size: int,
        max_tokens: int,
        seed: int,
        first: int = 0,
        rank: int = 0,
        ranks: int = 1,
    ) -> None:
        """`first` is the step from which a growing run uses this source."""
        self.first = first
        self.instances = instances
        self.masking = masking
        self.lengths = instances.row_lengths or (instances.max_length,)
        self.pieces = batch_size * instances.max_length
        self.max_tokens = max_tokens
        self.seed = seed
        self.rank, self.ranks = rank, ranks
        self.total = 0
        self.steps_per_epoch = max(1, len(stream.tokens) // self.pieces)
        for length in self.lengths:
            micro_batch_count(self.pieces // length, max(1, max_tokens // length), ranks)

    def micro_batches(self, step: int) -> list[StepRows]:
        """This rank's part of a step."""
        length = self.lengths[int(uniform(self.seed, step, _LENGTH) * len(self.lengths))]
        rows = max(1, self.pieces // length)
        parts = micro_batch_count(rows, max(1, self.max_tokens // length), self.ranks)
        bounds = [rows * part // parts for part in range(parts + 1)]
        rate = self.masking.rate_at(min(1.0, step / self.total) if self.total else 0.0)
        masked = max(1, round(rate * length))
        own = range(parts)[self.rank :: self.ranks]
        return [
            StepRows(self.seed, step, bounds[part], bounds[part + 1] - bounds[part], length, masked) for part in own
        ]


class FullRowObjective:
    """The cross-entropies "mlm" and "sop" as in `PretrainingObjective`, and a teacher's terms, each over rows.

    Only the device knows how many rows have two segments, so "sop" is divided by their expected number.
    """

    def __init__(
        self,
        stream: Stream,
        instances: InstanceConfig,
        masking: MaskingConfig,
        *,
        dtype: torch.dtype,
        compiled: bool,
        teacher: Teacher | None = None,
        distillation: DistillationConfig | None = None,
    ) -> None:
        self.stream = stream
        self.instances = instances
        self.spans = masking.spans
        self.dtype = dtype
        self.compiled = compiled
        self.teacher = teacher
        self.unmasked = distillation.unmasked if teacher and distillation else 0.0
        self.weights: Mapping[str, float] = distillation.weights if teacher and distillation else {}
        self._candidates: dict[int, Tensor] = {}
        for length in (instances.max_length, *instances.row_lengths):
            self._sentences(length)

    def counts(self, batch: StepRows) -> dict[str, int]:
        """The divisor of each term's sum."""
        counts = {"mlm": self._hidden_rows(batch) * batch.masked}
        if self.instances.pairs == "sop":
            counts["sop"] = max(1, round(batch.rows * self.instances.paired))
        return counts | dict.fromkeys(self.weights, batch.rows)

    def sums(self, model: nn.Module, batch: StepRows) -> dict[str, Float[Tensor, ""]]:
        """The summed terms in float32, differentiable; `model` is an `AlbertForTask` for pre-training."""
        assert isinstance(model, AlbertForTask)
        with torch.autocast(self.stream.tokens.device.type, enabled=False):
            return self._sums(model, batch)

    def standardise(self, model: AlbertForTask, batch: StepRows) -> None:
        """Prepares the comparison with the teacher from the teacher's vectors for this batch."""
        assert self.teacher is not None
        aligned = self.teacher.align(self._rows(batch)[0])
        comparison_of(model).standardise(self.teacher(aligned), aligned.known)

    def _sums(self, model: AlbertForTask, batch: StepRows) -> dict[str, Tensor]:
        rows, draws = self._rows(batch)
        with torch.no_grad():
            masked, column, original = mask_rows(rows, self.stream, draws, batch.masked, spans=self.spans)
            count = self._hidden_rows(batch)
            ids = torch.cat([masked[:count], rows.ids[count:]])
            place = column[:count] + torch.arange(count, device=column.device)[:, None] * batch.length
        encoder = encoder_over_rows(model.albert, self.dtype, compiled=self.compiled)
        ends = group_ends(model.config.num_hidden_groups, model.albert.encoder.num_layers)
        levels = [x for depth, x in enumerate(encoder.depths(ids, rows.types)) if depth in ends]
        logits = _word_logits(model, levels[-1].flatten(0, 1)[place.flatten()])
        pooled = _pooled(model, levels[-1][:, 0])
        found = {"mlm": F.cross_entropy(logits.float(), original[:count].flatten(), reduction="sum")}
        if self.instances.pairs == "sop":
            order = _head(model).sop(pooled)
            found["sop"] = F.cross_entropy(order, rows.order, ignore_index=NO_PAIR, reduction="sum")
        if self.teacher is not None:
            aligned = self.teacher.align(rows)
            said = comparison_of(model)(levels, pooled, aligned, self.teacher(aligned))
            found |= {name: term for name, term in said.items() if name in self.weights}
        return found

    def _rows(self, batch: StepRows) -> tuple[FullRows, Draws]:
        draws = Draws(batch.seed, batch.step, batch.rows, self.stream.tokens.device, first=batch.first)
        return full_rows(self.stream, self._sentences(batch.length), draws, batch.length, self.instances), draws

    def _sentences(self, length: int) -> Int[Tensor, " sentences"]:
        """The sentences where rows of this length may begin."""
        if length not in self._candidates:
            self._candidates[length] = self.stream.candidates(length - 2)
        return self._candidates[length]

    def _hidden_rows(self, batch: StepRows) -> int:
        """The number of rows with hidden pieces; these are the first rows."""
        return max(1, batch.rows - int(batch.rows * self.unmasked))


def comparison_of(model: AlbertForTask) -> Comparison:
    """The part of a model that compares it with its teacher."""
    comparison = model.get_submodule("comparison")
    assert isinstance(comparison, Comparison)
    return comparison


def _head(model: AlbertForTask) -> PreTrainingHead:
    assert isinstance(model.head, PreTrainingHead)
    return model.head


def _word_logits(model: AlbertForTask, x: Float[Tensor, "masked hidden"]) -> Float[Tensor, "masked vocab"]:
    config, mlm = model.config, _head(model).mlm
    y = F.linear(x, mlm.dense.weight.to(x.dtype), mlm.dense.bias.to(x.dtype))
    y = layer_norm(activated(y, config.hidden_act), mlm.norm.weight, mlm.norm.bias, config.layer_norm_eps)
    return F.linear(y, model.albert.embeddings.word.weight.to(x.dtype), mlm.bias.to(x.dtype))


def _pooled(model: AlbertForTask, first: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows hidden"]:
    pooler = model.albert.pooler
    assert pooler is not None
    return pooler(first.float()[:, None], None)
