"""`albert rerank`: the texts of a file by how well they fit a query."""

from __future__ import annotations

import sys
from typing import Annotated, Unpack

import typer

from albert.cli.options import AsJson, Model, Precision, Rows, data_options
from albert.cli.scores import tell_cut
from albert.data.reading import DataSource, RowOptions


@data_options
def rerank(
    model: Model,
    data: Rows = "-",
    *,
    query: Annotated[str, typer.Option(help="What the texts are to fit.")],
    top_k: Annotated[int, typer.Option(min=0, help="How many of the best texts; 0 gives all.")] = 10,
    raw_scores: Annotated[
        bool, typer.Option("--raw-scores", help="Of a cross-encoder: its number instead of the sigmoid of it.")
    ] = False,
    precision: Precision = "auto",
    json: AsJson = False,
    **reading: Unpack[RowOptions],
) -> None:
    """Rank the texts of a file by how well they fit a query, best first, as /rerank does."""
    from albert.predict.files import rerank_file
    from albert.predict.open import open_predictor

    source = DataSource(data, **reading)
    predictor = open_predictor(model, "rerank", precision=precision).fitted(source)  # type: ignore[arg-type]
    ranks, remarks = rerank_file(predictor, query, source, raw_scores=raw_scores)
    ranks = ranks[: top_k or None]
    if json:
        from json import dumps

        print(dumps(ranks, ensure_ascii=False))
    else:
        for rank in ranks:
            print(f"{rank['score']:8.4f}  {' '.join(rank['text'].split())}")
    tell_cut(predictor.cut, predictor.max_length)
    for remark in remarks:
        print(remark, file=sys.stderr)
