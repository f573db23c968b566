"""Texts get labels by the names of the labels alone."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from albert.errors import AlbertError, ErrorKind
from albert.predict.labelling import label_file, label_texts, named_labels, parse_labels
from albert.predict.open import open_model
from albert.predict.pretrained import PretrainedModel
from albert.text.tokenizer import AlbertTokenizer
from served import write_model

LABELS = {"billing": "invoices and payments", "delivery": "where the parcel is"}
TEXTS = ["where the parcel is", "invoices and payments"]


@pytest.fixture(scope="module")
def model(tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> PretrainedModel:
    found = open_model(write_model(tmp_path_factory.mktemp("model") / "words", None, tokenizer))
    assert isinstance(found, PretrainedModel)
    return found


def test_the_nearest_vector_names_the_label(model: PretrainedModel, tmp_path: Path) -> None:
    found = label_texts(model, TEXTS, LABELS)
    assert [each["label"] for each in found] == ["delivery", "billing"]
    assert [each["score"] for each in found] == pytest.approx([1, 1], abs=1e-5)
    every = label_texts(model, TEXTS, LABELS, top_k=None)
    assert [[each["label"] for each in row] for row in every] == [["delivery", "billing"], ["billing", "delivery"]]
    assert [row[0] for row in every] == found
    (tmp_path / "texts.txt").write_text("\n".join(TEXTS) + "\n")
    label_file(model, str(tmp_path / "texts.txt"), str(tmp_path / "out.jsonl"), labels=LABELS)
    rows = [json.loads(line) for line in (tmp_path / "out.jsonl").read_text().splitlines()]
    assert [row["prediction"] for row in rows] == ["delivery", "billing"]
    label_file(model, str(tmp_path / "texts.txt"), str(tmp_path / "all.jsonl"), labels=LABELS, top_k=None)
    rows = [json.loads(line) for line in (tmp_path / "all.jsonl").read_text().splitlines()]
    assert [len(row["predictions"]) for row in rows] == [2, 2]
    assert np.all(np.diff([each["score"] for each in rows[0]["predictions"]]) <= 0)


def test_names_are_read_as_words(tmp_path: Path) -> None:
    assert parse_labels("card_lost, where-is-it=a parcel") == {"card_lost": "card lost", "where-is-it": "a parcel"}
    (tmp_path / "labels.txt").write_text("card_lost\n\nbilling = invoices, and payments\n")
    assert parse_labels(str(tmp_path / "labels.txt")) == {
        "card_lost": "card lost", "billing": "invoices, and payments",
    }  # fmt: skip
    assert named_labels(["a", "b"]) == named_labels({"a": "", "b": ""}) == {"a": "a", "b": "b"}


@pytest.mark.parametrize("text", ["", " ", "one", "a,,b", "a,a", "=x,b", ",", "a, a=b"])
def test_labels_that_are_none_are_refused(text: str) -> None:
    with pytest.raises(AlbertError, match="labels") as caught:
        parse_labels(text)
    assert caught.value.kind is ErrorKind.USAGE


def test_a_model_without_vectors_and_labels_as_one_text_are_refused(
    model: PretrainedModel, tokenizer: AlbertTokenizer, tmp_path: Path
) -> None:
    with pytest.raises(AlbertError, match="a model for similarity or retrieval"):
        label_texts(open_model(write_model(tmp_path / "ner", "ner", tokenizer)), TEXTS, LABELS)
    with pytest.raises(AlbertError, match="a list of texts"):
        label_texts(model, TEXTS, "billing,delivery")
    with pytest.raises(AlbertError, match="a list of texts"):
        label_texts(model, "a text", LABELS)


@pytest.mark.ci
def test_the_command_line_labels_a_stream() -> None:
    command = [sys.executable, "-m", "albert", "classify", "--labels"]
    texts = "the team won the match\nshares fell on the stock market\n"
    done = subprocess.run([*command, "sports,business"], input=texts, capture_output=True, text=True)
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["prediction"] for row in rows] == ["sports", "business"]
    done = subprocess.run([*command, ""], input=texts, capture_output=True, text=True)
    assert done.returncode == ErrorKind.USAGE.exit_code
    assert done.stderr.count("\n") == 1
