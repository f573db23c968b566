"""`albert generate` and `albert translate`: texts for the rows of a file, by a model that writes."""

from __future__ import annotations

from typing import Annotated, Any, Unpack

import typer

from albert.cli.options import Model, Output, OutputFormat, Precision, Rows, data_options
from albert.cli.scores import tell_scored
from albert.data.reading import DataSource, TextOptions

Beam = Annotated[int, typer.Option(min=1, max=64, help="Number of hypotheses followed at a time; 1 writes greedily.")]
Best = Annotated[
    int, typer.Option(min=1, max=64, help="Texts per row, best first; at most the beam, unless they are drawn.")
]
LengthPenalty = Annotated[float, typer.Option(help="Above 0 favours longer texts; hypotheses compete by it.")]
Exhaustive = Annotated[bool, typer.Option("--exhaustive", help="Go on searching until no other text can win.")]
Sample = Annotated[
    bool, typer.Option("--sample", help="Draw pieces at random; --temperature, --top-k and --top-p do so, too.")
]
Temperature = Annotated[
    float | None, typer.Option(help="Sharpens the draws: below 1, more likely pieces are drawn more often.")
]
TopK = Annotated[int | None, typer.Option(help="Draw among this many most likely pieces.")]
TopP = Annotated[float | None, typer.Option(help="Draw among the fewest pieces that together have this probability.")]
Seed = Annotated[int, typer.Option(help="Seed of the draws.")]
NoRepeat = Annotated[int, typer.Option(help="No run of this many pieces comes twice; 0: no such rule.")]
Repetition = Annotated[float, typer.Option(help="Above 1, pieces that were written before become less likely.")]
Prefix = Annotated[str, typer.Option(help="How every text begins.")]
Words = Annotated[str, typer.Option(help="Words that every text contains, in any order, with commas between.")]
MinLength = Annotated[int, typer.Option(help="Length of the shortest text, in pieces.")]
MaxNew = Annotated[int, typer.Option(help="Length of the longest text, in pieces.")]
Alignments = Annotated[bool, typer.Option("--alignments", help="Also the source's parts behind each piece, as JSON.")]
TokenScores = Annotated[bool, typer.Option("--token-scores", help="Also the log-probability of each piece, as JSON.")]


@data_options
def generate(
    model: Model,
    data: Rows = "-",
    out: Output = "-",
    beam: Beam = 1,
    best: Best = 1,
    length_penalty: LengthPenalty = 1.0,
    exhaustive: Exhaustive = False,
    sample: Sample = False,
    temperature: Temperature = None,
    top_k: TopK = None,
    top_p: TopP = None,
    seed: Seed = 0,
    no_repeat_ngram: NoRepeat = 0,
    repetition_penalty: Repetition = 1.0,
    prefix: Prefix = "",
    words: Words = "",
    min_new: MinLength = 1,
    max_new: MaxNew = 256,
    precision: Precision = "auto",
    token_scores: TokenScores = False,
    alignments: Alignments = False,
    output_format: OutputFormat = None,
    **reading: Unpack[TextOptions],
) -> None:
    """Write a text for every row of a file: streaming, all input columns kept, an interrupted call goes on."""
    drawn = {"temperature": temperature, "sampling_top_k": top_k, "top_p": top_p}
    given = {name: value for name, value in drawn.items() if value is not None}
    options = {
        "beam": beam, "length_penalty": length_penalty, "early_stop": not exhaustive, "sample": sample or bool(given),
        "seed": seed, "no_repeat_ngram": no_repeat_ngram, "repetition_penalty": repetition_penalty, "prefix": prefix,
        "words": _listed(words), "min_length": min_new, "max_length": max_new, "token_scores": token_scores,
        "alignments": alignments, **given,
    }  # fmt: skip
    _write(
        model, data, out, best=best, options=options, precision=precision, output_format=output_format, reading=reading
    )


@data_options
def translate(
    model: Model,
    data: Rows = "-",
    out: Output = "-",
    beam: Beam = 4,
    best: Best = 1,
    length_penalty: LengthPenalty = 1.0,
    prefix: Prefix = "",
    words: Words = "",
    max_new: MaxNew = 256,
    precision: Precision = "auto",
    output_format: OutputFormat = None,
    **reading: Unpack[TextOptions],
) -> None:
    """Translate every row of a file by beam search: the same as `albert generate` with a beam of 4."""
    options = {"beam": beam, "length_penalty": length_penalty, "prefix": prefix, "words": _listed(words),
               "max_length": max_new}  # fmt: skip
    _write(
        model, data, out, best=best, options=options, precision=precision, output_format=output_format, reading=reading
    )


def _listed(words: str) -> tuple[str, ...]:
    return tuple(word.strip() for word in words.split(",")) if words else ()


def _write(
    model: str,
    data: str,
    out: str,
    *,
    best: int,
    options: dict[str, Any],
    precision: str,
    output_format: str | None,
    reading: TextOptions,
) -> None:
    from albert.hub import model_files
    from albert.storage.files import require_output
    from albert.storage.records import Form

    require_output(out, inputs=(data, *model_files(model)))
    Form.of(out, output_format)  # refuses before anything is imported, too
    from albert.generation.options import GenerationOptions
    from albert.predict.files import score_file
    from albert.predict.open import open_predictor
    from albert.tasks import DecodeOptions

    # With facts of each piece a row gets all that is known of its texts, as a list.
    generation = GenerationOptions(**options)
    generation.require_answers(best)
    facts = generation.token_scores or generation.alignments
    count = None if facts and best == generation.beam == 1 else best
    predictor = open_predictor(model, "generate", precision=precision)  # type: ignore[arg-type]
    source = DataSource(data, **reading)
    decoding = DecodeOptions(top_k=count, generation=generation)
    scored = score_file(predictor, source, out, options=decoding, output_format=output_format)
    tell_scored(scored, out, predictor.lengths.max_length)
