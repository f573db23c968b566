"""`albert lengthen`: a model with more positions."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from albert.cli.options import Model


def lengthen(
    model: Model,
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the longer model; made if need be.")],
    to: Annotated[int, typer.Option(help="How many pieces it is to read at once, such as 4096.")],
    window: Annotated[int, typer.Option(help="How many pieces around it each piece reads; an even number.")] = 256,
    global_tokens: Annotated[
        int, typer.Option(help="How many first pieces read the whole text, and are read by all of it.")
    ] = 1,
    global_question: Annotated[
        bool, typer.Option(help="The whole first text of a pair does, too: the question of a question and its text.")
    ] = True,
) -> None:
    """Give a model more positions, and attention through windows, so that long texts are read whole at linear cost.

    Fine-tune the result with `albert train --init OUT`.
    """
    from albert.export.lengthen import lengthen as run
    from albert.storage.files import require_folder

    require_folder(out)
    done = run(model, out, to=to, window=window, global_tokens=global_tokens, global_question=global_question)
    print(f"{done.before:,} -> {done.now:,} positions, windows of {window} -> {done.path}", file=sys.stderr)
