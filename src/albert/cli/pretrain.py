"""`albert pretrain`: a model from the shards of a corpus."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from albert.cli.options import AsJson, Overwrite, Quiet, Resume, Settings
from albert.cli.scores import print_scores


def pretrain(
    shards: Annotated[Path, typer.Argument(help="Folder that `albert prepare` made.")],
    out: Annotated[Path, typer.Option("--out", "-o", help="Folder for the model; made if need be.")],
    size: Annotated[str, typer.Option(help="Size of the network: tiny, mini, small, base, …")] = "small",
    init: Annotated[str | None, typer.Option(help="Model folder or hub id to go on from; else from scratch.")] = None,
    teacher: Annotated[
        str | None, typer.Option(help="Folder or hub id of a BERT or ALBERT whose vectors are learned from, too.")
    ] = None,
    settings: Settings = None,
    evaluation_rows: Annotated[int, typer.Option(min=1, help="Held-out instances an evaluation goes over.")] = 1024,
    tensorboard: Annotated[bool, typer.Option("--tensorboard", help="Metrics for TensorBoard, too.")] = False,
    resume: Resume = False,
    overwrite: Overwrite = False,
    quiet: Quiet = False,
    json: AsJson = False,
) -> None:
    """Pre-train on masked pieces and sentence order; under torchrun on many processes or machines."""
    from albert.pretraining.pretrain import pretrain as run
    from albert.pretraining.settings import PretrainConfig
    from albert.storage.files import require_folder
    from albert.training.progress import ConsoleProgress
    from albert.training.settings import parse_setting

    require_folder(out, inputs=(shards,))
    config = PretrainConfig(
        shards=shards,
        out=out,
        size=size,
        init=init,
        teacher=teacher,
        evaluation_rows=evaluation_rows,
        tensorboard=tensorboard,
        settings=dict(parse_setting(item) for item in settings or []),
    )
    result = run(config, resume=resume, overwrite=overwrite, progress=ConsoleProgress(quiet=quiet))
    if result.leads:
        print_scores({"folder": str(result.folder), "metric": "", "scores": result.scores}, as_json=json)
