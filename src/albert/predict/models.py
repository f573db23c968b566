"""Any model by its name: a fine-tuned one predicts, a pre-trained one fills masks."""

from __future__ import annotations

from pathlib import Path
from typing import Literal

from albert.engine import Precision
from albert.hub import model_folder
from albert.model.checkpoint import stored_head
from albert.predict.abilities import require_ability
from albert.predict.predictor import Predictor
from albert.predict.pretrained import PretrainedModel


def load_model(
    name: str | Path, *, precision: Precision | Literal["int8"] = "auto", early_exit: bool = True
) -> Predictor | PretrainedModel:
    """The model in a folder or under a hub id; the options are those of `Predictor.load`. Raises `AlbertError`."""
    folder = model_folder(name)
    if stored_head(folder) in ("masked_lm", "pretraining"):
        return PretrainedModel.load(folder, precision="auto" if precision == "int8" else precision)
    return Predictor.load(folder, precision=precision, early_exit=early_exit)


def load_predictor(
    name: str | Path, ability: str, *, precision: Precision | Literal["int8"] = "auto", early_exit: bool = True
) -> Predictor:
    """A fine-tuned model with this ability. Raises `AlbertError` (bad-model) for another one."""
    model = load_model(name, precision=precision, early_exit=early_exit)
    require_ability(model.abilities, ability, model.task.name if isinstance(model, Predictor) else "pre-training")
    assert isinstance(model, Predictor)
    return model
