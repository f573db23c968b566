"""`albert convert`: a model in another layout or number format."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from albert.cli.options import Model, one_of
from albert.export import LAYOUTS


def convert(
    model: Model,
    out: Annotated[Path, typer.Argument(help="Folder for the same model; made if need be.")],
    to: Annotated[str | None, typer.Option(help=f"Layout of the weights, {one_of(LAYOUTS)}; else theirs.")] = None,
    dtype: Annotated[str, typer.Option(help="Their number format: float32, float16 or bfloat16.")] = "float32",
) -> None:
    """Write a model in another layout or number format; transformers reads all of them."""
    from albert.export.layouts import convert as run
    from albert.storage.files import require_folder

    require_folder(out)
    done = run(model, out, to=to, dtype=dtype)
    print(f"{done.architecture}, {done.dtype} -> {done.path}", file=sys.stderr)
