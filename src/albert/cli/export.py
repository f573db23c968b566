"""`albert export`: a smaller or faster form of a model."""

from __future__ import annotations

import sys
from typing import Annotated, Unpack

import typer

from albert.cli.options import AsJson, data_options, one_of
from albert.data.reading import DataSource, LabelledOptions
from albert.export import TARGETS


@data_options
def export(
    model: Annotated[str, typer.Argument(help="Model folder.")],
    dev: Annotated[str, typer.Option(help="Labelled file on which the score is compared.")],
    to: Annotated[str, typer.Option(help=f"The form: {one_of(tuple(TARGETS))}.")] = "int8",
    budget: Annotated[float, typer.Option(help="How much lower the score may be.")] = 0.005,
    force: Annotated[bool, typer.Option("--force", help="Export whatever the score.")] = False,
    json: AsJson = False,
    **options: Unpack[LabelledOptions],
) -> None:
    """Make a smaller or faster form of a model, or one for ONNX Runtime; refused where its score falls."""
    from albert.export import target_named

    done = target_named(to)(model, DataSource(dev, **options), budget=budget, force=force)
    if json:
        from json import dumps

        print(dumps({**vars(done), "path": str(done.path)}))
    else:
        print(f"{done.metric}: {done.before:.4f} before, {done.after:.4f} in {to}")
        print(f"{to} -> {done.path}", file=sys.stderr)
