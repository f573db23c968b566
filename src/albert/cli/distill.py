"""`albert distill`: a student that learns from labels and from what teachers say."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated, Unpack

import typer

from albert.cli.options import AsJson, Overwrite, Quiet, Resume, Settings, data_options
from albert.cli.scores import print_scores
from albert.data.reading import DataOptions, DataSource


@data_options
def distill(
    data: Annotated[str, typer.Argument(help="Labelled CSV, TSV or JSONL file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the student; made if need be.")],
    teacher: Annotated[
        list[str], typer.Option("--teacher", help="Fine-tuned model folder or hub id; repeatable, their mean teaches.")
    ],
    unlabelled: Annotated[str | None, typer.Option(help="File of texts without labels that teachers label.")] = None,
    temperature: Annotated[float, typer.Option(help="Softens the teachers' logits.")] = 2.0,
    teacher_weight: Annotated[float, typer.Option(help="The teachers' share of the loss; labels have the rest.")] = 0.7,
    dev: Annotated[str | None, typer.Option(help="File to evaluate on; else a tenth is held out.")] = None,
    init: Annotated[str | None, typer.Option(help="Model folder or hub id to start from; else our starter.")] = None,
    tokenizer: Annotated[str | None, typer.Option(help="Vocabulary folder for training from scratch.")] = None,
    size: Annotated[
        str | None, typer.Option(help="Train a network of this size from scratch instead: tiny, mini, small, base, …")
    ] = None,
    metric: Annotated[
        str | None, typer.Option(help="Dev score that decides, e.g. macro_f1 or mcc; else the task's own.")
    ] = None,
    fallback: Annotated[str | None, typer.Option(help="Label for texts that no other one fits.")] = None,
    early_exit: Annotated[
        bool, typer.Option("--early-exit", help="Heads behind every depth, so that easy texts are answered sooner.")
    ] = False,
    settings: Settings = None,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: AsJson = False,
    **options: Unpack[DataOptions],
) -> None:
    """Train a small model on labels and on the answers of larger ones, on unlabelled texts, too."""
    from albert.finetuning.dataset import FinetuneConfig
    from albert.finetuning.finetune import finetune
    from albert.storage.files import require_folder
    from albert.training.progress import ConsoleProgress
    from albert.training.settings import parse_setting

    require_folder(out, inputs=filter(None, (data, dev, unlabelled, *teacher)))
    config = FinetuneConfig(
        train=DataSource(data, **options),
        out=out,
        dev=dev,
        init=init,
        tokenizer=tokenizer,
        size=size,
        metric=metric,
        fallback=fallback,
        early_exit=early_exit,
        teachers=tuple(teacher),
        unlabelled=unlabelled,
        temperature=temperature,
        teacher_weight=teacher_weight,
        settings=dict(parse_setting(item) for item in settings or []),
    )
    result = finetune(config, resume=resume, overwrite=overwrite, progress=ConsoleProgress(quiet=quiet))
    facts = {"folder": str(result.folder), "metric": result.metric, "baseline": result.baseline}
    print_scores({**facts, "scores": result.scores}, as_json=json)
