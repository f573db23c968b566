"""Starts a student as a smaller copy of its teacher: some of its blocks, and its word vectors in fewer dimensions.

If student and teacher have the same width, each group of the student begins as one of the teacher's blocks. The
factorised embeddings begin as the best approximation of the teacher's: a piece begins as the mean of the teacher's
pieces that spell it. Source of the idea: Sanh et al. 2019 (DistilBERT), section 3; Lan et al. 2019, section 3.1.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from jaxtyping import Float, Int
from torch import Tensor, nn
from torch.nn import functional as F

from albert.config import CLS_ID, MASK_ID, PAD_ID, SEP_ID, UNK_ID
from albert.errors import AlbertError, ErrorKind
from albert.model.heads import AlbertForTask
from albert.model.network import AlbertModel
from albert.text.encodings import Tokenizer
from albert.text.pieces import SPACE

_RIDGE = 1e-3


def start_from_teacher(
    model: AlbertForTask,
    teacher: AlbertModel,
    vocabulary: Sequence[str],
    tokenizer: Tokenizer,
    counts: Int[Tensor, " vocab"],
    blocks: Sequence[int],
) -> None:
    """Overwrites the embeddings and blocks of `model` in place.

    `vocabulary` is the student's, `tokenizer` the teacher's. `counts` is how often each of the student's pieces occurs.
    `blocks` names the teacher's block, from 0, with which each group begins. Raises `AlbertError` (bad-config) if the
    blocks of the two networks differ in shape, or if `blocks` does not fit them.
    """
    own, theirs = model.albert, teacher
    _require_alike(own, theirs, blocks)
    layers = list(theirs.encoder.layers())
    with torch.no_grad():
        for group, block in zip(own.encoder.groups, blocks, strict=True):
            group[0].load_state_dict(layers[block].state_dict())  # type: ignore[index]
        words = _spelt(theirs.embeddings.word.weight, vocabulary, tokenizer)
        _factorise(own, theirs, words, counts.double())


def _require_alike(own: AlbertModel, theirs: AlbertModel, blocks: Sequence[int]) -> None:
    names = ("hidden_size", "num_attention_heads", "intermediate_size", "hidden_act", "inner_group_num")
    for name in names:
        ours, wanted = getattr(own.config, name), getattr(theirs.config, name)
        if ours != wanted:
            hint = f"--set {name}={wanted}, or leave out teacher_blocks"
            raise AlbertError(
                ErrorKind.CONFIG, name, expected=f"{wanted}, as the teacher has", got=str(ours), hint=hint
            )
    if not own.config.embedding_projection or own.config.embedding_size > theirs.config.embedding_size:
        raise AlbertError(
            ErrorKind.CONFIG,
            "embedding_size",
            expected=f"at most the teacher's {theirs.config.embedding_size}, with a mapping to hidden_size",
            got=str(own.config.embedding_size),
        )
    depth = theirs.config.num_hidden_layers
    if len(blocks) != own.config.num_hidden_groups or any(not 0 <= block < depth for block in blocks):
        raise AlbertError(
            ErrorKind.CONFIG,
            "teacher_blocks",
            expected=f"{own.config.num_hidden_groups} numbers from 0 to {depth - 1}, one a group",
            got=str(list(blocks)),
        )


def _spelt(
    table: Float[Tensor, "theirs hidden"], vocabulary: Sequence[str], tokenizer: Tokenizer
) -> Float[Tensor, "vocab hidden"]:
    """For each of our pieces the mean of the teacher's pieces that spell it."""
    ids = {piece: token for token, piece in enumerate(tokenizer.vocabulary)}
    special = tokenizer.special
    known = {PAD_ID: special.pad, UNK_ID: special.unk, CLS_ID: special.cls, SEP_ID: special.sep, MASK_ID: special.mask}
    found = torch.empty(len(vocabulary), table.shape[1])
    for piece, text in enumerate(vocabulary):
        letters = text.replace(SPACE, "")
        going_on = ids.get(f"##{letters}")
        if piece in known:
            own = [known[piece]]
        elif going_on is not None and not text.startswith(SPACE):
            own = [going_on]
        else:
            own = tokenizer.ids([letters])[0].tolist()
        found[piece] = table[own or [special.unk]].mean(0)
    return found


def _factorise(own: AlbertModel, theirs: AlbertModel, words: Tensor, counts: Tensor) -> None:
    """Word and position tables of size E, and the mapping to H, that approximate the teacher's embeddings best."""
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
    # The mapping by least squares over words weighted by frequency, at positions of rows of usual length.
    generator = torch.Generator().manual_seed(0)
    drawn = torch.multinomial(counts.clamp(min=1) ** 0.75, 60_000, replacement=True, generator=generator)
    place = torch.randint(0, min(length, 128), drawn.shape, generator=generator)
    normed = F.layer_norm(
        words[drawn] + tables.position.weight[place] + tables.token_type.weight[0],
        (words.shape[1],), tables.norm.weight, tables.norm.bias, tables.norm.eps,
    )  # fmt: skip
    target = theirs.encoder.mapping(normed)
    x = own.embeddings.word.weight[drawn] + own.embeddings.position.weight[place]
    x = F.layer_norm(x, (size,), eps=own.embeddings.norm.eps).double()
    x = torch.cat([x, x.new_ones(len(x), 1)], 1)
    gram = x.T @ x + _RIDGE * len(x) * torch.eye(size + 1, dtype=x.dtype)
    solved = torch.linalg.solve(gram, x.T @ target.double()).float()  # [E + 1, H]
    mapping = own.encoder.mapping
    assert isinstance(mapping, nn.Linear)
    mapping.weight.copy_(solved[:size].T)
    mapping.bias.copy_(solved[size])
    own.embeddings.norm.reset_parameters()
