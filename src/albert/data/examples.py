"""Rows as `Example`s: which columns hold text and label, and a held-out part if none is given."""

from __future__ import annotations

import difflib
import random
import re
from collections import defaultdict
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any

from albert.data.reading import missing
from albert.data.sources import Problems
from albert.data.spans import Interval
from albert.data.tables import CHOICES_NAMES, LABEL_NAMES, PAIR_NAMES, TEXT_NAMES, Row, Table
from albert.errors import AlbertError, ErrorKind
from albert.text.words import words


@dataclass(frozen=True)
class Example:
    """One text or pair as it was written, its gold value, and its place ("file:line").

    `words` are the text's words as its file has them; empty for running text. `choices` are the answers to choose from,
    if any.
    """

    text: str
    text_pair: str | None = None
    gold: Any = None
    source: str = ""
    words: tuple[Interval, ...] = ()
    choices: tuple[str, ...] = ()

    @property
    def texts(self) -> str | tuple[str, str]:
        return self.text if self.text_pair is None else (self.text, self.text_pair)

    @property
    def word_places(self) -> Sequence[Interval]:
        """The places of the words: those of the file, else those of running text."""
        return self.words or words(self.text)


@dataclass(frozen=True)
class Columns:
    """The columns that a task reads. `choices` is one column of lists, or one column per choice."""

    text: str
    text_pair: str | None = None
    label: str | None = None
    choices: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        object.__setattr__(self, "choices", tuple(self.choices))  # JSON gives lists

    def texts(self) -> tuple[str, ...]:
        """The columns of texts that are there."""
        return (self.text,) if self.text_pair is None else (self.text, self.text_pair)

    def names(self) -> list[str]:
        """All columns."""
        return [*self.texts(), *self.choices, *([] if self.label is None else [self.label])]


def guess_columns(table: Table) -> Columns:
    """Finds text, pair, label and choices columns by their names, else by content; those of its source are kept.

    Raises `AlbertError` (bad-data) when a given column is missing or several columns are possible.
    """
    source = table.source
    text, text_pair, label = source.text, source.text_pair, source.label
    listed = tuple(source.choices.split(",")) if source.choices else choice_columns(table)
    require_named(table, *source.columns(), *listed)
    by_name = {name.lower(): name for name in table.columns}
    if label is None:
        label = _only_label(table, [by_name[n] for n in LABEL_NAMES if n in by_name and by_name[n] != text])
    if text is None:
        pairs = [(by_name[a], by_name[b]) for a, b in PAIR_NAMES if a in by_name and b in by_name]
        if pairs and text_pair is None and label not in pairs[0]:
            return Columns(*pairs[0], label, listed)
        named = [by_name[name] for name in TEXT_NAMES if name in by_name and by_name[name] not in (label, text_pair)]
        text = named[0] if named else _longest_text(table, exclude={label, text_pair})
    return Columns(text, text_pair, label, listed)


def require_named(table: Table, *names: str) -> None:
    """Raises `AlbertError` (bad-data) for a column that was asked for and is not there."""
    for given in names:
        if given not in table.columns:
            near = difflib.get_close_matches(given, table.columns, n=1)
            raise AlbertError(
                ErrorKind.DATA,
                f"{table.path}: no column {given!r}",
                got="columns " + ", ".join(table.columns),
                hint=f"did you mean {near[0]!r}?" if near else table.advice,
            )


def text_column(table: Table, usual: str) -> str:
    """The column of single texts: the one that the source names, else `usual`, the only one, or one of a usual name.

    Raises `AlbertError` (bad-data) when it is not there or the choice is not clear.
    """
    if table.source.text is not None:
        require_named(table, table.source.text)
        return table.source.text
    by_name = {name.lower(): name for name in table.columns}
    found = [name for name in (usual, *(by_name.get(known) for known in TEXT_NAMES)) if name in table.columns]
    if not found and len(table.columns) == 1:
        found = list(table.columns)
    if not found:
        raise AlbertError(
            ErrorKind.DATA,
            f"{table.path}: which column is the text?",
            got="columns " + ", ".join(table.columns),
            hint="name it with --text COLUMN" + (f"; {table.advice}" if table.advice else ""),
        )
    return str(found[0])


def require_columns(table: Table, columns: Columns) -> None:
    """Raises `AlbertError` (bad-data) if the file lacks columns of the training file."""
    if missing := [name for name in columns.names() if name not in table.columns]:
        raise AlbertError(
            ErrorKind.DATA,
            f"{table.path}: no column {missing[0]!r}",
            expected="the columns of the training file, " + ", ".join(columns.names()),
            got=", ".join(table.columns),
            hint=table.advice,
        )


def require_alike(table: Table, train: Table) -> None:
    """Raises `AlbertError` (bad-data) if columns without names are not as many as in the training file."""
    if table.layout.is_numbered and table.columns != train.columns:
        raise AlbertError(
            ErrorKind.DATA,
            f"{table.path}: columns without names",
            expected="the columns of the training file, " + ", ".join(train.columns),
            got=", ".join(table.columns),
            hint=table.advice,
        )


def label_values(table: Table, columns: Columns) -> list[Any]:
    """The labels of the first rows, as they stand in the file."""
    return [row.values.get(columns.label or "") for row in table.sample()]


def choice_columns(table: Table) -> tuple[str, ...]:
    """A column of choices with one of the usual names, or numbered columns: ending0, ending1, …"""
    names = [name for name in table.columns if name.lower() in CHOICES_NAMES]
    numbered = [name for name in table.columns if re.fullmatch(r"(?i)(ending|choice|option|answer)_?[0-9a-f]", name)]
    return tuple(names[:1] or (numbered if len(numbered) > 1 else ()))


def _only_label(table: Table, named: list[str]) -> str:
    if "label" in named or "labels" in named:
        return "label" if "label" in named else "labels"
    if len(named) == 1:
        return named[0]
    candidates = named or _repeating_columns(table)
    if len(candidates) == 1:
        return candidates[0]
    raise AlbertError(
        ErrorKind.DATA,
        f"{table.path}: which column is the label?",
        expected="one column of labels",
        got="columns " + ", ".join(table.columns) + (f"; candidates {', '.join(candidates)}" if candidates else ""),
        hint="name it with --label COLUMN" + (f"; {table.advice}" if table.advice else ""),
    )


def _repeating_columns(table: Table) -> list[str]:
    """Columns that are mostly filled and whose values repeat, as labels do."""
    rows = table.sample()
    found = []
    for name in table.columns:
        values = [str(value) for row in rows if (value := row.values.get(name)) != "" and missing(value) is None]
        enough = len(values) >= max(4, len(rows) / 2)
        if enough and len(set(values)) <= len(values) / 2 and max(map(len, values)) <= 64:
            found.append(name)
    return found


def _longest_text(table: Table, exclude: set[str | None]) -> str:
    lengths: dict[str, int] = defaultdict(int)
    for row in table.sample():
        for name in table.columns:
            value = row.values.get(name)
            if name not in exclude and isinstance(value, str):
                lengths[name] += len(value)
    if not lengths:
        raise AlbertError(
            ErrorKind.DATA,
            f"{table.path}: no column of text",
            got="columns " + ", ".join(table.columns),
            hint="name it with --text COLUMN" + (f"; {table.advice}" if table.advice else ""),
        )
    return max(lengths, key=lambda name: lengths[name])


def example_of(row: Row, columns: Columns, *, source: str = "") -> Example:
    """The example of a row, without its gold. Raises `ValueError` with the value that is in the place of a text."""
    text, *pair = [text_of(row, name) for name in columns.texts()]
    choices = tuple(choice for name in columns.choices for choice in _choices_of(row, name))
    return Example(text, pair[0] if pair else None, source=source, words=row.words, choices=choices)


def _choices_of(row: Row, name: str) -> list[str]:
    value = row.values.get(name)
    if not isinstance(value, list):
        return [text_of(row, name, keep_na=True)]  # "None" is a choice like any other
    if not all(isinstance(choice, str) for choice in value):
        raise ValueError(f"column {name!r}: expected a list of texts, got {str(value)[:60]}")
    return value


def text_of(row: Row, name: str, *, keep_na: bool | None = None) -> str:
    """The text in a column of a row. `keep_na` is the row's unless it is given.

    Raises `ValueError` with the value that is there instead.
    """
    value = row.values.get(name)
    if why := missing(value, keep_na=row.keep_na if keep_na is None else keep_na):
        raise ValueError(f"no value in column {name!r}" + (f": {why}" if value is not None else ""))
    if isinstance(value, str):
        return value
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return str(value)
    raise ValueError(f"{type(value).__name__} in column {name!r}")


def read_examples(
    table: Table, columns: Columns, parse_gold: Callable[[Any, Example], Any], problems: Problems
) -> Iterator[Example]:
    """The table's rows as examples. Bad rows go to `problems`.

    `parse_gold` reads a label's value, given the example without it. It raises `ValueError` for a bad label.
    """
    assert columns.label is not None
    for row in table.rows(problems):
        try:
            example = example_of(row, columns, source=f"{table.path}:{row.number}")
            if not any(text.strip() for text in (example.text, example.text_pair or "")):
                raise ValueError("no text")
            value = row.values.get(columns.label)
            # the task refuses null; "None" may be one of the choices
            if value is not None and value not in example.choices and (why := missing(value, keep_na=row.keep_na)):
                raise ValueError(f"no label: {why}")
            yield replace(example, gold=parse_gold(value, example))
        except ValueError as error:
            problems.add(row.number, str(error))


def hold_out(
    examples: Sequence[Example], *, fraction: float = 0.1, seed: int = 0, stratify: bool = True
) -> tuple[list[Example], list[Example]]:
    """Divides examples into a training and a held-out part: per label, drawn by `seed`, with equal texts on one side.

    Every label with at least two distinct texts is in both parts.
    """
    groups: dict[object, set[str | tuple[str, str]]] = defaultdict(set)
    for example in examples:
        groups[example.gold if stratify else None].add(example.texts)
    rng = random.Random(seed)
    held: set[str | tuple[str, str]] = set()
    for label in sorted(groups, key=str):
        texts = sorted(groups[label], key=str)
        rng.shuffle(texts)
        wanted = min(max(round(fraction * len(texts)), 1), len(texts) - 1)
        held.update(texts[:wanted])
    return (
        [example for example in examples if example.texts not in held],
        [example for example in examples if example.texts in held],
    )
