"""The options that say how data are read: one list, and every verb and function that reads data takes it."""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable
from dataclasses import fields
from pathlib import Path
from typing import Any, get_args

import pytest
import typer

import albert as package
from albert.audit.dataset import AuditConfig
from albert.cli.app import app
from albert.cli.options import DATA
from albert.config import ModelType
from albert.data.reading import FORMATS, DataOptions, DataSource
from albert.errors import AlbertError, ErrorKind
from albert.export import LAYOUTS
from albert.finetuning.dataset import FinetuneConfig
from albert.model.names import FAMILIES
from albert.predict.predictor import Predictor
from albert.tasks import NAMES, TASKS, WRITING, task_named
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert
from served import write_model

ALL = {field.name for field in fields(DataSource)} - {"path"}
KNOWN = {"task"}  # the model knows its task
UNLABELLED = {"task", "label"}  # and there are no labels in the file
SINGLE = {"task", "label", "text_pair", "choices", "stride"}  # single texts, each with one vector or score
LEFT_OUT = {
    "check": set(),
    "train": set(),
    "distill": set(),
    "evaluate": KNOWN,
    "export": KNOWN,
    "predict": UNLABELLED,
    "generate": UNLABELLED,
    "translate": UNLABELLED,
    "moderate": SINGLE,
    "embed": SINGLE,
    "rerank": SINGLE,
    "classify": SINGLE,
}
NONE = {  # verbs that read no table: a corpus, documents, texts of the command line, or requests
    "pretrain", "convert", "lengthen", "prepare", "serve", "serve-key", "demo", "doctor", "settings", "index", "search",
    "ask", "chat", "mcp", "summarize", "tokenizer", "fill-mask",
}  # fmt: skip
FUNCTIONS: dict[Callable[..., Any], set[str]] = {
    package.train: set(),
    package.distill: set(),
    Predictor.evaluate: KNOWN,
}
COMMANDS: dict[str, Any] = typer.main.get_command(app).commands  # type: ignore[attr-defined]


def test_the_list_stands_in_three_forms_that_agree() -> None:
    assert set(DataOptions.__annotations__) == set(DATA) == ALL


def test_every_verb_is_known_here() -> None:
    assert set(COMMANDS) == set(LEFT_OUT) | NONE


@pytest.mark.parametrize("verb", LEFT_OUT)
def test_a_verb_takes_them_all_but_for_its_exceptions(verb: str) -> None:
    options = {option.name: option for option in COMMANDS[verb].params}
    assert ALL & set(options) == ALL - LEFT_OUT[verb]
    defaults = {field.name: field.default for field in fields(DataSource)}
    assert {name: options[name].default for name in ALL & set(options)} == {
        name: defaults[name] for name in ALL & set(options)
    }


@pytest.mark.parametrize("verb", sorted(NONE - {"tokenizer"}))
def test_other_verbs_take_none_of_those_that_say_how_a_table_is_read(verb: str) -> None:
    names = {option.name for option in COMMANDS[verb].params}
    assert not names & {"format", "encoding", "header", "word_column", "tag_column", "keep_na"}


@pytest.mark.parametrize("function", FUNCTIONS, ids=lambda function: function.__qualname__)
def test_a_function_lists_them(function: Callable[..., Any]) -> None:
    parameters = inspect.signature(function).parameters
    assert ALL & set(parameters) == ALL - FUNCTIONS[function]
    assert parameters["encoding"].default == "utf-8"
    assert parameters["max_length"].kind is inspect.Parameter.KEYWORD_ONLY


def test_choices_come_from_the_registries() -> None:
    assert (*TASKS, *WRITING) == NAMES == tuple(task_named(name).name for name in NAMES)
    assert tuple(FAMILIES) == LAYOUTS == get_args(ModelType)
    assert "albert or bert" in next(option for option in COMMANDS["convert"].params if option.name == "to").help
    assert "int8" in next(option for option in COMMANDS["export"].params if option.name == "to").help
    options = {option.name: option for option in COMMANDS["train"].params}
    assert all(name in options["task"].help for name in TASKS)
    assert all(name in options["format"].help for name in FORMATS)


def test_an_unknown_option_of_a_function_is_refused() -> None:
    with pytest.raises(TypeError, match="labl"):
        DataSource.of("a.csv", labl="x")  # type: ignore[call-arg]


def test_a_source_at_another_file_is_read_in_the_same_way() -> None:
    source = DataSource("a.csv", encoding="cp1252", label="y")
    assert source.at("b.csv") == DataSource("b.csv", encoding="cp1252", label="y")
    assert DataSource.of(source, label="z") == DataSource("a.csv", encoding="cp1252", label="z")


def test_a_path_alone_is_a_source_without_options(tmp_path: Path) -> None:
    assert FinetuneConfig(train="a.csv", out=tmp_path).train == DataSource("a.csv")  # type: ignore[arg-type]
    assert AuditConfig(train=Path("a.csv")).train == DataSource("a.csv")  # type: ignore[arg-type]


# --- what they do where they are new ----------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> Path:
    return write_model(tmp_path_factory.mktemp("model"), "classification", tokenizer)


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.csv"
    path.write_text("note,body,kind\nx,a fine film,good\ny,a dull lamp,bad\nz,nothing here,none\n")
    return path


def test_predict_evaluate_and_export_read_the_named_columns(albert: Albert, model: Path, rows: Path) -> None:
    refused = albert("predict", model, rows)
    assert refused.returncode == 65
    assert "text columns: expected text" in refused.stderr
    by_note, by_body = (albert("predict", model, rows, "--text", column).stdout for column in ("note", "body"))
    assert len(by_body.splitlines()) == 3
    assert by_note != by_body
    scored = albert("evaluate", model, rows, "--text", "body", "--label", "kind", "--json")
    assert json.loads(scored.stdout)["rows"] == 3
    done = albert("export", model, "--dev", rows, "--text", "body", "--label", "kind", "--force")
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("verb", ["predict", "evaluate"])
def test_a_named_column_that_is_not_there(albert: Albert, model: Path, rows: Path, verb: str) -> None:
    done = albert(verb, model, rows, "--text", "boddy", *(["--label", "kind"] if verb == "evaluate" else []))
    assert done.returncode == 65
    assert "no column 'boddy'" in done.stderr
    assert "did you mean 'body'?" in done.stderr


@pytest.mark.parametrize("verb", ["predict", "embed", "moderate"])
def test_a_length_beyond_the_model_is_refused(albert: Albert, model: Path, tmp_path: Path, verb: str,
                                             tokenizer: AlbertTokenizer) -> None:  # fmt: skip
    (tmp_path / "a.txt").write_text("a film\n")
    if verb == "embed":
        model = write_model(tmp_path / "encoder", "similarity", tokenizer)
    done = albert(verb, model, tmp_path / "a.txt", "--max-length", 129)
    assert (done.returncode, done.stdout) == (2, "")
    assert "--max-length 129: expected at most the model's 128" in done.stderr


def test_lengths_count_in_predict_and_evaluate(albert: Albert, model: Path, tmp_path: Path) -> None:
    path = tmp_path / "a.csv"
    path.write_text("text,label\n" + "a b c d e f g h,good\n" * 3)
    told = "3 texts are longer than 5 pieces and were cut"
    assert told in albert("predict", model, path, "--max-length", 5).stderr
    assert told in albert("evaluate", model, path, "--max-length", 5).stderr
    windows = albert("predict", model, path, "--max-length", 5, "--stride", 1)
    assert windows.returncode == 0
    assert "cut" not in windows.stderr


def test_another_length_is_another_work(albert: Albert, model: Path, tmp_path: Path) -> None:
    texts = [f"a film that is long, number {n}" for n in range(3)]
    (tmp_path / "a.txt").write_text("\n".join(texts))
    predictor = Predictor.load(model)
    short = predictor.fitted(DataSource("a.txt", max_length=4))
    assert short.identity() != predictor.identity()
    assert short(texts) != predictor(texts)
    assert predictor.lengths.max_length == 64


def test_a_task_of_another_model_is_refused(model: Path) -> None:
    with pytest.raises(AlbertError, match="classification, the model's own") as caught:
        Predictor.load(model).evaluate(DataSource("a.csv", task="ner"))
    assert caught.value.kind is ErrorKind.USAGE
