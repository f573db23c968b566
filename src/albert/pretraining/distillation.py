"""What a teacher adds to pre-training: its vectors of words and of the whole text, beside masked words and order.

The student reads masked text, the teacher reads all of it. Compared are word vectors (the mean of a word's pieces)
behind the last block of each of the student's groups and at the teacher's depth that corresponds, the mean of all
pieces, and, through the pooler, [CLS]. Sources: Hinton et al. 2015; Jiao et al. 2020 (TinyBERT), section 3; Reimers and
Gurevych 2020, section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from albert.errors import require_ranges
from albert.model.dense import DenseEncoder
from albert.model.network import AlbertModel
from albert.pretraining.alignment import Aligned, word_vectors


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """The weights of the teacher's terms, each a mean of 1 - cosine.

    `teacher_words`: word vectors of the last layer. `teacher_depths`: those of the depths before, where the student has
    several groups. `teacher_mean`: the mean of all pieces. `teacher_pooled`: the pooled vector of [CLS].
    """

    teacher_words: float = 6.0
    teacher_depths: float = 1.0
    teacher_mean: float = 3.0
    teacher_pooled: float = 3.0

    def __post_init__(self) -> None:
        require_ranges(self, *((name, 0.0, 1e3) for name in vars(self)))


@dataclass(frozen=True)
class Target:
    """What the teacher says to a batch: word vectors of each compared depth, and the mean over all pieces."""

    words: list[Float[Tensor, "rows words hidden"]]
    present: Bool[Tensor, "rows words"]
    mean: Float[Tensor, "rows hidden"]


class Teacher:
    """A frozen encoder that reads rows with padding. `groups` is how many groups the student has."""

    def __init__(self, model: AlbertModel, groups: int, dtype: torch.dtype, *, compiled: bool) -> None:
        model.requires_grad_(False)
        self.encoder = DenseEncoder(model, dtype, compiled=compiled)
        self.encoder.cast()
        depths = model.config.num_hidden_layers * model.config.inner_group_num
        self.compared = [round((group + 1) * depths / groups) - 1 for group in range(groups)]
        self.hidden = model.config.hidden_size

    @torch.no_grad()
    def __call__(self, aligned: Aligned, words: int) -> Target:
        """`words` is how many numbers a row's words have room for."""
        found: list[Tensor] = []
        types = torch.zeros_like(aligned.ids)
        hidden = present = None
        for depth, hidden in enumerate(self.encoder.depths(aligned.ids, types, aligned.real[:, None, None])):
            if depth in self.compared:
                vectors, present = word_vectors(hidden, aligned.theirs, words)
                found.append(vectors)
        assert hidden is not None
        assert present is not None
        real = aligned.real[:, :, None]
        mean = (hidden.float() * real).sum(1) / real.sum(1)
        return Target(found, present, mean)


class Comparison(nn.Module):
    """The student's vectors against the teacher's, through linear maps where their sizes differ."""

    def __init__(self, hidden: int, teacher_hidden: int, levels: int, generator: torch.Generator) -> None:
        super().__init__()
        same = hidden == teacher_hidden
        self.maps = nn.ModuleList(
            [nn.Identity() if same else nn.Linear(hidden, teacher_hidden, bias=False) for _ in range(levels)]
        )
        self.pooled = nn.Linear(hidden, teacher_hidden)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=part.in_features**-0.5, generator=generator)
        # Units of very different size would decide every cosine, so each level is standardised unit by unit.
        self.register_buffer("centre", torch.zeros(levels, teacher_hidden))
        self.register_buffer("scale", torch.ones(levels, teacher_hidden))

    @torch.no_grad()
    def standardise(self, target: Target, known: Bool[Tensor, "rows words"]) -> None:
        """Takes mean and spread of the teacher's units from a batch; the first of a run does."""
        use = known & target.present
        for level, vectors in enumerate(target.words):
            own = vectors[use].float()
            self.centre[level] = own.mean(0)
            self.scale[level] = 1 / own.std(0).clamp(min=1e-3)

    def forward(
        self,
        levels: list[Float[Tensor, "rows length hidden"]],
        pooled: Float[Tensor, "rows hidden"],
        aligned: Aligned,
        target: Target,
    ) -> dict[str, Float[Tensor, ""]]:
        """1 - cosine, each a mean: "words", "depths" (0 with one level), "mean" and "pooled"."""
        found = []
        for level, hidden in enumerate(levels):
            own, present = word_vectors(hidden, aligned.ours, aligned.known.shape[1])
            use = (aligned.known & present & target.present).float()
            x = (self.maps[level](own.float()) - self.centre[level]) * self.scale[level]
            y = (target.words[level].float() - self.centre[level]) * self.scale[level]
            far = 1 - F.cosine_similarity(x, y, dim=2)
            found.append((far * use).sum() / use.sum().clamp(min=1))
        mean = self.maps[-1](levels[-1].float().mean(1))
        return {
            "words": found[-1],
            "depths": torch.stack(found[:-1]).mean() if len(found) > 1 else found[-1].new_zeros(()),
            "mean": (1 - F.cosine_similarity(mean, target.mean, dim=1)).mean(),
            "pooled": (1 - F.cosine_similarity(self.pooled(pooled), target.mean, dim=1)).mean(),
        }


def group_ends(groups: int, loops: int) -> list[int]:
    """The depths, from 0, at which each group is left; a group that has no loop is left out."""
    of = [loop * groups // loops for loop in range(loops)]
    return [loop for loop in range(loops) if loop + 1 == loops or of[loop + 1] != of[loop]]


def positions(column: Int[Tensor, "rows count"], length: int) -> Int[Tensor, " masked"]:
    """Columns of rows as places in the flattened batch."""
    return (column + torch.arange(len(column), device=column.device)[:, None] * length).flatten()
