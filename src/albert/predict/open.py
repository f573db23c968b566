"""Opening a model, whichever kind it is: one that predicts, or one that fills masks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from albert.compute.precision import Precision
from albert.model.folder import ModelFolder
from albert.predict.predictor import Predictor
from albert.predict.pretrained import PretrainedModel
from albert.predict.writer import Writer


def open_model(
    name: str | Path | ModelFolder, *, precision: Precision | Literal["int8"] = "auto", early_exit: bool = True
) -> Predictor | PretrainedModel:
    """Loads a folder, a hub id or "starter": a `Predictor` if it is fine-tuned, else a `PretrainedModel`.

    One that writes texts is a `Writer`.

    `precision` and `early_exit` as for `Predictor.load`, which a pre-trained model ignores. Raises `AlbertError`.
    """
    folder = ModelFolder.open(name)
    if folder.writes:
        return Writer.load(folder)
    if folder.pretrained:
        return PretrainedModel.load(folder)
    return Predictor.load(folder, precision=precision, early_exit=early_exit)
