"""Tokens that were added to a vocabulary after its training ("[E1]", "covid19").

Reads them from a model's folder, and divides texts at them as the `tokenizers` library does (AddedVocabulary). `lstrip`
and `rstrip` take white space into a token; this changes no piece, because pieces have no white space at their edges.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import tokenizers

from albert.errors import AlbertError, ErrorKind

_FLAGS = ("single_word", "lstrip", "rstrip", "normalized", "special")
_LISTS = ("additional_special_tokens", "extra_special_tokens")


@dataclass(frozen=True)
class AddedToken:
    """A token with its id.

    `normalized`: the token and the text are normalised before the search; otherwise the original text is searched.
    `single_word`: the token does not match within a word.
    """

    content: str
    id: int
    single_word: bool = False
    lstrip: bool = False
    rstrip: bool = False
    normalized: bool = True
    special: bool = False

    def flags(self) -> dict[str, bool]:
        """The token's options in a folder's files, without content and id."""
        return {name: value for name, value in asdict(self).items() if name in _FLAGS}

    def of_library(self) -> tokenizers.AddedToken:
        """The token as the `tokenizers` library has it."""
        return tokenizers.AddedToken(self.content, **self.flags())


def added_tokens(folder: Path, files: Mapping[str, Any], vocabulary: Mapping[str, int]) -> tuple[AddedToken, ...]:
    """The tokens that a folder's JSON files add to a vocabulary, by id. The first file that names a token describes it.

    `files` are the contents of tokenizer.json, tokenizer_config.json, added_tokens.json and special_tokens_map.json, if
    they exist. Raises `AlbertError` (bad-model) for tokens whose ids are not clear.
    """
    found: dict[str, AddedToken] = {}
    for token in _with_ids(folder, files):
        known = found.setdefault(token.content, token)
        if known.id != token.id:
            raise _unclear(folder, token.content, f"one id, {known.id}", str(token.id))
    free = max([*vocabulary.values(), *(token.id for token in found.values())], default=-1) + 1
    for content in _special_names(files):
        if content not in found:
            token = AddedToken(content, vocabulary.get(content, free), normalized=False, special=True)
            found[content] = token
            free += token.id == free
    tokens = tuple(sorted(found.values(), key=lambda token: token.id))
    _require_places(folder, tokens, vocabulary)
    return tokens


def _with_ids(folder: Path, files: Mapping[str, Any]) -> Iterator[AddedToken]:
    special = set(_special_names(files))
    for entry in _of_type(folder, list, files.get("tokenizer.json", {}).get("added_tokens")):
        yield _described(folder, entry, entry.get("id") if isinstance(entry, dict) else None)
    decoder = _of_type(folder, dict, files.get("tokenizer_config.json", {}).get("added_tokens_decoder"))
    for key, entry in decoder.items():
        yield _described(folder, entry, int(key) if str(key).isdecimal() else None)
    for content, number in files.get("added_tokens.json", {}).items():
        flags = {"special": True, "normalized": False} if content in special else {}
        yield _described(folder, {"content": content, **flags}, number)


def _of_type(folder: Path, kind: type, value: Any) -> Any:
    """A value of this type; empty if there is none."""
    if value is not None and not isinstance(value, kind):
        raise _unclear(folder, "of its files", f"a JSON {kind.__name__}", type(value).__name__)
    return value or kind()


def _described(folder: Path, entry: Any, number: Any) -> AddedToken:
    if not isinstance(entry, dict) or not isinstance(entry.get("content"), str) or not entry["content"]:
        raise _unclear(folder, repr(entry)[:80], '{"content": …, "id": …}', "none")
    if not isinstance(number, int) or isinstance(number, bool) or number < 0:
        raise _unclear(folder, entry["content"], "an id", repr(number))
    flags = {name: bool(entry[name]) for name in _FLAGS if name in entry}
    return AddedToken(entry["content"], number, **flags)


def _special_names(files: Mapping[str, Any]) -> list[str]:
    """The special tokens beyond those that every model has, in the order of the files."""
    named: list[Any] = []
    for file in ("tokenizer_config.json", "special_tokens_map.json"):
        for key in _LISTS:
            listed = files.get(file, {}).get(key)
            named += listed.values() if isinstance(listed, dict) else listed if isinstance(listed, list) else ()
    contents = [entry.get("content") if isinstance(entry, dict) else entry for entry in named]
    return list(dict.fromkeys(content for content in contents if isinstance(content, str) and content))


def _require_places(folder: Path, tokens: Sequence[AddedToken], vocabulary: Mapping[str, int]) -> None:
    """Raises `AlbertError` unless each token has the id of its piece, or an id directly after the pieces."""
    after = max(vocabulary.values(), default=-1) + 1
    for token in tokens:
        own = vocabulary.get(token.content)
        if own is None and token.id == after:
            after += 1
        elif own != token.id:
            raise _unclear(folder, token.content, f"the id {after if own is None else own}", str(token.id))


def _unclear(folder: Path, token: str, expected: str, got: str) -> AlbertError:
    return AlbertError(
        ErrorKind.MODEL, f"{folder}: added token {token!r}", expected=expected, got=got,
        hint="save the tokenizer again with the library that it was made with",
    )  # fmt: skip


# --- dividing texts --------------------------------------------------------------------------------------


class Matcher:
    """Finds tokens in a text: the leftmost first; of several that begin at one place, the longest."""

    def __init__(self, tokens: Iterable[AddedToken], spell: Callable[[str], str] = str) -> None:
        """`spell` gives the form of a token within the texts."""
        self._tokens = {form: token for token in tokens if (form := spell(token.content))}
        forms = sorted(self._tokens, key=len, reverse=True)
        self._pattern = re.compile("|".join(map(re.escape, forms))) if forms else None

    def divide(self, text: str) -> Iterator[tuple[int, int, AddedToken | None]]:
        """[start, end) of each token and of each part between tokens, in the order of the text."""
        at = 0
        for match in self._pattern.finditer(text) if self._pattern else ():
            token = self._tokens[match[0]]
            before, after = text[max(match.start() - 1, 0) : match.start()], text[match.end() : match.end() + 1]
            if token.single_word and (_in_word(before) or _in_word(after)):
                continue
            if at < match.start():
                yield at, match.start(), None
            yield match.start(), match.end(), token
            at = match.end()
        if at < len(text):
            yield at, len(text), None


def _in_word(char: str) -> bool:
    r"""Whether a character belongs to \w in Rust's regular expressions."""
    if not char:
        return False
    return char in "\u200c\u200d" or unicodedata.category(char) in _WORDS or char.isalpha()


_WORDS = {"Lu", "Ll", "Lt", "Lm", "Lo", "Mn", "Mc", "Me", "Nd", "Nl", "Pc"}
