"""`DataSource`: a file of data and how it is to be read, where its name and content shall not decide."""

from __future__ import annotations

import inspect
import math
from collections.abc import Callable, Mapping
from dataclasses import KW_ONLY, dataclass, fields, replace
from pathlib import Path
from typing import Any, Literal, TypedDict, TypeVar, Unpack, get_args

Format = Literal["csv", "tsv", "excel", "jsonl", "json", "parquet", "conll", "fasttext", "lines"]
FORMATS: tuple[str, ...] = get_args(Format)

# pandas' list of the strings that mean a missing value, without the empty one.
_MISSING = frozenset((
    "#N/A", "#N/A N/A", "#NA", "-1.#IND", "-1.#QNAN", "-NaN", "-nan", "1.#IND", "1.#QNAN", "<NA>", "N/A", "NA",
    "NULL", "NaN", "NaT", "None", "n/a", "nan", "null",
))  # fmt: skip

Function = TypeVar("Function", bound=Callable[..., Any])


class RowOptions(TypedDict, total=False):
    """The options of `DataSource` for a file of single texts, each read at once."""

    text: str | None
    max_length: int | None
    format: str | None
    encoding: str
    header: bool | None
    word_column: int | None
    tag_column: int | None
    keep_na: bool


class TextOptions(RowOptions, total=False):
    """Those for texts, pairs and choices without labels."""

    text_pair: str | None
    choices: str | None
    stride: int | None


class LabelledOptions(TextOptions, total=False):
    """Those for a labelled file and a model that knows its task."""

    label: str | None


class DataOptions(LabelledOptions, total=False):
    """All of them."""

    task: str | None


@dataclass(frozen=True)
class DataSource:
    """A file ("-": standard input) and what a user says about it; None where its name and content decide.

    `text`, `text_pair` and `label` are columns; `choices` is a column of lists, or several with commas between.
    `max_length` is how many pieces a model reads at once, and longer texts are divided into windows that share `stride`
    pieces. `header`: whether a table's first row names its columns. `word_column` and `tag_column` are those of CoNLL
    files, counted from 1. With `keep_na` cells like NA, None and null are values; without, they are missing ones.
    """

    path: str
    _: KW_ONLY
    text: str | None = None
    text_pair: str | None = None
    label: str | None = None
    choices: str | None = None
    task: str | None = None
    max_length: int | None = None
    stride: int | None = None
    format: str | None = None
    encoding: str = "utf-8"
    header: bool | None = None
    word_column: int | None = None
    tag_column: int | None = None
    keep_na: bool = False

    @classmethod
    def of(cls, data: str | Path | DataSource, **options: Unpack[DataOptions]) -> DataSource:
        """A path with these options; a source with them in the place of its own."""
        return replace(data, **options) if isinstance(data, DataSource) else cls(str(data), **options)

    def at(self, path: str | Path) -> DataSource:
        """Another file, read in the same way."""
        return replace(self, path=str(path))

    def columns(self) -> tuple[str, ...]:
        """The columns that were asked for by name."""
        return tuple(name for name in (self.text, self.text_pair, self.label) if name is not None)


def data_options(function: Function, *, annotations: Mapping[str, Any] | None = None) -> Function:
    """Lists the data options of a function with `**options: Unpack[...]` one by one in its signature.

    So `help` shows them, and typer makes options of their `annotations`. The defaults are those of `DataSource`.
    """
    signature = inspect.signature(function, eval_str=annotations is not None)
    *own, options = signature.parameters.values()
    assert options.kind is inspect.Parameter.VAR_KEYWORD
    kinds = (RowOptions, TextOptions, LabelledOptions, DataOptions)
    kind = next(kind for kind in kinds if kind.__name__ in str(options.annotation))
    listed = [
        inspect.Parameter(
            field.name,
            inspect.Parameter.KEYWORD_ONLY,
            default=field.default,
            annotation=field.type if annotations is None else annotations[field.name],
        )
        for field in fields(DataSource)
        if field.name in kind.__annotations__
    ]
    function.__signature__ = signature.replace(parameters=[*own, *listed])  # type: ignore[attr-defined]
    return function


def missing(value: Any, *, keep_na: bool = False) -> str | None:
    """Why a value counts as missing, in words; None if it does not. The task judges the empty string."""
    if value is None:
        return "null"
    if isinstance(value, float) and math.isnan(value):
        return "NaN"
    if not keep_na and isinstance(value, str) and value.strip() in _MISSING:
        return f"{value.strip()!r} stands for a missing value; --keep-na takes it as it is"
    return None
