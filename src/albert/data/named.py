"""The columns of texts, found by their names only. For models that have not read a file of ours."""

from __future__ import annotations

from albert.data.examples import Columns, choice_columns
from albert.data.tables import PAIR_NAMES, TEXT_NAMES, Table


def named_texts(table: Table, *, pairs: bool, choices: bool) -> Columns | None:
    """A column of texts, or two if `pairs` are allowed; with `choices`, those too. None if no name is known."""
    by_name = {name.lower(): name for name in table.columns}
    listed = choice_columns(table) if choices else ()
    if choices and not listed:
        return None
    for first, second in PAIR_NAMES if pairs else ():
        if first in by_name and second in by_name:
            return Columns(by_name[first], by_name[second], choices=listed)
    named = [by_name[name] for name in TEXT_NAMES if name in by_name and by_name[name] not in listed]
    return Columns(named[0], choices=listed) if named else None
