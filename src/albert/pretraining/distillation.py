"""The teacher's part of pre-training: its vectors of words and of whole texts, in addition to masked words and order.

The student reads masked text; the teacher reads the original. Three things are compared. First, word vectors (the mean
of a word's pieces) after each of the student's groups, at the teacher's corresponding depth. Second, the mean of all
pieces. Third, [CLS] through the pooler. Sources: Jiao et al. 2020 (TinyBERT), section 3; Reimers and Gurevych 2020,
section 3.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float
from torch import Tensor, nn
from torch.nn import functional as F

from albert.compute.dense import encoder_over_rows
from albert.errors import require_ranges
from albert.model.network import AlbertModel
from albert.pretraining.alignment import Aligned, Words, align, word_vectors
from albert.pretraining.full_rows import FullRows
from albert.text.encodings import Tokenizer


@dataclass(frozen=True, kw_only=True)
class DistillationConfig:
    """The weights of the teacher's terms. Each term is a mean of 1 - cosine.

    `teacher_words`: word vectors of the last layer. `teacher_depths`: word vectors of the earlier depths, if the
    student has several groups. `teacher_mean`: the mean of all pieces. `teacher_pooled`: the pooled vector of [CLS].
    `unmasked` is the share of rows without hidden pieces, so that the student also learns from whole text.
    `teacher_blocks` names the teacher's block, from 0, with which each group begins; without it the student's blocks
    are drawn at random.
    """

    teacher_words: float = 6.0
    teacher_depths: float = 1.0
    teacher_mean: float = 3.0
    teacher_pooled: float = 3.0
    unmasked: float = 0.25
    teacher_blocks: tuple[int, ...] = ()

    def __post_init__(self) -> None:
        terms = ("teacher_words", "teacher_depths", "teacher_mean", "teacher_pooled")
        require_ranges(self, *((name, 0.0, 1e3) for name in terms), ("unmasked", 0.0, 0.9))

    @property
    def weights(self) -> dict[str, float]:
        """The weights by the terms' names in the log."""
        return {
            "words": self.teacher_words, "depths": self.teacher_depths, "mean": self.teacher_mean,
            "pooled": self.teacher_pooled,
        }  # fmt: skip


@dataclass(frozen=True)
class Target:
    """The teacher's vectors for a batch: word vectors of each compared depth, and the mean over all pieces."""

    words: list[Float[Tensor, "rows words hidden"]]
    present: Bool[Tensor, "rows words"]
    mean: Float[Tensor, "rows hidden"]


class Teacher:
    """A frozen encoder that reads rows with padding, and the words of a corpus in its pieces."""

    def __init__(
        self, model: AlbertModel, tokenizer: Tokenizer, words: Words, groups: int, dtype: torch.dtype, *, compiled: bool
    ) -> None:
        """`groups` is the number of the student's groups."""
        model.requires_grad_(False)
        self.encoder = encoder_over_rows(model, dtype, compiled=compiled)
        self.special = tokenizer.special
        self.words = words
        depths = model.config.num_hidden_layers * model.config.inner_group_num
        self.compared = [round((group + 1) * depths / groups) - 1 for group in range(groups)]
        self.hidden = model.config.hidden_size
        self.limit = model.config.max_position_embeddings

    def align(self, rows: FullRows) -> Aligned:
        """The rows as the teacher reads them: at most an eighth longer, which is enough for nearly all texts."""
        length = rows.ids.shape[1]
        longest = min(self.limit, -(-length * 9 // 64) * 8)
        special = self.special
        return align(rows, self.words, longest, cls_id=special.cls, sep_id=special.sep, pad_id=special.pad)

    @torch.no_grad()
    def __call__(self, aligned: Aligned) -> Target:
        """The teacher's vectors for a batch."""
        vectors: list[Tensor] = []
        types = torch.zeros_like(aligned.ids)
        for depth, hidden in enumerate(self.encoder.depths(aligned.ids, types, aligned.real[:, None, None])):
            if depth in self.compared:
                own, present = word_vectors(hidden, aligned.theirs, aligned.known.shape[1])
                vectors.append(own)
        real = aligned.real[:, :, None]
        return Target(vectors, present, (hidden.float() * real).sum(1) / real.sum(1))


class Comparison(nn.Module):
    """The student's vectors against the teacher's, through linear maps if their sizes differ.

    Units of very different size would dominate every cosine. So word vectors are standardised per unit, with the mean
    and deviation of the teacher's vectors in a first batch.
    """

    centre: Float[Tensor, "levels theirs"]
    scale: Float[Tensor, "levels theirs"]

    def __init__(self, hidden: int, theirs: int, levels: int, generator: torch.Generator) -> None:
        super().__init__()
        same = hidden == theirs
        self.maps = nn.ModuleList(
            [nn.Identity() if same else nn.Linear(hidden, theirs, bias=False) for _ in range(levels)]
        )
        self.pooled = nn.Linear(hidden, theirs)
        for part in self.modules():
            if isinstance(part, nn.Linear):
                nn.init.normal_(part.weight, std=part.in_features**-0.5, generator=generator)
        nn.init.zeros_(self.pooled.bias)
        self.register_buffer("centre", torch.zeros(levels, theirs))
        self.register_buffer("scale", torch.ones(levels, theirs))

    @torch.no_grad()
    def standardise(self, target: Target, known: Bool[Tensor, "rows words"]) -> None:
        """Takes the mean and deviation of the teacher's units from a batch."""
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
        """1 - cosine, averaged over a row's words and summed over rows: "words", "depths", "mean" and "pooled"."""
        of_words = []
        for level, hidden in enumerate(levels):
            own, present = word_vectors(hidden, aligned.ours, aligned.known.shape[1])
            use = (aligned.known & present & target.present).float()
            x = (self.maps[level](own.float()) - self.centre[level]) * self.scale[level]
            y = (target.words[level].float() - self.centre[level]) * self.scale[level]
            far = 1 - F.cosine_similarity(x, y, dim=2)
            of_words.append(((far * use).sum(1) / use.sum(1).clamp(min=1)).sum())
        mean = self.maps[-1](levels[-1].float().mean(1))
        found = {
            "words": of_words[-1],
            "mean": (1 - F.cosine_similarity(mean, target.mean, dim=1)).sum(),
            "pooled": (1 - F.cosine_similarity(self.pooled(pooled), target.mean, dim=1)).sum(),
        }
        if len(of_words) > 1:
            found["depths"] = torch.stack(of_words[:-1]).mean()
        return found


def group_ends(groups: int, loops: int) -> list[int]:
    """The depth, from 0, of the last layer of each group. There are at least as many loops as groups."""
    of = [loop * groups // loops for loop in range(loops)]
    return [loop for loop in range(loops) if loop + 1 == loops or of[loop + 1] != of[loop]]
