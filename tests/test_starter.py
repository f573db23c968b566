"""The pre-trained model in the package: it loads offline, knows English, and is where fine-tuning starts."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

import albert
from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.dataset import FinetuneConfig
from albert.hub import STARTER, model_folder
from albert.predict.pretrained import PretrainedModel
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert

TEXT = (
    "The ferry leaves the harbour at seven in the morning and comes back before it gets dark. "
    "Most of the people who live on the island work in the town, so the boat is full on every day of the week. "
    "In winter, when the wind is too strong, they stay at home and wait."
)


@pytest.fixture(scope="module")
def starter() -> PretrainedModel:
    loaded = albert.load(STARTER)
    assert isinstance(loaded, PretrainedModel)
    return loaded


def test_it_is_small_and_complete() -> None:
    files = {path.name: path.stat().st_size for path in model_folder(STARTER).iterdir()}
    assert {"config.json", "model.safetensors", "spiece.model", "tokenizer.json", "README.md"} <= set(files)
    assert files.pop("model.safetensors") < 16e6
    assert sum(files.values()) < 4e6


def test_its_vocabulary_is_our_english_one(starter: PretrainedModel) -> None:
    assert starter.tokenizer.vocabulary == AlbertTokenizer.english().vocabulary


@torch.inference_mode()
def test_it_expects_the_words_that_are_there(starter: PretrainedModel) -> None:
    """The loss of each piece, hidden in turn, is far below that of guessing by frequency alone (about 7)."""
    ids = starter.tokenizer(TEXT).input_ids
    hidden = torch.tensor(ids).repeat(len(ids) - 2, 1)
    places = torch.arange(len(ids) - 2)
    hidden[places, places + 1] = 4
    mlm, _ = starter.model(hidden)
    loss = torch.nn.functional.cross_entropy(mlm[places, places + 1], torch.tensor(ids[1:-1]))
    assert float(loss) < 4.5


def test_transformers_computes_the_same(starter: PretrainedModel) -> None:
    from transformers import AlbertForPreTraining

    theirs = AlbertForPreTraining.from_pretrained(model_folder(STARTER), dtype=torch.float32)
    encoding = starter.tokenizer(TEXT, "It is a long way.")
    ids, types = torch.tensor([encoding.input_ids]), torch.tensor([encoding.token_type_ids])
    with torch.inference_mode():
        mlm, sop = starter.model(ids, token_type_ids=types)
        out = theirs(ids, token_type_ids=types)
    assert torch.allclose(out.prediction_logits, mlm, atol=1e-4)
    assert torch.allclose(out.sop_logits, sop, atol=1e-4)


def test_training_starts_from_it_unless_told_otherwise(tmp_path: Path) -> None:
    places: dict[str, Path] = {"out": tmp_path}
    assert FinetuneConfig(train=DataSource("x.csv"), **places).init == STARTER  # type: ignore[arg-type]
    assert FinetuneConfig(train=DataSource("x.csv"), size="tiny", **places).init is None  # type: ignore[arg-type]
    assert FinetuneConfig(train=DataSource("x.csv"), tokenizer="v", **places).size == "tiny"  # type: ignore[arg-type]
    with pytest.raises(AlbertError, match="both") as caught:
        FinetuneConfig(train=DataSource("x.csv"), init="m", size="tiny", **places)  # type: ignore[arg-type]
    assert caught.value.kind is ErrorKind.USAGE


def test_its_sizes_are_not_settings(albert: Albert, reviews: Path, tmp_path: Path) -> None:
    done = albert("train", reviews, "-o", tmp_path / "out", "--quiet", "--set", "hidden_size=64")
    assert done.returncode == 78
    assert "hidden_size of starter" in done.stderr
    assert "--size" in done.stderr


def test_a_folder_of_that_name_comes_first(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / STARTER).mkdir()
    monkeypatch.chdir(tmp_path)
    assert model_folder(STARTER) == Path(STARTER)
