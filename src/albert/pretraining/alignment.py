"""Aligns our pieces with a teacher's, word by word: which pieces of both spell the same letters.

A word here is a run of our pieces that begins where `word_starts` says: at a space, or at a mark such as a comma. A
BERT vocabulary divides text at the same places. So a word has the same teacher pieces wherever it occurs, and both
sides of a row can be looked up in streams that are made once.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from albert.pretraining.full_rows import FullRows, Stream
from albert.text.encodings import Tokenizer
from albert.text.pieces import SPACE

_FACTOR = 0x2545F4914F6CDD1D  # odd, so that its powers do not become 0


@dataclass(frozen=True)
class Words:
    """Where words are in our stream and in the teacher's."""

    of_piece: Int[Tensor, " pieces"]  # the word of each of our pieces
    begins: Bool[Tensor, " pieces"]  # whether one of our pieces begins a word
    pieces: Int[Tensor, " teacher"]  # the teacher's pieces of all words, end to end
    of_teacher: Int[Tensor, " teacher"]  # the word of each of these pieces
    starts: Int[Tensor, " words_and_end"]  # where each word starts in `pieces`

    @classmethod
    def of(cls, stream: Stream, vocabulary: Sequence[str], teacher: Tokenizer) -> Words:
        """The words of `stream`, whose vocabulary is `vocabulary`. Each distinct word goes through the teacher's
        tokenizer once.
        """
        tokens = stream.tokens.long()
        begins = stream.begins[tokens]
        begins[stream.sentences[:-1]] = True
        of_piece = begins.cumsum(0) - 1
        first = torch.nonzero(begins).squeeze(1)
        sizes = torch.diff(first, append=first.new_tensor([len(tokens)]))
        # A word's key: the sum over its pieces of a number drawn for (piece, position in the word).
        place = torch.arange(len(tokens), device=tokens.device) - first[of_piece]
        drawn = (tokens * 512 + place.clamp(max=511) + 1) * _FACTOR
        drawn = (drawn ^ ((drawn >> 29) & ((1 << 35) - 1))) * _FACTOR
        ends = drawn.cumsum(0)
        keys = ends[first + sizes - 1] - ends[first] + drawn[first]
        del drawn, ends, place
        distinct, which = torch.unique(keys, return_inverse=True)
        example = torch.empty_like(distinct)
        example[which] = first
        example_size = torch.empty_like(distinct)
        example_size[which] = sizes
        texts = _texts(tokens, example.tolist(), example_size.tolist(), vocabulary)
        ids = _teacher_pieces(texts, teacher)
        lengths = torch.tensor([len(own) for own in ids], device=tokens.device)
        flat = torch.tensor([piece for own in ids for piece in own], device=tokens.device)
        offsets = torch.cat([lengths.new_zeros(1), lengths.cumsum(0)])
        counts = lengths[which]
        starts = torch.cat([counts.new_zeros(1), counts.cumsum(0)])
        of_teacher = torch.repeat_interleave(torch.arange(len(which), device=tokens.device), counts)
        inside = torch.arange(len(of_teacher), device=tokens.device) - starts[of_teacher]
        pieces = flat[offsets[which[of_teacher]] + inside]
        return cls(of_piece.int(), begins, pieces.int(), of_teacher.int(), starts)


def _texts(tokens: Tensor, firsts: list[int], sizes: list[int], vocabulary: Sequence[str]) -> list[str]:
    """The letters of words, with the space before those that have one."""
    held = tokens.cpu().numpy()
    return [
        "".join(vocabulary[piece] for piece in held[first : first + size]).replace(SPACE, " ")
        for first, size in zip(firsts, sizes, strict=True)
    ]


def _teacher_pieces(texts: Sequence[str], teacher: Tokenizer) -> list[list[int]]:
    found = [ids.tolist() for ids in teacher.ids([text.strip() for text in texts])]
    for text, ids in zip(texts, found, strict=True):
        if ids and not text.startswith(" "):  # it continues a word, so it has no space before it
            first = teacher.after_mask(ids[0])
            ids[:1] = [] if first is None else [first]
    return found


@dataclass(frozen=True)
class Aligned:
    """A batch of rows as the teacher reads it, and the word of each piece on both sides.

    Words are numbered per row; special pieces have -1. `known` marks the words that are whole on our side.
    """

    ids: Int[Tensor, "rows longest"]
    real: Bool[Tensor, "rows longest"]
    ours: Int[Tensor, "rows length"]
    theirs: Int[Tensor, "rows longest"]
    known: Bool[Tensor, "rows words"]


def align(rows: FullRows, words: Words, longest: int, *, cls_id: int, sep_id: int, pad_id: int) -> Aligned:
    """The teacher's [CLS] words of A, words of B [SEP] for each row, cut at `longest`."""
    length = rows.ids.shape[1]
    of_piece = words.of_piece
    a_first, a_last = of_piece[rows.first].long(), of_piece[rows.first + rows.first_length - 1].long()
    paired = rows.second_length > 0
    second = torch.where(paired, rows.second, rows.first)
    b_end = torch.where(paired, rows.second + rows.second_length, rows.first + 1)
    b_first, b_last = of_piece[second].long(), of_piece[b_end - 1].long()
    a_count, b_count = a_last - a_first + 1, torch.where(paired, b_last - b_first + 1, 0)
    a_begin, b_begin = words.starts[a_first], words.starts[b_first]
    a_size, b_size = words.starts[a_last + 1] - a_begin, torch.where(paired, words.starts[b_last + 1] - b_begin, 0)
    column = torch.arange(longest, device=rows.ids.device).expand(len(rows.ids), -1)
    total = (a_size + b_size).clamp(max=longest - 2)[:, None]
    text = (column > 0) & (column <= total)
    in_b = column > a_size[:, None]
    place = torch.where(in_b, (b_begin - a_size)[:, None] + column - 1, a_begin[:, None] + column - 1)
    place = place.clamp(0, len(words.pieces) - 1)
    ids = torch.where(text, words.pieces[place].long(), pad_id)
    ids = torch.where(column == 0, cls_id, torch.where(column == total + 1, sep_id, ids))
    shift = torch.where(in_b, (b_first - a_count)[:, None], a_first[:, None])
    theirs = torch.where(text, words.of_teacher[place].long() - shift, -1)
    own_in_b = rows.types.bool()
    own_shift = torch.where(own_in_b, (b_first - a_count)[:, None], a_first[:, None])
    ours = torch.where(rows.special, -1, of_piece[rows.places].long() - own_shift)
    number = torch.arange(length, device=rows.ids.device).expand(len(rows.ids), -1)
    a_count, b_count = a_count[:, None], b_count[:, None]

    def cut(place: Tensor) -> Tensor:
        """Whether a word goes on where a segment begins or has ended."""
        return ~words.begins[place.clamp(max=len(words.begins) - 1)][:, None] & (place < len(words.begins))[:, None]

    known = number < a_count + b_count
    known &= ~((number == 0) & cut(rows.first))
    known &= ~((number == a_count - 1) & cut(rows.first + rows.first_length))
    known &= ~((number == a_count) & cut(rows.second))
    known &= ~((number == a_count + b_count - 1) & (b_count > 0) & cut(rows.second + rows.second_length))
    known &= ~((a_size + b_size)[:, None] > total) | (number != theirs.gather(1, total))  # nor a word that is cut there
    return Aligned(ids, column <= total + 1, ours, theirs, known)


def word_vectors(
    hidden: Float[Tensor, "rows length hidden"], word: Int[Tensor, "rows length"], words: int
) -> tuple[Float[Tensor, "rows words hidden"], Bool[Tensor, "rows words"]]:
    """The mean of each word's pieces, and which words have any. It is a product of matrices, so every run gives the
    same.
    """
    number = torch.arange(words, device=word.device)
    which = word[:, None, :] == number[None, :, None]
    counts = which.sum(2)
    return torch.bmm(which.to(hidden.dtype), hidden) / counts.clamp(min=1)[:, :, None], counts > 0
