"""The Python API: `albert.train(...)` and `albert.load(...)`, each giving a `Predictor`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Unpack

from albert.data.reading import DataOptions, DataSource, data_options
from albert.engine import Precision
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.hub import STARTER
from albert.predict.labelling import label_texts
from albert.predict.open import load_predictor, open_model
from albert.predict.predictor import Predictor
from albert.predict.pretrained import PretrainedModel
from albert.storage.files import named
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
    fallback_share: float | None = None,
    early_exit: bool = False,
    exit_budget: float = 0.003,
    hybrid: bool = False,
    cascade: bool = False,
    cascade_budget: float = 0.003,
    cascade_net: bool = False,
    few_labels: bool | None = None,
    settings: dict[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **options: Unpack[DataOptions],
) -> Predictor:
    """Fine-tunes on a CSV, TSV, Excel, JSONL or CoNLL file, saves the best model in the folder `out` and returns it.

    Columns and task are guessed where the options, those of `DataSource`, do not name them; without `dev` a tenth is
    held out. `init` is a model folder or hub id to start from, the package's starter unless `size` names a network to
    train from scratch, on the vocabulary in the folder `tokenizer` or our English one. `fallback` is a label for texts
    that no other one fits; it is also the answer where none is likely enough. `fallback_share` is the share of such
    texts that is expected in use, else that of dev. `targets` is a file with a target a line, beside `data` with a
    source a line, and `dev_targets` the same beside `dev`. With `hybrid` a linear model on words speaks beside the
    network, and with `cascade` it answers alone where it is sure. `few_labels`: whether a linear head on vectors is
    learned; None: where a label has few rows. `settings` are those of `albert train --set`. Raises `AlbertError`.
    """
    config = FinetuneConfig(
        train=DataSource.of(data, **options),
        out=named(out),
        dev=None if dev is None else str(dev),
        init=None if init is None else str(init),
        tokenizer=None if tokenizer is None else str(tokenizer),
        size=size,
        targets=None if targets is None else str(targets),
        dev_targets=None if dev_targets is None else str(dev_targets),
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
        settings=settings or {},
    )
    result = finetune(config, resume=resume, overwrite=overwrite, progress=ConsoleProgress(quiet=quiet))
    return load_predictor(result.folder)


@data_options
def distill(
    data: str | Path | DataSource,
    *,
    teachers: Sequence[str | Path],
    out: str | Path,
    unlabelled: str | Path | None = None,
    temperature: float = 2.0,
    teacher_weight: float = 0.7,
    dev: str | Path | None = None,
    init: str | Path | None = None,
    tokenizer: str | Path | None = None,
    size: str | None = None,
    metric: str | None = None,
    fallback: str | None = None,
    fallback_share: float | None = None,
    early_exit: bool = False,
    settings: dict[str, Any] | None = None,
    resume: bool = False,
    overwrite: bool = False,
    quiet: bool = False,
    **options: Unpack[DataOptions],
) -> Predictor:
    """Fine-tunes a student as `train` does, on labels and on what the fine-tuned `teachers` say.

    Their logits, softened by `temperature`, count `teacher_weight` of the loss; those of several are averaged. Texts of
    the file `unlabelled` have no other labels. Raises `AlbertError`.
    """
    config = FinetuneConfig(
        train=DataSource.of(data, **options),
        out=named(out),
        dev=None if dev is None else str(dev),
        init=None if init is None else str(init),
        tokenizer=None if tokenizer is None else str(tokenizer),
        size=size,
        metric=metric,
        fallback=fallback,
        fallback_share=fallback_share,
        early_exit=early_exit,
        teachers=tuple(map(str, teachers)),
        unlabelled=None if unlabelled is None else str(unlabelled),
        temperature=temperature,
        teacher_weight=teacher_weight,
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


def classify(
    texts: Sequence[str],
    labels: Sequence[str] | Mapping[str, str],
    *,
    model: str | Path | None = None,
    top_k: int | None = 1,
) -> list[Any]:
    """`{label, score}` of each text without training: the label whose vector is nearest, and the cosine.

    `labels` are names, or names with descriptions; `model` gives the vectors, the starter unless told otherwise. Where
    `top_k` is not 1, each text has a list of its nearest labels (None: of all). Raises `AlbertError`.
    """
    return label_texts(open_model(STARTER if model is None else model), texts, labels, top_k=top_k)
