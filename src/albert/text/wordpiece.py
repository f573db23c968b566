"""BERT's tokenizer: WordPiece by the `tokenizers` library; to and from a model folder.

Pieces and offsets are those of transformers' BertTokenizerFast (tests/parity/test_wordpiece.py).
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import numpy as np
from tokenizers import AddedToken, decoders, models, normalizers, pre_tokenizers, processors
from tokenizers import Tokenizer as Pipeline

from albert.errors import AlbertError, ErrorKind
from albert.hub import model_folder
from albert.storage.files import read_vouched, write_file, write_json
from albert.text.added import added_tokens
from albert.text.encodings import Specials, Tokenizer, model_kind, read_files
from albert.text.hardening.hardener import Hardened, Hardener, Hardening, hardening_of
from albert.text.pieces import Pieces, valid_unicode

VOCABULARY = "vocab.txt"
_CONTINUES = "##"
_NAMES = {"pad": "[PAD]", "unk": "[UNK]", "cls": "[CLS]", "sep": "[SEP]", "mask": "[MASK]"}
# A folder's settings for the normaliser; its tokenizer.json may contradict them.
_NORMALIZER = {
    "do_lower_case": "lowercase", "strip_accents": "strip_accents", "tokenize_chinese_chars": "handle_chinese_chars",
}  # fmt: skip


class WordPieceTokenizer(Tokenizer):
    """BERT's tokenizer, cased or uncased, around a pipeline of the `tokenizers` library.

    Text that spells a special token becomes that token, as in transformers, unless `split_specials`. Raises
    `AlbertError` (bad-model) for a pipeline that does not build BERT's inputs.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        *,
        names: Mapping[str, str] = _NAMES,
        max_length: int = 512,
        hardening: Hardening | None = None,
        split_specials: bool = False,
    ) -> None:
        pipeline.no_truncation()
        pipeline.no_padding()
        pipeline.encode_special_tokens = split_specials
        self._pipeline = pipeline
        self.names = dict(names)
        self.max_length = max_length
        self.hardening = hardening
        self.split_specials = split_specials
        self._harden = None if hardening is None else Hardener(hardening, spell=self.spelling)
        table = pipeline.get_vocab()
        _require(self.names, table)
        _require({"unk": pipeline.model.unk_token}, pipeline.get_vocab(with_added_tokens=False))
        self.special = Specials(**{kind: table[name] for kind, name in self.names.items()})
        self.vocabulary = [""] * (max(table.values()) + 1)  # a vocabulary may leave ids out
        for piece, token in table.items():
            self.vocabulary[token] = piece
        built = pipeline.encode("", "")
        cls, sep = self.special.cls, self.special.sep
        if (built.ids, built.type_ids) != ([cls, sep, sep], [0, 0, 1]):
            raise _unusable("pairs as [CLS] A [SEP] B [SEP], of token types 0 and 1", " ".join(built.tokens))

    # --- loading and saving ----------------------------------------------------------------------------

    @classmethod
    def from_pretrained(cls, name: str | Path) -> Self:
        """Reads a folder or hub id: `tokenizer.json`, else `vocab.txt`. `tokenizer_config.json` overrides both.

        Raises `AlbertError` (bad-model) if neither exists or can be used.
        """
        folder = model_folder(name)
        files = read_files(folder)
        settings = files["tokenizer_config.json"]
        told = {**files["special_tokens_map.json"], **settings}
        names = {kind: _spelled(told.get(f"{kind}_token"), default) for kind, default in _NAMES.items()}
        if files["tokenizer.json"]:
            pipeline = _from_json(files["tokenizer.json"])
        else:
            pipeline = build_pipeline(_read_vocabulary(folder), names)
        there = {token.content for token in pipeline.get_added_tokens_decoder().values()}
        for token in added_tokens(folder, files, pipeline.get_vocab(with_added_tokens=False)):
            if token.content not in there:
                (pipeline.add_special_tokens if token.special else pipeline.add_tokens)([token.of_library()])
        if isinstance(pipeline.normalizer, normalizers.BertNormalizer):
            normalizer = pipeline.normalizer
            for key, part in _NORMALIZER.items():
                if settings.get(key) is not None or (key in settings and key == "strip_accents"):
                    setattr(normalizer, part, settings[key])
            pipeline.normalizer = normalizer
        length = settings.get("model_max_length", 512)
        return cls(
            pipeline,
            names=names,
            max_length=length if isinstance(length, int) and 0 < length <= 65_536 else 512,
            hardening=hardening_of(settings, str(folder / "tokenizer_config.json")),
            split_specials=bool(settings.get("split_special_tokens", False)),
        ).with_case_marks(bool(settings.get("case_marks", False)))

    def with_hardening(self, hardening: Hardening | None) -> Self:
        """The same tokenizer with this hardening; None for none."""
        if hardening == self.hardening:
            return self
        return type(self)(
            Pipeline.from_str(self._pipeline.to_str()),
            names=self.names,
            max_length=self.max_length,
            hardening=hardening,
            split_specials=self.split_specials,
        ).with_case_marks(self.case_marks)

    def save(self, folder: str | Path) -> None:
        """Writes `tokenizer.json`, `vocab.txt` and `tokenizer_config.json`, which transformers reads, too."""
        folder = Path(folder)
        pieces = self._pipeline.get_vocab(with_added_tokens=False)
        lines = [""] * (max(pieces.values()) + 1)
        for piece, token in pieces.items():
            lines[token] = piece
        for other in ("spiece.model", "added_tokens.json", "special_tokens_map.json"):  # left by another tokenizer
            (folder / other).unlink(missing_ok=True)
        write_file(folder / VOCABULARY, "".join(f"{line}\n" for line in lines))
        write_file(folder / "tokenizer.json", self._pipeline.to_str(pretty=True))
        normalizer = self._pipeline.normalizer
        write_json(
            folder / "tokenizer_config.json",
            {
                "tokenizer_class": "BertTokenizer",
                **{
                    key: getattr(normalizer, part)
                    for key, part in _NORMALIZER.items()
                    if isinstance(normalizer, normalizers.BertNormalizer)
                },
                "model_max_length": self.max_length,
                **({"split_special_tokens": True} if self.split_specials else {}),
                **({} if self.hardening is None else self.hardening.to_dict()),
                **({"case_marks": True} if self.case_marks else {}),
                **{f"{kind}_token": name for kind, name in self.names.items()},
            },
        )

    # --- pieces ----------------------------------------------------------------------------------------

    def pieces(self, texts: Sequence[str]) -> list[Pieces]:
        """The pieces of each text, without special tokens, uncut.

        Raises `AlbertError` (bad-data) for text that is not valid Unicode.
        """
        with valid_unicode(texts):
            read = [Hardened(text) for text in texts] if self._harden is None else list(map(self._harden, texts))
            rows = self._pipeline.encode_batch([text.text for text in read], add_special_tokens=False)
        return [
            Pieces(
                np.asarray(row.ids, np.int64),
                _placed(np.asarray(row.offsets, np.int64).reshape(-1, 2), text),
                np.asarray(row.word_ids, np.int64),
            )
            for row, text in zip(rows, read, strict=True)
        ]

    def ids(self, texts: Sequence[str]) -> list[np.ndarray]:
        """The ids of `pieces` without their offsets. Raises as `pieces`."""
        with valid_unicode(texts):
            read = list(texts) if self._harden is None else [self._harden.text(text) for text in texts]
            rows = self._pipeline.encode_batch_fast(read, add_special_tokens=False)
        return [np.asarray(row.ids, np.int64) for row in rows]

    def spelling(self, word: str) -> tuple[int, int]:
        """How many pieces a word has without hardening, and how many of them are unknown."""
        ids = self._pipeline.encode(word, add_special_tokens=False).ids
        return len(ids), ids.count(self.special.unk)

    def decode(self, ids: Sequence[int]) -> str:
        """The text of the pieces, without special tokens other than [UNK] and [MASK]."""
        left_out = (self.special.pad, self.special.cls, self.special.sep)
        return str(self._pipeline.decode([token for token in ids if token not in left_out], skip_special_tokens=False))

    def after_mask(self, token: int) -> int | None:
        """The same piece, because a new word begins after a mask."""
        return token

    def in_place_of_mask(self, token: int) -> str:
        return self.vocabulary[token].removeprefix(_CONTINUES)


def build_pipeline(vocabulary: Sequence[str], names: Mapping[str, str] = _NAMES, *, lower: bool = True) -> Pipeline:
    """BERT's tokenizer with these pieces by their ids. Raises `AlbertError` (bad-model) without the special tokens."""
    table = {piece: token for token, piece in enumerate(vocabulary)}
    _require(names, table)
    pipeline = Pipeline(models.WordPiece(table, unk_token=names["unk"], max_input_chars_per_word=100))
    pipeline.normalizer = normalizers.BertNormalizer(lowercase=lower)
    pipeline.pre_tokenizer = pre_tokenizers.BertPreTokenizer()
    pipeline.decoder = decoders.WordPiece(prefix=_CONTINUES)
    cls, sep = names["cls"], names["sep"]
    pipeline.post_processor = processors.TemplateProcessing(
        single=f"{cls}:0 $A:0 {sep}:0",
        pair=f"{cls}:0 $A:0 {sep}:0 $B:1 {sep}:1",
        special_tokens=[(name, table[name]) for name in (cls, sep)],
    )
    pipeline.add_special_tokens([AddedToken(name, special=True, normalized=False) for name in names.values()])
    return pipeline


def _from_json(raw: dict[str, Any]) -> Pipeline:
    if (kind := model_kind(raw)) != "WordPiece":
        raise _unusable("a WordPiece tokenizer", str(kind))
    _require_template(raw.get("post_processor"))
    try:
        return Pipeline.from_str(json.dumps(raw))
    except Exception as error:  # the library has no exception type of its own
        raise _unusable("a WordPiece tokenizer", str(error)[:200]) from None


def _require_template(processor: Any) -> None:
    """Raises `AlbertError` (bad-model) for a template with a token that it does not tell: the library would panic."""
    if not isinstance(processor, dict):
        return
    for part in processor["processors"] if isinstance(processor.get("processors"), list) else ():
        _require_template(part)
    told = processor.get("special_tokens")
    if not isinstance(told, dict):  # then it is no template
        return
    for side in (processor.get("single"), processor.get("pair")):
        for piece in side if isinstance(side, list) else ():
            special = piece.get("SpecialToken") if isinstance(piece, dict) else None
            name = special.get("id") if isinstance(special, dict) else None
            if isinstance(name, str) and name not in told:
                raise _unusable("a template whose special tokens are told", f"{name!r:.80} without its id")


def _read_vocabulary(folder: Path) -> list[str]:
    try:
        text = read_vouched(folder, VOCABULARY).decode("utf-8")
    except UnicodeDecodeError as error:
        raise AlbertError(
            ErrorKind.MODEL, str(folder / VOCABULARY), expected="a piece a line in UTF-8", got=str(error)[:200]
        ) from None
    lines = text.replace("\r\n", "\n").replace("\r", "\n").split("\n")
    return lines[:-1] if lines[-1] == "" else lines


def _require(names: Mapping[str, str], table: Mapping[str, int]) -> None:
    if missing := [name for name in names.values() if name not in table]:
        raise _unusable("the special tokens " + ", ".join(names.values()), "no " + ", ".join(missing))


def _spelled(value: object, default: str) -> str:
    """A special token in settings: a string, or an object that describes it."""
    found = value.get("content") if isinstance(value, dict) else value
    return found if isinstance(found, str) else default


def _placed(offsets: np.ndarray, text: Hardened) -> np.ndarray:
    """Offsets in a hardened text, mapped to its original."""
    if text.starts is None or text.ends is None or not len(offsets):
        return offsets
    return np.stack([text.starts[offsets[:, 0]], text.ends[offsets[:, 1] - 1]], 1)


def _unusable(expected: str, got: str) -> AlbertError:
    return AlbertError(
        ErrorKind.MODEL,
        "tokenizer",
        expected=expected,
        got=got,
        hint="it is not that of a BERT model",
    )
