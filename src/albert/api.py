"""The Python API: `albert.train(...)` and `albert.load(...)`, each giving a `Predictor`."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from albert.engine import Precision
from albert.files import named
from albert.hub import model_folder
from albert.model.checkpoint import stored_head
from albert.predictor import Predictor
from albert.pretrained import PretrainedModel
from albert.training.dataset import FinetuneConfig
from albert.training.finetune import finetune
from albert.training.progress import ConsoleProgress


def train(
    data: str | Path,
    *,
    out: str | Path,
    dev: str | Path | None = None,
    task: str | None = None,
    text: str | None = None,
    text_pair: str | None = None,
    label: str | None = None,
    init: str | Path | None = None,
    tokenizer: str | Path | None = None,
    size: str | None = None,
    choices: str | None = None,
    metric: str | None = None,
    fallback: str | None = None,
    max_length: int | None = None,
    stride: int | None = None,
    early_exit: bool = False,
    exit_budget: float = 0.003,
    format: str | None = None,
    encoding: str = "utf-8",
    header: bool | None = None,
    word_column: int | None = None,
    tag_column: int | None = None,
    keep_na: bool = False,
    settings: dict[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
) -> Predictor:
    """Fine-tunes on a CSV, TSV, JSONL or CoNLL file, saves the best model in the folder `out` and returns it.

    Columns and task are guessed where they are not given; without `dev` a tenth is held out. `init` is a
    model folder or hub id to start from, the package's starter unless `size` names a network to train from
    scratch, on the vocabulary in the folder `tokenizer` or our English one. `fallback` is a label for texts that
    no other one fits; it is also the answer where none is likely enough. `header` says whether a table's first
    row names its columns, `word_column` and `tag_column` which of a CoNLL file's, counted from 1, are meant, and with
    `keep_na` cells like NA and None are values. `settings` are those of `albert train --set`. Raises `AlbertError`.
    """
    config = FinetuneConfig(
        train=str(data),
        out=named(out),
        dev=None if dev is None else str(dev),
        task=task,
        text=text,
        text_pair=text_pair,
        label=label,
        init=None if init is None else str(init),
        tokenizer=None if tokenizer is None else str(tokenizer),
        size=size,
        choices=choices,
        metric=metric,
        fallback=fallback,
        max_length=max_length,
        stride=stride,
        early_exit=early_exit,
        exit_budget=exit_budget,
        format=format,
        encoding=encoding,
        header=header,
        word_column=word_column,
        tag_column=tag_column,
        keep_na=keep_na,
        settings=settings or {},
    )
    result = finetune(config, resume=resume, overwrite=overwrite, progress=ConsoleProgress(quiet=quiet))
    return Predictor.load(result.folder)


def load(name: str | Path, *, precision: Precision = "auto", early_exit: bool = True) -> Predictor | PretrainedModel:
    """Loads a model from a folder, a hub id, or "starter", the pre-trained model that the package ships.

    A fine-tuned one predicts, a pre-trained one fills masks. `precision` and `early_exit` as for `Predictor.load`.
    Raises `AlbertError`.
    """
    folder = model_folder(name)
    if stored_head(folder) in ("masked_lm", "pretraining"):
        return PretrainedModel.load(folder)
    return Predictor.load(folder, precision=precision, early_exit=early_exit)
