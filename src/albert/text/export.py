"""The tokenizer as a `tokenizer.json` that transformers loads.

What that format cannot say: the digit-comma rule, and Google's removal of combining characters, which
becomes the nearest thing there (all marks), and hardening. Ours reads `spiece.model` first.
"""

from __future__ import annotations

from sentencepiece import sentencepiece_model_pb2 as proto
from tokenizers import AddedToken, Regex, Tokenizer, normalizers
from tokenizers.decoders import Metaspace as MetaspaceDecoder
from tokenizers.models import Unigram
from tokenizers.pre_tokenizers import Metaspace
from tokenizers.processors import TemplateProcessing

from albert.config import CLS_ID, MASK_ID, SEP_ID, UNK_ID
from albert.text.normalize import Normalizer

_SPECIALS = ("<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]")


def tokenizer_json(model: proto.ModelProto, normalizer: Normalizer) -> str:
    """The JSON text of an equivalent `tokenizers` pipeline, token types included."""
    vocabulary = [(piece.piece, piece.score) for piece in model.pieces]
    tokenizer = Tokenizer(Unigram(vocabulary, UNK_ID))
    steps: list[normalizers.Normalizer] = []
    if normalizer.quotes:
        steps += [normalizers.Replace("``", '"'), normalizers.Replace("''", '"')]
    if not normalizer.keep_accents:
        steps += [normalizers.NFKD(), normalizers.StripAccents()]
    if normalizer.lower:
        steps.append(normalizers.Lowercase())
    if model.normalizer_spec.precompiled_charsmap:
        steps.append(normalizers.Precompiled(model.normalizer_spec.precompiled_charsmap))
    steps += [normalizers.Strip(), normalizers.Replace(Regex(" {2,}"), " ")]
    tokenizer.normalizer = normalizers.Sequence(steps)
    tokenizer.pre_tokenizer = Metaspace(prepend_scheme="always")
    tokenizer.decoder = MetaspaceDecoder(prepend_scheme="always")
    tokenizer.post_processor = TemplateProcessing(
        single="[CLS]:0 $A:0 [SEP]:0",
        pair="[CLS]:0 $A:0 [SEP]:0 $B:1 [SEP]:1",
        special_tokens=[("[CLS]", CLS_ID), ("[SEP]", SEP_ID)],
    )
    tokenizer.add_special_tokens(
        [AddedToken(name, special=True, normalized=False, lstrip=name == _SPECIALS[MASK_ID]) for name in _SPECIALS]
    )
    return str(tokenizer.to_str(pretty=True))
