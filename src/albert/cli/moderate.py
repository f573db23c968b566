"""`albert moderate`: which texts of a file a classifier flags."""

from __future__ import annotations

from typing import Annotated, Unpack

import typer

from albert.cli.options import FullDepth, Model, Output, OutputFormat, Precision, Rows, data_options
from albert.cli.scores import tell_scored
from albert.data.reading import DataSource, RowOptions


@data_options
def moderate(
    model: Model,
    data: Rows = "-",
    out: Output = "-",
    safe_label: Annotated[
        list[str] | None, typer.Option(help="A label that flags no text; else ok, none, … Repeatable.")
    ] = None,
    precision: Precision = "auto",
    full_depth: FullDepth = False,
    output_format: OutputFormat = None,
    **reading: Unpack[RowOptions],
) -> None:
    """Flag the texts of a file that get another label than the harmless ones, as /v1/moderations does."""
    from albert.hub import model_files
    from albert.storage.files import require_output
    from albert.storage.records import Form

    require_output(out, inputs=(data, *model_files(model)))
    Form.of(out, output_format)
    from albert.predict.files import moderate_file
    from albert.predict.moderation import SAFE_LABELS
    from albert.predict.open import open_predictor

    source = DataSource(data, **reading)
    predictor = open_predictor(
        model,
        "moderations",
        precision=precision,  # type: ignore[arg-type]
        early_exit=not full_depth,
    ).fitted(source)
    scored = moderate_file(predictor, source, out, safe_labels=safe_label or SAFE_LABELS, output_format=output_format)
    tell_scored(scored, out, predictor.max_length)
