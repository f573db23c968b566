"""Models exported to int8: gated by their scores, found again, damaged ones refused."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch

import albert
from albert.compute.quantized import Ranges, save_ranges
from albert.engine import calibrate
from albert.errors import AlbertError, ErrorKind
from albert.predict.predictor import Predictor
from albert.storage.files import INT8, MANIFEST
from conftest import Albert, write_reviews

pytestmark = pytest.mark.ci  # minutes altogether


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


def uneven(*told: Any) -> Any:
    """A calibration on texts in which one column of a product's inputs was by far the widest."""

    def of(ranges: Ranges) -> Ranges:
        return replace(ranges, sizes=torch.logspace(-6, 12, ranges.sizes.shape[1]).expand_as(ranges.sizes))

    return [{name: of(ranges) for name, ranges in block.items()} for block in calibrate(*told)]


def test_a_model_is_exported_and_answers_in_int8(
    model: tuple[Path, Path], albert: Albert, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, data = model
    with monkeypatch.context() as patch:
        patch.setattr("albert.export.int8.calibrate", uneven)
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


def test_a_damaged_calibration_is_refused(model: tuple[Path, Path], albert: Albert) -> None:
    folder, data = model
    plain = Predictor.load(folder, precision="fp32")("a great lamp")
    assert albert("export", folder, "--to", "int8", "--dev", data, "--force").returncode == 0
    whole = (folder / INT8).read_bytes()
    for damaged in (b"not tensors", b"", whole[:-1], bytes([*whole[:-1], whole[-1] ^ 1])):
        (folder / INT8).write_bytes(damaged)
        with pytest.raises(AlbertError, match=r"int8\.safetensors") as caught:
            Predictor.load(folder, precision="int8")
        assert caught.value.kind is ErrorKind.MODEL
        with pytest.raises(AlbertError, match=r"int8\.safetensors"):
            Predictor.load(folder, precision="fp32")
    (folder / MANIFEST).unlink()  # nothing vouches for it: it must be of the right form
    (folder / INT8).write_bytes(b"not tensors")
    with pytest.raises(AlbertError, match="int8 calibration"):
        Predictor.load(folder, precision="int8")
    (folder / INT8).unlink()
    assert Predictor.load(folder, precision="fp32")("a great lamp") == plain


def test_a_calibration_that_no_manifest_knows_is_not_used(
    model: tuple[Path, Path], tmp_path: Path, albert: Albert, caplog: pytest.LogCaptureFixture,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    folder, data = model
    monkeypatch.setattr("albert.predict.predictor.has_int8", lambda: True)
    assert albert("convert", folder, tmp_path / "m").returncode == 0
    assert albert("export", tmp_path / "m", "--to", "int8", "--dev", data, "--force").returncode == 0
    whole = (tmp_path / "m" / INT8).read_bytes()
    assert "int8" in repr(Predictor.load(tmp_path / "m"))
    assert albert("convert", folder, tmp_path / "other").returncode == 0
    (tmp_path / "other" / INT8).write_bytes(whole)
    with pytest.raises(AlbertError, match="not in manifest"):
        Predictor.load(tmp_path / "other", precision="int8")
    assert "int8" not in repr(Predictor.load(tmp_path / "other"))
    assert "does not vouch for it" in caplog.text


def test_the_same_export_gives_the_same_bytes(tmp_path: Path) -> None:
    """safetensors writes several entries of metadata in an order that is drawn by chance at every call."""
    told = {"metric": "accuracy", "before": "0.9", "after": "0.8", "dev": "dev.csv"}
    written = set()
    for _ in range(20):
        save_ranges(tmp_path / INT8, [], told)
        written.add((tmp_path / INT8).read_bytes())
    assert len(written) == 1
    assert b"accuracy" in written.pop()
