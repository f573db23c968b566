"""`albert export`: a smaller or faster form of a model."""

from __future__ import annotations

import sys
from typing import Annotated, Unpack

import typer

from albert.cli.options import AsJson, data_options, one_of
from albert.data.reading import DataSource, LabelledOptions
from albert.export import APART, TARGETS


@data_options
def export(
    model: Annotated[str, typer.Argument(help="Model folder.")],
    dev: Annotated[str, typer.Option(help="Labelled file on which the score is compared.")],
    to: Annotated[str, typer.Option(help=f"The form: {one_of(tuple(TARGETS))}.")] = "int8",
    out: Annotated[
        str | None, typer.Option("--out", "-o", help=f"New folder for {one_of(APART)}; others go beside the model.")
    ] = None,
    budget: Annotated[float, typer.Option(help="How much lower the score may be.")] = 0.005,
    force: Annotated[bool, typer.Option("--force", help="Export whatever the score.")] = False,
    json: AsJson = False,
    **options: Unpack[LabelledOptions],
) -> None:
    """Make a smaller or faster form of a model, for ONNX, OpenVINO or browsers; refused where its score falls."""
    from albert.errors import AlbertError, ErrorKind
    from albert.export import target_named

    target = target_named(to)
    if (out is None) == (to in APART):
        expected = "a new folder" if out is None else f"none for {to}, which is written beside the model"
        raise AlbertError(ErrorKind.USAGE, "--out", expected=expected, got="none" if out is None else repr(out))
    place = {} if out is None else {"out": out}
    done = target(model, DataSource(dev, **options), budget=budget, force=force, **place)
    if json:
        from json import dumps

        print(dumps({**vars(done), "path": str(done.path)}))
    else:
        print(f"{done.metric}: {done.before:.4f} before, {done.after:.4f} in {to}")
        print(f"{to} -> {done.path}", file=sys.stderr)
