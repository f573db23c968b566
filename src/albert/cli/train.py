"""`albert train`: a fine-tuned model from a file of labelled texts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Unpack

import typer

from albert.cli.options import AsJson, Overwrite, Quiet, Resume, Settings, data_options
from albert.cli.scores import print_scores
from albert.data.reading import DataOptions, DataSource


@data_options
def train(
    data: Annotated[str, typer.Argument(help="Labelled CSV, TSV, JSONL or CoNLL file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model; made if need be.")],
    dev: Annotated[str | None, typer.Option(help="File to evaluate on; else a tenth is held out.")] = None,
    init: Annotated[str | None, typer.Option(help="Model folder or hub id to start from; else our starter.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Vocabulary folder for training from scratch.")] = None,
    size: Annotated[
        str | None, typer.Option(help="Train a network of this size from scratch instead: tiny, mini, small, base, …")
    ] = None,
    targets: Annotated[
        str | None, typer.Option(help="File with a target a line, beside one with a source a line (text2text).")
    ] = None,
    dev_targets: Annotated[str | None, typer.Option(help="The same beside the file of --dev.")] = None,
    metric: Annotated[
        str | None, typer.Option(help="Dev score that decides, e.g. macro_f1 or mcc; else the task's own.")
    ] = None,
    fallback: Annotated[
        str | None,
        typer.Option(help="Label for texts that no other one fits: also the answer where none is likely enough."),
    ] = None,
    early_exit: Annotated[
        bool, typer.Option("--early-exit", help="Heads behind every depth, so that easy texts are answered sooner.")
    ] = False,
    exit_budget: Annotated[float, typer.Option(help="Share of dev texts that early exit may answer worse.")] = 0.003,
    hybrid: Annotated[
        bool, typer.Option("--hybrid", help="A linear model on words beside the network; its weight is learned on dev.")
    ] = False,
    cascade: Annotated[
        bool, typer.Option("--cascade", help="A linear model on words answers alone where it is sure.")
    ] = False,
    cascade_budget: Annotated[
        float, typer.Option(help="Share of dev texts that words alone may answer worse.")
    ] = 0.003,
    few_labels: Annotated[
        bool | None,
        typer.Option("--few-labels/--no-few-labels", help="A linear head on vectors; else where a label has few rows."),
    ] = None,
    settings: Settings = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Train so many times, and tell median and spread.")] = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: AsJson = False,
    **options: Unpack[DataOptions],
) -> None:
    """Fine-tune on labelled texts: columns and task are guessed, progress shown, the best model saved."""
    from albert.finetuning.dataset import FinetuneConfig
    from albert.finetuning.finetune import finetune
    from albert.storage.files import require_folder
    from albert.training.progress import ConsoleProgress
    from albert.training.settings import parse_setting

    require_folder(out, inputs=filter(None, (data, dev, targets, dev_targets)))
    config = FinetuneConfig(
        train=DataSource(data, **options),
        out=out,
        dev=dev,
        init=init,
        tokenizer=tokenizer,
        size=size,
        targets=targets,
        dev_targets=dev_targets,
        metric=metric,
        fallback=fallback,
        early_exit=early_exit,
        exit_budget=exit_budget,
        hybrid=hybrid,
        cascade=cascade,
        cascade_budget=cascade_budget,
        few_labels=few_labels,
        settings=dict(parse_setting(item) for item in settings or []),
    )
    progress = ConsoleProgress(quiet=quiet)
    if seeds is not None:
        from albert.finetuning.seeds import finetune_seeds

        found = finetune_seeds(config, seeds, resume=resume, overwrite=overwrite, progress=progress)
        _print_seeds(found.summary, str(found.best.folder), as_json=json)
        return
    result = finetune(config, resume=resume, overwrite=overwrite, progress=progress)
    facts = {"folder": str(result.folder), "metric": result.metric, "baseline": result.baseline}
    print_scores({**facts, "scores": result.scores}, as_json=json)


def _print_seeds(summary: dict[str, dict[str, float]], best: str, *, as_json: bool) -> None:
    if as_json:
        from json import dumps

        print(dumps({"best": best, "scores": summary}))
        return
    for name, values in summary.items():
        print(f"{name:12} {values['median']:.4f}  ({values['min']:.4f} to {values['max']:.4f})")
    print(f"best model -> {best}", file=sys.stderr)
