"""The Python API: `albert.train(...)` and `albert.load(...)`, each giving a `Predictor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Unpack

from albert.data.reading import DataOptions, DataSource, data_options
from albert.engine import Precision
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.predict.open import load_predictor, open_model
from albert.predict.predictor import Predictor
from albert.predict.pretrained import PretrainedModel
from albert.training.progress import ConsoleProgress


@data_options
def train(
    data: str | Path | DataSource,
    *,
    out: str | Path,
    dev: str | Path | None = None,
    init: str | Path | None = None,
    tokenizer: str | Path | None = None,
    size: str | None = None,
    targets: str | Path | None = None,
    dev_targets: str | Path | None = None,
    metric: str | None = None,
    fallback: str | None = None,
    early_exit: bool = False,
    exit_budget: float = 0.003,
    settings: dict[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **options: Unpack[DataOptions],
) -> Predictor:
    """Fine-tunes on a CSV, TSV, JSONL or CoNLL file, saves the best model in the folder `out` and returns it.

    Columns and task are guessed where the options, those of `DataSource`, do not name them; without `dev` a tenth is
    held out. `init` is a model folder or hub id to start from, the package's starter unless `size` names a network to
    train from scratch, on the vocabulary in the folder `tokenizer` or our English one. `fallback` is a label for texts
    that no other one fits; it is also the answer where none is likely enough. `targets` is a file with a target a line,
    beside `data` with a source a line, and `dev_targets` the same beside `dev`. `settings` are those of
    `albert train --set`. Raises `AlbertError`.
    """
    config = FinetuneConfig(
        train=DataSource.of(data, **options),
        out=Path(out),
        dev=None if dev is None else str(dev),
        init=None if init is None else str(init),
        tokenizer=None if tokenizer is None else str(tokenizer),
        size=size,
        targets=None if targets is None else str(targets),
        dev_targets=None if dev_targets is None else str(dev_targets),
        metric=metric,
        fallback=fallback,
        early_exit=early_exit,
        exit_budget=exit_budget,
        settings=settings or {},
    )
    result = finetune(config, resume=resume, overwrite=overwrite, progress=ConsoleProgress(quiet=quiet))
    return load_predictor(result.folder)


def load(name: str | Path, *, precision: Precision = "auto", early_exit: bool = True) -> Predictor | PretrainedModel:
    """Loads a model from a folder, a hub id, or "starter", the pre-trained model that the package ships.

    A fine-tuned one predicts or writes texts, a pre-trained one fills masks. `precision` and `early_exit` as for
    `Predictor.load`. Raises `AlbertError`.
    """
    return open_model(name, precision=precision, early_exit=early_exit)
