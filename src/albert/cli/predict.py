"""`albert predict`: predictions for every row of a file."""

from __future__ import annotations

from typing import Annotated, Unpack

import typer

from albert.cli.options import FullDepth, Model, Output, OutputFormat, Precision, Rows, data_options
from albert.cli.scores import tell_scored
from albert.data.reading import DataSource, TextOptions


@data_options
def predict(
    model: Model,
    data: Rows = "-",
    out: Output = "-",
    top_k: Annotated[int, typer.Option(min=0, max=1_000_000, help="How many labels a row; 0 gives all.")] = 1,
    aggregation: Annotated[str, typer.Option(help="Pieces to entities: none, simple, first, average, max.")] = "first",
    max_answer: Annotated[
        int, typer.Option(min=1, max=65_536, help="Pieces of the longest answer to a question.")
    ] = 30,
    no_answer: Annotated[
        bool | None,
        typer.Option("--no-answer/--always-answer", help='Whether "" may answer a question; else as trained.'),
    ] = None,
    raw_scores: Annotated[bool, typer.Option("--raw-scores", help="Logits of labels and numbers.")] = False,
    precision: Precision = "auto",
    full_depth: FullDepth = False,
    output_format: OutputFormat = None,
    **reading: Unpack[TextOptions],
) -> None:
    """Predict every row of a file: streaming, all input columns kept, an interrupted call goes on."""
    from albert.hub import model_files
    from albert.storage.files import require_output
    from albert.storage.records import Form

    require_output(out, inputs=(data, *model_files(model)))
    Form.of(out, output_format)  # refuses before anything is imported, too
    from albert.predict.files import score_file
    from albert.predict.open import load_predictor
    from albert.tasks import DecodeOptions

    options = DecodeOptions(
        top_k=top_k or None,
        aggregation=aggregation,
        max_answer=max_answer,
        no_answer=no_answer,
        raw_scores=raw_scores,
    )
    predictor = load_predictor(model, precision=precision, early_exit=not full_depth)  # type: ignore[arg-type]
    source = DataSource(data, **reading)
    predictor = predictor.fitted(source)
    scored = score_file(predictor, source, out, options=options, output_format=output_format)
    tell_scored(scored, out, predictor.lengths.max_length)
