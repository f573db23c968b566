"""`albert distill`: a student that learns from labels and from the answers of teachers."""

from __future__ import annotations

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
def distill(
    data: Annotated[str, typer.Argument(help="Labelled CSV, TSV, Excel or JSONL file.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the student; made if need be.")],
    teacher: Annotated[
        list[str], typer.Option("--teacher", help="Fine-tuned model folder or hub id; repeatable, their mean teaches.")
    ],
    unlabelled: Annotated[str | None, typer.Option(help="File of texts without labels that teachers label.")] = None,
    temperature: Annotated[float, typer.Option(help="Softens the teachers' logits.")] = 2.0,
    teacher_weight: Annotated[float, typer.Option(help="The teachers' share of the loss; labels have the rest.")] = 0.7,
    dev: DevFile = None,
    init: Init = None,
    tokenizer: Vocabulary = None,
    size: Size = None,
    metric: Metric = None,
    fallback: Fallback = None,
    fallback_share: FallbackShare = None,
    early_exit: EarlyExit = False,
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
        fallback_share=fallback_share,
        early_exit=early_exit,
        teachers=tuple(teacher),
        unlabelled=unlabelled,
        temperature=temperature,
        teacher_weight=teacher_weight,
        settings=dict(parse_setting(item) for item in settings or []),
    )
    result = finetune(config, resume=resume, overwrite=overwrite, progress=ConsoleProgress(quiet=quiet))
    print_run(result, as_json=json)
