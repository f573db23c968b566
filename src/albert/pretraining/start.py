"""A student that begins as a smaller copy of its teacher: some of its blocks, its word vectors in fewer dimensions.

Where student and teacher have the same width, each group of the student begins as one of the teacher's blocks, and the
factorised embeddings as the best approximation of the teacher's: a piece begins as the mean of the teacher's pieces that
spell it. Source of the idea: Sanh et al. 2019 (DistilBERT), section 3; Lan et al. 2019, section 3.1.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.nn import functional as F

from albert.config import CLS_ID, MASK_ID, PAD_ID, SEP_ID, UNK_ID
from albert.model.heads import AlbertForTask
from albert.model.network import AlbertModel
from albert.text.pieces import SPACE

_RIDGE = 1e-3


def start_from_teacher(
    model: AlbertForTask,
    teacher: AlbertModel,
    vocabulary: Sequence[str],
    tokenize: Callable[[str], list[int]],
    special: dict[str, int],
    counts: Int[Tensor, " vocab"],
    blocks: Sequence[int],
) -> None:
    """Overwrites the embeddings and blocks of `model` in place.

    `tokenize` gives the teacher's pieces of a string, "##" before one that goes on a word; `special` its ids of
    pad, unk, cls, sep and mask; `counts` how often each of our pieces occurs; `blocks` the teacher's block of each group.
    """
    own, theirs = model.albert, teacher
    with torch.no_grad():
        for group, block in zip(own.encoder.groups, blocks, strict=True):
            group[0].load_state_dict(theirs.encoder.groups[block][0].state_dict())
        words = _spelt(theirs.embeddings.word.weight, vocabulary, tokenize, special)
        _factorise(own, theirs, words, counts.double())


def _spelt(
    table: Float[Tensor, "theirs hidden"],
    vocabulary: Sequence[str],
    tokenize: Callable[[str], list[int]],
    special: dict[str, int],
) -> Float[Tensor, "vocab hidden"]:
    found = torch.empty(len(vocabulary), table.shape[1])
    known = {PAD_ID: "pad", UNK_ID: "unk", CLS_ID: "cls", SEP_ID: "sep", MASK_ID: "mask"}
    for piece, text in enumerate(vocabulary):
        if piece in known:
            ids = [special[known[piece]]]
        else:
            letters = text.replace(SPACE, "")
            ids = tokenize(letters if text.startswith(SPACE) or not letters[:1].isalnum() else f"##{letters}")
        found[piece] = table[ids or [special["unk"]]].mean(0)
    return found


def _factorise(own: AlbertModel, theirs: AlbertModel, words: Tensor, counts: Tensor) -> None:
    """Word and position tables of size E and the mapping to H that come nearest to the teacher's embeddings."""
    tables, size = theirs.embeddings, own.config.embedding_size
    weight = (counts.clamp(min=1) ** 0.5)[:, None]
    centre = ((words.double() * weight).sum(0) / weight.sum()).float()
    basis = torch.linalg.svd((words - centre).double() * weight, full_matrices=False).Vh[:size].float()  # [E, H]
    scale = own.config.initializer_range * 2.5 / ((words - centre) @ basis.T).std()
    own.embeddings.word.weight.copy_((words - centre) @ basis.T * scale)
    own.embeddings.word.weight[PAD_ID] = 0
    length = min(len(own.embeddings.position.weight), len(tables.position.weight))
    places = tables.position.weight - tables.position.weight[:length].mean(0)
    own.embeddings.position.weight[:length] = (places @ basis.T * scale)[:length]
    own.embeddings.token_type.weight.zero_()
    # The mapping by least squares over words as often as they occur, at places of rows of usual length.
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(counts.clamp(min=1) ** 0.75, 60_000, replacement=True, generator=generator)
    place = torch.randint(0, min(length, 128), drawn.shape, generator=generator)
    target = F.layer_norm(
        words[drawn] + tables.position.weight[place] + tables.token_type.weight[0],
        (words.shape[1],), tables.norm.weight, tables.norm.bias, tables.norm.eps,
    )  # fmt: skip
    x = own.embeddings.word.weight[drawn] + own.embeddings.position.weight[place]
    x = F.layer_norm(x, (size,), eps=own.embeddings.norm.eps).double()
    x = torch.cat([x, x.new_ones(len(x), 1)], 1)
    gram = x.T @ x + _RIDGE * len(x) * torch.eye(size + 1, dtype=x.dtype)
    solved = torch.linalg.solve(gram, x.T @ target.double()).float()  # [E + 1, H]
    own.encoder.mapping.weight.copy_(solved[:size].T)
    own.encoder.mapping.bias.copy_(solved[size])
    own.embeddings.norm.reset_parameters()
