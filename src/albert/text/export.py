"""The tokenizer as a `tokenizer.json` that transformers loads.

The format cannot express three things: the digit-comma rule, hardening, and that a word-final capital sigma has its own
small letter. Our tokenizer reads `spiece.model` first. transformers' AlbertTokenizer takes the vocabulary from here and
has its own preprocessing. The `tokenizers` library and text-embeddings-inference run this pipeline.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Sequence
from functools import cache

from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Regex, Tokenizer, normalizers
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace, WhitespaceSplit
from tokenizers.pre_tokenizers import Sequence as PreTokenizers
from tokenizers.processors import TemplateProcessing

from albert.config import CLS_ID, MASK_ID, SEP_ID, UNK_ID
from albert.text.added import AddedToken as AddedOne
from albert.text.normalize import Normalizer

_SPECIALS = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")


def tokenizer_json(model: proto.ModelProto, normalizer: Normalizer, added: Sequence[AddedOne] = ()) -> str:
    """The JSON text of an equivalent `tokenizers` pipeline, with token types and added tokens."""
    vocabulary = [(piece.piece, piece.score) for piece in model.pieces]
    tokenizer = Tokenizer(Unigram(vocabulary, UNK_ID))
    # Precompiled drops some of these characters, so they become spaces first.
    steps: list[normalizers.Normalizer] = [normalizers.Replace(_characters(str.isspace), " ")]
    if normalizer.quotes:
        steps += [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not normalizer.keep_accents:
        # StripAccents would also remove the vowels of Indic scripts, which do not combine.
        steps += [normalizers.NFKD(), normalizers.Replace(_characters(unicodedata.combining), "")]
    if normalizer.lower:
        steps.append(normalizers.Lowercase())
    if model.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap))
    steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    pieces = Metaspace(prepend_scheme="always")
    # White space beside an added token would become a piece of its own.
    tokenizer.pre_tokenizer = PreTokenizers([WhitespaceSplit(), pieces]) if added else pieces
    tokenizer.decoder = MetaspaceDecoder(prepend_scheme="always")
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS_ID), ("[SEP]", SEP_ID)],
    )
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False, lstrip=name == _SPECIALS[MASK_ID]) for name in _SPECIALS]
    )
    for token in added:
        (tokenizer.add_special_tokens if token.special else tokenizer.add_tokens)([token.of_library()])
    return str(tokenizer.to_str(pretty=True))


@cache
def _characters(chosen: Callable[[str], object]) -> Regex:
    """A regular expression for one of the characters that `chosen` accepts, as a class of ranges."""
    codes = {code for code in range(0x20000) if chosen(chr(code))}
    firsts = sorted(code for code in codes if code - 1 not in codes)
    lasts = sorted(code for code in codes if code + 1 not in codes)
    return Regex("[" + "".join(f"\\x{{{a:x}}}-\\x{{{b:x}}}" for a, b in zip(firsts, lasts, strict=True)) + "]")
