"""One update's losses on full rows: masked words, sentence order and, with a teacher, its vectors."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor
from torch.nn import functional as F

from albert.model.dense import DenseEncoder, activated, layer_norm
from albert.model.heads import AlbertForTask, PreTrainingHead
from albert.pretraining.alignment import Words, align
from albert.pretraining.distillation import Comparison, DistillationConfig, Teacher, group_ends, positions
from albert.pretraining.full_rows import Draws, Stream, full_rows, mask_rows
from albert.pretraining.instances import NO_PAIR, InstanceConfig


@dataclass(frozen=True)
class Lesson:
    """A teacher with what is needed to ask it: words in its pieces, its special pieces, the student's maps."""

    teacher: Teacher
    words: Words
    comparison: Comparison
    config: DistillationConfig
    cls_id: int
    sep_id: int
    pad_id: int
    longest: int


@dataclass(frozen=True)
class StepShape:
    """What a step looks like: rows of a length, the loops of the encoder, pieces hidden a row."""

    rows: int
    length: int
    loops: int
    masked: int


class DenseStep:
    """Losses of a step; the same numbers on any device, but for rounding."""

    def __init__(
        self,
        model: AlbertForTask,
        stream: Stream,
        instances: InstanceConfig,
        *,
        dtype: torch.dtype,
        compiled: bool,
        spans: float = 0.0,
        unmasked: float = 0.0,
        lesson: Lesson | None = None,
    ) -> None:
        """`unmasked` is the share of rows in which nothing is hidden: a teacher's alone."""
        self.model = model
        self.stream = stream
        self.instances = instances
        self.spans = spans
        self.unmasked = unmasked
        self.lesson = lesson
        self.encoder = DenseEncoder(model.albert, dtype, compiled=compiled)
        self._candidates: dict[int, Tensor] = {}
        self._standardised = False

    def __call__(self, seed: int, step: int, shape: StepShape) -> dict[str, Float[Tensor, ""]]:
        """The losses by term, and "order_right" (share), "mlm_right" and "cls_spread", not to be learned from."""
        with torch.no_grad():
            draws = Draws(seed, step, shape.rows, self.stream.tokens.device)
            rows = full_rows(self.stream, self._from(shape.length), draws, shape.length, self.instances)
            masked, column, original = mask_rows(rows, self.stream, draws, shape.masked, spans=self.spans)
            hidden_rows = shape.rows - int(shape.rows * self.unmasked)
            masked = torch.cat([masked[:hidden_rows], rows.ids[hidden_rows:]])
            place, original = positions(column[:hidden_rows], shape.length), original[:hidden_rows].flatten()
        self.model.albert.encoder.num_layers = shape.loops
        self.encoder.cast()
        groups = self.model.config.num_hidden_groups
        ends = set(group_ends(groups, shape.loops))
        levels = [x for depth, x in enumerate(self.encoder.depths(masked, rows.types)) if depth in ends]
        last = levels[-1]
        logits = self._word_logits(last.flatten(0, 1)[place])
        pooled = self._pooled(last[:, 0])
        head = self.model.head
        assert isinstance(head, PreTrainingHead)
        order = F.linear(pooled, head.sop.linear.weight, head.sop.linear.bias)
        pairs = (rows.order != NO_PAIR).sum().clamp(min=1)
        found = {
            "mlm": F.cross_entropy(logits.float(), original),
            "sop": F.cross_entropy(order, rows.order, ignore_index=NO_PAIR, reduction="sum") / pairs,
        }
        if self.lesson is not None:
            found |= self._lesson(rows, levels, pooled)
        with torch.no_grad():
            found["order_right"] = (order.argmax(1) == rows.order).sum() / pairs
            found["mlm_right"] = (logits[:512].argmax(1) == original[:512]).float().mean()
            found["cls_spread"] = last[:, 0].float().std(0).mean()
        return found

    def _lesson(self, rows, levels, pooled):  # type: ignore[no-untyped-def]
        lesson = self.lesson
        assert lesson is not None
        length = rows.ids.shape[1]
        longest = min(lesson.longest, -(-length * 9 // 64) * 8)
        aligned = align(rows, lesson.words, longest, cls_id=lesson.cls_id, sep_id=lesson.sep_id, pad_id=lesson.pad_id)
        target = lesson.teacher(aligned, length)
        if not self._standardised:
            lesson.comparison.standardise(target, aligned.known)
            self._standardised = True
        if len(levels) < len(target.words):  # fewer loops than groups
            levels = [*levels[:1] * (len(target.words) - len(levels)), *levels]
        return lesson.comparison(levels, pooled, aligned, target)

    def _from(self, length: int) -> Tensor:
        if length not in self._candidates:
            self._candidates[length] = self.stream.candidates(length - 2)
        return self._candidates[length]

    def _word_logits(self, x: Float[Tensor, "masked hidden"]) -> Float[Tensor, "masked vocab"]:
        head = self.model.head
        assert isinstance(head, PreTrainingHead)
        config, mlm = self.model.config, head.mlm
        y = F.linear(x, mlm.dense.weight.to(x.dtype), mlm.dense.bias.to(x.dtype))
        y = layer_norm(activated(y, config.hidden_act), mlm.norm.weight, mlm.norm.bias, config.layer_norm_eps)
        return F.linear(y, self.model.albert.embeddings.word.weight.to(x.dtype), mlm.bias.to(x.dtype))

    def _pooled(self, first: Float[Tensor, "rows hidden"]) -> Float[Tensor, "rows hidden"]:
        pooler = self.model.albert.pooler
        assert pooler is not None
        return torch.tanh(F.linear(first.float(), pooler.linear.weight, pooler.linear.bias))
