"""`albert train`: a fine-tuned model from a file of labelled texts."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated, Unpack

import typer

from albert.cli.options import (
    AsJson,
    DevFile,
    EarlyExit,
    Fallback,
    FallbackShare,
    Init,
    Metric,
    Overwrite,
    Quiet,
    Resume,
    Settings,
    Size,
    Vocabulary,
    data_options,
)
from albert.cli.scores import print_run
from albert.data.reading import DataOptions, DataSource


@data_options
def train(
    data: Annotated[str, typer.Argument(help="Labelled CSV, TSV, Excel, JSONL or CoNLL file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model; made if need be.")],
    dev: DevFile = None,
    init: Init = None,
    tokenizer: Vocabulary = None,
    size: Size = None,
    targets: Annotated[
        str | None, typer.Option(help="File with a target a line, beside one with a source a line (text2text).")
    ] = None,
    dev_targets: Annotated[str | None, typer.Option(help="The same beside the file of --dev.")] = None,
    metric: Metric = None,
    fallback: Fallback = None,
    fallback_share: FallbackShare = None,
    early_exit: EarlyExit = False,
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
    cascade_net: Annotated[
        bool, typer.Option("--cascade-net", help="Count texts that words alone answer better against worse ones.")
    ] = False,
    few_labels: Annotated[
        bool | None,
        typer.Option(
            "--few-labels/--no-few-labels",
            help="Learn a linear head on vectors. Default: only where a label has few rows.",
        ),
    ] = None,
    settings: Settings = None,
    seeds: Annotated[int | None, typer.Option(min=1, help="Train this many times, and print median and range.")] = None,
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
        fallback_share=fallback_share,
        early_exit=early_exit,
        exit_budget=exit_budget,
        hybrid=hybrid,
        cascade=cascade,
        cascade_budget=cascade_budget,
        cascade_net=cascade_net,
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
    print_run(result, as_json=json)


def _print_seeds(summary: dict[str, dict[str, float]], best: str, *, as_json: bool) -> None:
    if as_json:
        from json import dumps

        print(dumps({"best": best, "scores": summary}))
        return
    for name, values in summary.items():
        print(f"{name:12} {values['median']:.4f}  ({values['min']:.4f} to {values['max']:.4f})")
    print(f"best model -> {best}", file=sys.stderr)
