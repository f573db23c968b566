"""ALBERT's tokenizer: Google's preprocessing, then SentencePiece; to and from a model folder."""

from __future__ import annotations

import os
from collections.abc import Sequence
from importlib import resources
from pathlib import Path
from typing import Any, Self

import numpy as np

from albert.config import CLS_ID, MASK_ID, PAD_ID, SEP_ID, UNK_ID
from albert.errors import AlbertError, ErrorKind
from albert.hub import model_folder
from albert.storage.files import read_vouched, write_file, write_json
from albert.text.added import AddedToken, added_tokens
from albert.text.encodings import Encoding, Specials, Tokenizer, read_files
from albert.text.hardening.hardener import Hardening, hardening_of
from albert.text.normalize import Normalizer
from albert.text.pieces import SPACE, PieceEncoder, Pieces, model_from_tokenizer_json

__all__ = ["AlbertTokenizer", "Encoding", "Tokenizer"]


class AlbertTokenizer(Tokenizer):
    """ALBERT's tokenizer: Google's preprocessing, then a SentencePiece model.

    Exact to google-research/albert, with the digit-comma rule. Text that spells a special token stays text. With
    `hardening`, hostile text is made readable first; offsets are still in the original text. Tokens that were added to
    a checkpoint are found in texts, as in transformers.
    """

    def __init__(
        self,
        model: bytes,
        *,
        normalizer: Normalizer | None = None,
        max_length: int = 512,
        hardening: Hardening | None = None,
        added: Sequence[AddedToken] = (),
    ) -> None:
        """`added` are tokens beyond the model's pieces, or pieces that are matched as a whole."""
        self.model = model
        self.added = tuple(added)
        self.special = Specials(PAD_ID, UNK_ID, CLS_ID, SEP_ID, MASK_ID)
        self.normalizer = normalizer or Normalizer()
        self.max_length = max_length
        self.hardening = hardening
        self._encoder = PieceEncoder(model, self.normalizer, hardening, self.added)
        pieces = self._encoder.vocabulary
        self.vocabulary: list[str] = pieces + [token.content for token in self.added if token.id >= len(pieces)]
        self._whole = {token.id for token in self.added}
        self._ids = {piece: token for token, piece in enumerate(self.vocabulary)}
        expected = ["<pad>", "<unk>", "[CLS]", "[SEP]", "[MASK]"]
        if self.vocabulary[:5] != expected:
            raise AlbertError(
                ErrorKind.MODEL,
                "the vocabulary's first five pieces",
                expected=" ".join(expected),
                got=" ".join(self.vocabulary[:5]),
                hint="train the vocabulary with `albert tokenizer train`",
            )

    # --- loading and saving ----------------------------------------------------------------------------

    @classmethod
    def english(cls) -> Self:
        """Our own English vocabulary, which is part of the package."""
        return cls((resources.files("albert") / "assets" / "starter" / "spiece.model").read_bytes())

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Reads a folder or hub id: `spiece.model`, else the Unigram of `tokenizer.json`.

        Raises `AlbertError` (bad-model) if neither exists or can be used.
        """
        folder = model_folder(name)
        files = read_files(folder)
        settings = files["tokenizer_config.json"]
        normalizer = Normalizer(
            lower=bool(settings.get("do_lower_case", True)),
            keep_accents=bool(settings.get("keep_accents", False)),
            quotes=bool(settings.get("albert_quotes", False)),
        )
        length = settings.get("model_max_length", 512)
        length = length if isinstance(length, int) and 0 < length <= 65_536 else 512
        if os.path.lexists(folder / "spiece.model"):
            model = read_vouched(folder, "spiece.model")
        elif files["tokenizer.json"]:
            model = model_from_tokenizer_json(files["tokenizer.json"])
        else:
            words = (folder / "vocab.txt").is_file()
            raise AlbertError(
                ErrorKind.MODEL,
                str(folder),
                expected="a spiece.model or tokenizer.json in it",
                hint="a vocab.txt is BERT's: corpora are not prepared with it" if words else None,
            )
        hardening = hardening_of(settings, str(folder / "tokenizer_config.json"))
        plain = cls(model, normalizer=normalizer, max_length=length, hardening=hardening)
        ids = {piece: token for token, piece in enumerate(plain.vocabulary)}
        added = [token for token in added_tokens(folder, files, ids) if token.content not in plain.vocabulary[:5]]
        return plain.with_added(added).with_case_marks(bool(settings.get("case_marks", False)))

    def with_added(self, added: Sequence[AddedToken]) -> Self:
        """The same tokenizer with these tokens in addition to its pieces."""
        return (
            type(self)(
                self.model,
                normalizer=self.normalizer,
                max_length=self.max_length,
                hardening=self.hardening,
                added=added,
            )
            if added
            else self
        )

    def with_hardening(self, hardening: Hardening | None) -> Self:
        """The same tokenizer with this hardening; None for none."""
        if hardening == self.hardening:
            return self
        other = type(self)(
            self.model, normalizer=self.normalizer, max_length=self.max_length, hardening=hardening, added=self.added
        )
        return other.with_case_marks(self.case_marks)

    def save(self, folder: str | Path) -> None:
        """Writes `spiece.model`, `tokenizer.json` (for transformers) and `tokenizer_config.json`."""
        from albert.text.export import tokenizer_json

        folder = Path(folder)
        for other in ("vocab.txt", "added_tokens.json", "special_tokens_map.json"):  # left by another tokenizer
            (folder / other).unlink(missing_ok=True)
        write_file(folder / "spiece.model", self.model)
        write_file(folder / "tokenizer.json", tokenizer_json(self._encoder.proto, self.normalizer, self.added))
        specials = {
            "bos_token": "[CLS]",
            "eos_token": "[SEP]",
            "unk_token": "<unk>",
            "sep_token": "[SEP]",
            "pad_token": "<pad>",
            "cls_token": "[CLS]",
            "mask_token": "[MASK]",
        }
        write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "AlbertTokenizer",
                "do_lower_case": self.normalizer.lower,
                "keep_accents": self.normalizer.keep_accents,
                "remove_space": True,
                "albert_quotes": self.normalizer.quotes,
                "model_max_length": self.max_length,
                **({} if self.hardening is None else self.hardening.to_dict()),
                **({"case_marks": True} if self.case_marks else {}),
                # transformers leaves token_type_ids out unless told (transformers#48128)
                "model_input_names": ["input_ids", "token_type_ids", "attention_mask"],
                **specials,
                **({"added_tokens_decoder": _decoder(self.added)} if self.added else {}),
            },
        )

    # --- pieces ----------------------------------------------------------------------------------------

    def pieces(self, texts: Sequence[str]) -> list[Pieces]:
        """The pieces of each text, without special tokens, uncut."""
        return self._encoder(texts)

    def spelling(self, word: str) -> tuple[int, int]:
        """How many pieces a word has without hardening, and how many of them are unknown."""
        return self._encoder.spelling(word)

    def scores(self) -> dict[str, tuple[int, float]]:
        """The id and the log-probability of each piece that texts are divided into."""
        return self._encoder.scores()

    def ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of `pieces` without their offsets, which are most of the cost. For whole corpora."""
        return self._encoder.ids(texts)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the pieces, without special tokens."""
        left = [token for token in ids if token not in (PAD_ID, CLS_ID, SEP_ID)]
        pieces = [SPACE * (token in self._whole) + self.vocabulary[token] for token in left]
        return "".join(pieces).replace(SPACE, " ").strip()

    def id_of(self, piece: str) -> int:
        """The id of a piece; that of <unk> for an unknown piece."""
        return self._ids.get(piece, UNK_ID)

    def after_mask(self, token: int) -> int | None:
        """The piece that continues a word where `token` would begin one; None for a lone space."""
        piece = self.vocabulary[token]
        if piece == SPACE:
            return None
        rest = self.id_of(piece.removeprefix(SPACE))
        return token if rest == UNK_ID else rest

    def in_place_of_mask(self, token: int) -> str:
        return self.decode([token])


def _decoder(added: Sequence[AddedToken]) -> dict[str, dict[str, Any]]:
    """Added tokens by id, in the form of tokenizer_config.json, for readers without a tokenizer.json."""
    return {str(token.id): {"content": token.content, **token.flags()} for token in added}
