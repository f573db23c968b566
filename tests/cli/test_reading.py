"""The options that say how a file is read, on every verb that reads one."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert
from served import write_model


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "classification", tokenizer)


def predicted(done: object) -> list[str]:
    return [json.loads(line)["text"] for line in done.stdout.splitlines()]  # type: ignore[attr-defined]


@pytest.mark.parametrize("word", ["title", "label", "text"])
def test_a_single_line_is_a_text(albert: Albert, model: Path, word: str) -> None:
    done = albert("predict", model, input=f"{word}\n")
    assert (done.returncode, predicted(done)) == (0, [word])


def test_the_column_of_training_may_head_a_stream(albert: Albert, model: Path) -> None:
    content = "text\na film, they say\nanother\n"
    done = albert("predict", model, input=content)
    assert predicted(done) == ["a film, they say", "another"]
    assert "the first row was taken as names of columns, 'text'; --no-header" in done.stderr
    done = albert("predict", model, "--no-header", input=content)
    assert predicted(done) == content.splitlines()


def test_predict_tells_what_it_assumed_and_what_is_empty(albert: Albert, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n")
    done = albert("predict", model, path)
    assert (done.returncode, done.stdout) == (65, "")
    assert "a header alone" in done.stderr
    path.write_text("note,text\nx,\ny,film\nz, \n")
    done = albert("predict", model, path)
    assert (done.returncode, predicted(done)) == (0, ["", "film", " "])
    assert "rows without a text, whose predictions mean nothing: 2" in done.stderr
    assert done.stderr.count("rows without a text") == 1


def test_predict_tells_what_it_mended(albert: Albert, model: Path) -> None:
    done = albert("predict", model, "--format", "fasttext", input="__label__a, a film\n")
    assert predicted(done) == ["a film"]
    assert "1 labels had a comma or semicolon behind them" in done.stderr
    assert done.stderr.count("behind them") == 1


def test_predict_refuses_missing_texts_unless_told(albert: Albert, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("id,text\n1,film\n2,N/A\n")
    done = albert("predict", model, path)
    assert done.returncode == 65
    assert "a.csv:3: no value in column 'text': 'N/A' stands for a missing value; --keep-na" in done.stderr
    assert predicted(albert("predict", model, path, "--keep-na")) == ["film", "N/A"]


def test_evaluate_export_and_check_take_the_options(albert: Albert, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\nfilm,good\nNA,bad\nlamp,bad\n")
    refused = albert("evaluate", model, path)
    assert refused.returncode == 65
    assert "a.csv:3" in refused.stderr
    scored = albert("evaluate", model, path, "--keep-na", "--header", "--json")
    assert json.loads(scored.stdout)["rows"] == 3
    assert albert("evaluate", model, path, "--no-header").returncode == 65
    assert albert("export", model, "--dev", path, "--force").returncode == 65
    assert albert("export", model, "--dev", path, "--force", "--keep-na", "--header").returncode == 0
    assert "3 rows" in albert("check", path, "--keep-na", "--header").stdout
    assert albert("check", path, "--word-column", 1).returncode == 2


def test_a_run_takes_the_options_for_both_files(albert: Albert, tmp_path: Path) -> None:
    rows = [f"{'good' if n % 2 else 'bad'} film {n},{'None' if n % 2 else 'some'}" for n in range(20)]
    for name in ("train.csv", "dev.csv"):
        (tmp_path / name).write_text("what,kind\n" + "\n".join(rows) + "\n")
    arguments = ("train", tmp_path / "train.csv", "--dev", tmp_path / "dev.csv", "--size", "tiny", "--set", "epochs=1")
    done = albert(*arguments, "-o", tmp_path / "refused")
    assert done.returncode == 65
    assert "10 bad lines" in done.stderr
    assert not (tmp_path / "refused").exists()
    done = albert(*arguments, "-o", tmp_path / "out", "--keep-na", "--json")
    assert done.returncode == 0
    assert "train.csv:1: the first row was taken as names of columns, 'what', 'kind'" in done.stderr
    config = json.loads((tmp_path / "out" / "config.json").read_text())
    assert set(config["id2label"].values()) == {"None", "some"}
