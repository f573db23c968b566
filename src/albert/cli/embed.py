"""`albert embed`: the vector of every text of a file."""

from __future__ import annotations

from typing import Annotated, Unpack

import typer

from albert.cli.options import Model, OutputFormat, Precision, Rows, data_options
from albert.cli.scores import tell_scored
from albert.data.reading import DataSource, RowOptions


@data_options
def embed(
    model: Model,
    data: Rows = "-",
    out: Annotated[
        str,
        typer.Option(
            "--out", "-o", help="File for the result (.npy, .jsonl, .json, .csv, .tsv, also .gz, …); - is stdout."
        ),
    ] = "-",
    normalize: Annotated[
        bool, typer.Option("--normalize/--raw", help="Vectors of length 1, or as the model gives them.")
    ] = True,
    dimensions: Annotated[
        int | None, typer.Option(min=1, max=65_536, help="Numbers of a vector that are kept; else all.")
    ] = None,
    precision: Precision = "auto",
    output_format: OutputFormat = None,
    **reading: Unpack[RowOptions],
) -> None:
    """Turn the texts of a file into vectors: streaming, an interrupted call goes on; .npy holds the vectors alone."""
    from albert.hub import model_files
    from albert.predict.npy import form_of
    from albert.storage.files import require_output

    require_output(out, inputs=(data, *model_files(model)))
    form_of(out, output_format)
    from albert.predict.files import embed_file
    from albert.predict.open import open_model

    source = DataSource(data, **reading)
    loaded = open_model(model, precision=precision).fitted(source)  # type: ignore[arg-type]
    scored = embed_file(loaded, source, out, normalize=normalize, dimensions=dimensions, output_format=output_format)
    tell_scored(scored, out, loaded.max_length)
