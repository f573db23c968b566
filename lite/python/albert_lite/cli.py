"""`albert-lite predict MODEL [FILE]`: predictions for every row of a file, as JSON lines."""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from pathlib import Path
from typing import IO, Any

from albert_lite.library import LiteError
from albert_lite.model import Model, load
from albert_lite.rows import FORMATS, Columns, Row, rows_of

_PORTION = 1024  # rows between two writes


def main() -> None:
    """Runs the command line. A mistake outside our code is one line on standard error, and its kind the exit code."""
    arguments = _parser().parse_args()
    try:
        predict(arguments)
    except LiteError as error:
        sys.exit(_told(str(error), error.exit_code))
    except BrokenPipeError:
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except OSError as error:
        sys.exit(_told(f"error[disk] {error.filename or 'standard output'}: {error.strerror}", 74))
    except KeyboardInterrupt:
        sys.exit(130)


def predict(arguments: argparse.Namespace) -> None:
    """Writes every row with its prediction: "prediction" and "score", or a list if it may be none or several."""
    columns = Columns(arguments.text, arguments.text_pair, tuple(filter(None, (arguments.choices or "").split(","))))
    with _opened(arguments.file) as file:
        rows = rows_of(file, arguments.file, arguments.format)
        first = next(rows, None)
        if first is None:
            raise LiteError(f"error[bad-data] {arguments.file}: expected rows of data, got none", 65)
        model = load(arguments.model, precision=arguments.precision, threads=arguments.threads)
        columns = columns.or_of(model, first)
        with _written(arguments.output) as out:
            for portion in _portions(first, rows):
                out.writelines(_lines(model, columns, portion, arguments))
                out.flush()
    if model.cut:
        print(f"{model.cut:,} texts were longer than {model.about['max_length']} pieces, and cut", file=sys.stderr)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="albert-lite", description="ALBERT models without torch.")
    verb = parser.add_subparsers(required=True).add_parser("predict", help="Predict every row of a file.")
    verb.add_argument("model", help="A folder that `albert train` wrote.")
    verb.add_argument("file", nargs="?", default="-", help="Lines of text, CSV, TSV or JSON lines; -: standard input.")
    verb.add_argument("-o", "--output", default="-", help="JSON lines; -: standard output.")
    verb.add_argument("--format", choices=FORMATS, help="Else the name's ending decides.")
    verb.add_argument("--text", help="The column of texts.")
    verb.add_argument("--text-pair", help="The column of second texts.")
    verb.add_argument("--choices", help="The column of choices, or several with commas between.")
    verb.add_argument("--top-k", type=_count, default=1, help="How many labels a row; 0 gives all.")
    verb.add_argument("--aggregation", default="first", help="Pieces to entities: none, simple, first, average, max.")
    verb.add_argument("--max-answer", type=_count, default=30, help="Pieces of the longest answer.")
    verb.add_argument("--raw-scores", action="store_true", help="Logits of labels and numbers.")
    verb.add_argument("--precision", default="auto", help="auto, fp32, bf16 or int8.")
    verb.add_argument("--threads", type=_count, default=1, help="More than one needs a build with OpenMP.")
    return parser


def _count(text: str) -> int:
    number = int(text)
    if not 0 <= number <= 1_000_000:
        raise ValueError(text)
    return number


def _portions(first: Row, rows: Iterator[Row]) -> Iterator[list[Row]]:
    portion = [first, *islice(rows, _PORTION - 1)]
    while portion:
        yield portion
        portion = list(islice(rows, _PORTION))


def _lines(model: Model, columns: Columns, rows: Sequence[Row], arguments: argparse.Namespace) -> Iterator[str]:
    found = model(
        [columns.input(row) for row in rows],
        top_k=arguments.top_k or None,
        aggregation=arguments.aggregation,
        max_answer=arguments.max_answer,
        raw_scores=arguments.raw_scores,
    )
    single = arguments.top_k == 1 and not model.plural
    for row, said in zip(rows, found, strict=True):
        added = _best(model, said) if single else {model.plural or "predictions": said}
        yield json.dumps({**row.values, **added}, ensure_ascii=False) + "\n"


def _best(model: Model, said: dict[str, Any]) -> dict[str, Any]:
    return {"prediction": said.get("embedding", said[model.answer]), "score": said["score"]}


def _opened(name: str) -> IO[str]:
    if name == "-":
        sys.stdin.reconfigure(encoding="utf-8", errors="strict", newline="")  # type: ignore[union-attr]
        return sys.stdin
    return open(name, encoding="utf-8-sig", newline="")


@contextlib.contextmanager
def _written(name: str) -> Iterator[IO[str]]:
    """The output. A file appears when it is complete: until then it has another name."""
    if name == "-":
        sys.stdout.reconfigure(encoding="utf-8")  # type: ignore[union-attr]
        yield sys.stdout
        return
    part = Path(f"{name}.part")
    try:
        with part.open("w", encoding="utf-8") as file:
            yield file
        part.replace(name)
    except BaseException:
        part.unlink(missing_ok=True)
        raise


def _told(text: str, code: int) -> int:
    print(text, file=sys.stderr)
    return code


if __name__ == "__main__":
    main()
