"""Excel's workbooks, as lines of CSV."""

from __future__ import annotations

import csv
import datetime
import io
import warnings
import zipfile
from collections.abc import Iterator, Sequence
from typing import Any

from albert.data.sources import require_file, require_whole
from albert.errors import AlbertError, ErrorKind, require_extra

ENDINGS = (".xlsx", ".xlsm")
_MOST_BYTES = 1 << 30  # of all parts, unpacked
_Rows = list[tuple[int, str]]


def sheet_lines(path: str) -> tuple[_Rows, tuple[str, ...]]:
    """(number, line of CSV) of each row of the first visible sheet that has any, and a remark if others have some, too.

    Blank rows are empty lines. Formulas have the values that Excel stored, dates are in ISO 8601. Raises `AlbertError`
    (bad-data) for another file, a damaged one, or one of more than 1 GiB unpacked.
    """
    openpyxl = require_extra("openpyxl", "data")
    require_whole(path, "a workbook")
    require_file(path)
    try:
        _require_small(path)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about what else stands in a workbook, such as pictures
            book = openpyxl.load_workbook(path, read_only=True, data_only=True)
            try:
                return _first_filled(path, [sheet for sheet in book.worksheets if sheet.sheet_state == "visible"])
            finally:
                book.close()
    except AlbertError:
        raise
    except Exception as error:  # openpyxl raises whatever a damaged file leads it to
        raise AlbertError(
            ErrorKind.DATA, path, expected="a whole workbook (.xlsx)", got=str(error)[:200], hint="save it as CSV"
        ) from None


def _require_small(path: str) -> None:
    with zipfile.ZipFile(path) as archive:
        size = sum(part.file_size for part in archive.infolist())
    if size > _MOST_BYTES:
        raise AlbertError(ErrorKind.DATA, path, expected=f"at most {_MOST_BYTES:,} bytes, unpacked", got=f"{size:,}")


def _first_filled(path: str, sheets: Sequence[Any]) -> tuple[_Rows, tuple[str, ...]]:
    for place, sheet in enumerate(sheets):
        rows = _rows(sheet)
        if any(line for _, line in rows):
            others = [other.title for other in sheets[place + 1 :] if any(_cells(other))]
            told = f"{path}: the sheet {sheet.title!r} was read, {', '.join(map(repr, others))} left out"
            return rows, (told,) if others else ()
    return [], ()


def _rows(sheet: Any) -> _Rows:
    return [(number, _line(cells)) for number, cells in enumerate(_cells(sheet), 1)]


def _cells(sheet: Any) -> Iterator[list[str]]:
    """The cells of each row, at least as many as in the first row that is not blank; none of a blank row."""
    sheet.reset_dimensions()  # those that a file states may be wrong
    width = 0
    for values in sheet.iter_rows(values_only=True):
        cells = list(map(_text, values))
        while cells and not cells[-1]:
            cells.pop()
        width = width or len(cells)
        yield cells + [""] * (width - len(cells)) if cells else []


def _line(cells: Sequence[str]) -> str:
    line = io.StringIO()
    csv.writer(line, lineterminator="").writerow(cells)
    return line.getvalue()


def _text(value: Any) -> str:
    match value:
        case None:
            return ""
        case bool():
            return str(value).upper()
        case float() if value.is_integer():
            return str(int(value))
        case datetime.datetime() if value.time() == datetime.time():
            return value.date().isoformat()
        case datetime.datetime() | datetime.date() | datetime.time():
            return value.isoformat()
        case _:
            return str(value)
