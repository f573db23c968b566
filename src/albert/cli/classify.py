"""`albert classify`: labels for the texts of a file, by the names of the labels alone."""

from __future__ import annotations

from typing import Annotated, Unpack

import typer

from albert.cli.options import Output, OutputFormat, Precision, Rows, data_options
from albert.cli.scores import tell_scored
from albert.data.reading import DataSource, RowOptions


@data_options
def classify(
    data: Rows = "-",
    out: Output = "-",
    *,
    labels: Annotated[
        str,
        typer.Option(
            help='Labels with commas between, descriptions behind =: "billing=invoices,praise"; '
            "or a file with a label in each line."
        ),
    ],
    model: Annotated[str, typer.Option(help="Model folder or hub id that gives texts vectors; else our starter.")] = "",
    top_k: Annotated[int, typer.Option(min=0, max=1_000_000, help="How many labels a row; 0 gives all.")] = 1,
    precision: Precision = "auto",
    output_format: OutputFormat = None,
    **reading: Unpack[RowOptions],
) -> None:
    """Label the texts of a file without training: each gets the label whose vector is nearest to its own."""
    from albert.hub import STARTER, model_files
    from albert.storage.files import require_output
    from albert.storage.records import Form

    model = model or STARTER
    require_output(out, inputs=(data, *model_files(model)))
    Form.of(out, output_format)
    from albert.predict.labelling import label_file, parse_labels
    from albert.predict.open import open_model

    source = DataSource(data, **reading)
    wanted = parse_labels(labels, encoding=source.encoding)
    loaded = open_model(model, precision=precision).fitted(source)  # type: ignore[arg-type]
    scored = label_file(loaded, source, out, labels=wanted, top_k=top_k or None, output_format=output_format)
    tell_scored(scored, out, loaded.max_length)
