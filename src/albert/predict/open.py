"""Opens a model of either kind: one that predicts, or one that fills masks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from albert.compute.precision import Precision
from albert.model.folder import ModelFolder
from albert.predict.abilities import require_ability
from albert.predict.predictor import Predictor
from albert.predict.pretrained import PretrainedModel
from albert.predict.writer import Writer


def open_model(
    name: str | Path | ModelFolder, *, precision: Precision | Literal["int8"] = "auto", early_exit: bool = True
) -> Predictor | PretrainedModel:
    """Loads a folder, a hub id or "starter": a `Predictor` if it is fine-tuned, else a `PretrainedModel`.

    One that writes texts is a `Writer`.

    `precision` and `early_exit` as for `Predictor.load`; a pre-trained model has neither int8 nor early exit. Raises
    `AlbertError`.
    """
    folder = ModelFolder.open(name)
    if folder.writes:
        return Writer.load(folder, precision=precision)
    if folder.pretrained:
        return PretrainedModel.load(folder, precision="auto" if precision == "int8" else precision)
    return Predictor.load(folder, precision=precision, early_exit=early_exit)


def load_predictor(
    name: str | Path,
    *,
    precision: Precision | Literal["int8"] = "auto",
    early_exit: bool = True,
    hardening: bool = True,
) -> Predictor:
    """A fine-tuned model: a `Writer` if it writes texts. Raises `AlbertError` (bad-model) for a pre-trained one."""
    folder = ModelFolder.open(name)
    if folder.writes:
        return Writer.load(folder, precision=precision, hardening=hardening)
    return Predictor.load(folder, precision=precision, early_exit=early_exit, hardening=hardening)


def open_predictor(
    name: str | Path, ability: str, *, precision: Precision | Literal["int8"] = "auto", early_exit: bool = True
) -> Predictor:
    """A fine-tuned model with this ability. Raises `AlbertError` (bad-model) for another one."""
    model = open_model(name, precision=precision, early_exit=early_exit)
    require_ability(model.abilities, ability, model.task.name if isinstance(model, Predictor) else "pre-training")
    assert isinstance(model, Predictor)
    return model
