"""Models exported to int8: gated by their scores, found again, damaged ones refused."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

import albert
from albert.engine import calibrate
from albert.engine.quantized import INT8, Ranges
from albert.errors import AlbertError
from albert.predictor import Predictor
from conftest import Albert, write_reviews


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("export")
    data = write_reviews(folder / "reviews.csv", rows=200)
    settings = {
        "hidden_size": 64, "num_attention_heads": 4, "intermediate_size": 128, "initializer_range": 0.1, "lr": 3e-3,
        "batch_size": 16, "epochs": 8.0, "precision": "fp32",
    }  # fmt: skip
    albert.train(data, out=folder / "out", size="tiny", settings=settings, quiet=True)
    return folder / "out", data


def without_ranges(*told: Any) -> Any:
    """A calibration on texts in which every input of a product was nearly 0."""
    return [
        {name: Ranges(*(1e-9 * getattr(ranges, field.name) for field in fields(ranges)))
         for name, ranges in block.items()}
        for block in calibrate(*told)
    ]  # fmt: skip


def test_a_model_is_exported_and_answers_in_int8(
    model: tuple[Path, Path], albert: Albert, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, data = model
    with monkeypatch.context() as patch:
        patch.setattr("albert.export.calibrate", without_ranges)
        refused = albert("export", folder, "--dev", data)
    assert refused.returncode == 66, refused.stderr
    assert "--force" in refused.stderr
    assert not (folder / INT8).exists()
    with pytest.raises(AlbertError, match="albert export"):
        Predictor.load(folder, precision="int8")
    done = albert("export", folder, "--to", "int8", "--dev", data)
    assert done.returncode == 0, done.stderr
    said = Predictor.load(folder, precision="int8")
    assert "int8" in repr(said)
    full = Predictor.load(folder, precision="fp32")
    texts = ["a lovely lamp", "a broken chair", "a great soup"]
    for one, other in zip(said(texts), full(texts), strict=True):
        assert one["label"] == other["label"]
        assert one["score"] == pytest.approx(other["score"], abs=0.05)
    assert said(texts) != full(texts)
    assert said.evaluate(data).scores["accuracy"] >= full.evaluate(data).scores["accuracy"] - 0.005


def test_a_new_training_forgets_the_old_calibration(model: tuple[Path, Path]) -> None:
    folder, data = model
    (folder / INT8).write_bytes(b"old")
    albert.train(data, out=folder, size="tiny", settings={"epochs": 1.0}, overwrite=True, quiet=True)
    assert not (folder / INT8).exists()


def test_a_damaged_calibration_is_refused(model: tuple[Path, Path]) -> None:
    folder, _ = model
    (folder / INT8).write_bytes(b"not tensors")
    with pytest.raises(AlbertError, match="int8 calibration"):
        Predictor.load(folder, precision="int8")
