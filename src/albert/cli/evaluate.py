"""`albert evaluate`: the scores of a model, and gates that fail a build."""

from __future__ import annotations

import sys
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Unpack

import typer

from albert.cli.options import AsJson, FullDepth, Model, Precision, data_options
from albert.cli.scores import print_scores, tell_cut
from albert.data.reading import DataSource, LabelledOptions


@data_options
def evaluate(
    model: Model,
    data: Annotated[
        str | None, typer.Argument(help="Labelled file, SQuAD's or DREAM's JSON, RACE's folder; GLUE's with --glue.")
    ] = None,
    glue: Annotated[str | None, typer.Option(help="GLUE task whose dev part is scored, e.g. RTE.")] = None,
    squad: Annotated[bool, typer.Option("--squad", help="Score as SQuAD's scorers do, 1.1 or 2.0.")] = False,
    race: Annotated[bool, typer.Option("--race", help="Score RACE's folder, middle and high apart.")] = False,
    submission: Annotated[
        Path | None,
        typer.Option(help="Folder for predictions as the sites take them: GLUE's test part, SQuAD's questions."),
    ] = None,
    behaviour: Annotated[
        str | None, typer.Option(help="Behavioural tests: a TOML file, or sentiment, paraphrase, entailment, qa.")
    ] = None,
    attack: Annotated[
        str | None,
        typer.Option(help="Score attacked texts too: homoglyph,invisible,reorder,delete,leetspeak, or some of them."),
    ] = None,
    budget: Annotated[str, typer.Option(help="Places of a text that an attack changes, e.g. 3 or 1..5.")] = "1..5",
    trials: Annotated[int, typer.Option(help="Attacked forms per text; the worst one counts.", min=1)] = 1,
    seed: Annotated[int, typer.Option(help="Of the attacks.")] = 0,
    no_hardening: Annotated[
        bool, typer.Option("--no-hardening", help="Read texts as they are, although the model hardens them.")
    ] = False,
    precision: Precision = "auto",
    full_depth: FullDepth = False,
    minimum: Annotated[
        list[str] | None,
        typer.Option("--min", help="Least score, e.g. accuracy=0.85; exit 4 if missed. Repeatable."),
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", "-o", help="JSON file for the scores.")] = None,
    report: Annotated[Path | None, typer.Option(help="HTML file for the report: pictures, errors, data.")] = None,
    json: AsJson = False,
    **options: Unpack[LabelledOptions],
) -> None:
    """Score a model on a labelled file, beside a baseline that does not read."""
    from albert.cli import evaluations as run
    from albert.cli.gates import check_gates, parse_gates
    from albert.hub import model_files
    from albert.predict.open import load_predictor
    from albert.report import write_report
    from albert.storage.files import require_folder, require_output

    for path in filter(None, (out, report)):
        require_output(path, inputs=filter(None, (data, *model_files(model))))
    if submission is not None:
        require_folder(submission)
    if out is not None and report is not None:
        run.require_distinct({"--out": out, "--report": report})
    gates = parse_gates(minimum or [])
    if behaviour is not None:
        check_gates(gates, run.run_behaviour(model, behaviour, as_json=json))
        return
    if glue is not None:
        check_gates(gates, run.run_glue(model, glue, run.require_data(data), submission=submission, as_json=json))
        return
    predictor = load_predictor(
        model,
        precision=precision,  # type: ignore[arg-type]
        early_exit=not full_depth,
        hardening=not no_hardening,
    )
    if squad or race:
        run.require_task(predictor, "qa" if squad else "choice")
    source = DataSource(run.require_data(data), **options)
    predictor = predictor.fitted(source)
    result = predictor.evaluate(source)
    if race:
        result = replace(result, scores=run.race_accuracies(result))
    if squad and submission is not None:
        print(f"answers -> {run.write_squad(result, submission)}", file=sys.stderr)
    tell_cut(predictor.cut, predictor.lengths.max_length)
    for remark in result.remarks:
        print(remark, file=sys.stderr)
    if out is not None:
        result.save(out)
    if report is not None:
        write_report(report, result.facts)
        print(f"report -> {report}", file=sys.stderr)
    if attack is not None:
        found = run.run_attacks(predictor, result, attack, budget, trials=trials, seed=seed)
        check_gates(gates, run.print_attacks(result, found, as_json=json))
        return
    names = ("rows", "metric", "baseline", "interval", "calibration_error", "scores")
    print_scores({name: getattr(result, name) for name in names}, as_json=json)
    check_gates(gates, result.scores)
