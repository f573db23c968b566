"""Model folders that are damaged, hostile or vouched for by nothing, as the command line answers: one line, at once."""

from __future__ import annotations

import json
import logging
import os
import shutil
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch

from albert.config import AlbertConfig
from albert.errors import AlbertError, ErrorKind
from albert.model import AlbertForTask, save_model
from albert.predict.predictor import Predictor
from albert.storage.files import MANIFEST, write_manifest
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert
from served import write_model


@pytest.fixture
def folder(tmp_path: Path, tokenizer: AlbertTokenizer) -> Path:
    return write_model(tmp_path / "model", "classification", tokenizer)


def refused(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    errors = [line for line in done.stderr.splitlines() if line.startswith("error[")]
    assert len(errors) == 1, done.stderr
    for part in parts:
        assert part in errors[0]
    assert done.stdout == ""


def predict(albert: Albert, folder: Path) -> subprocess.CompletedProcess[str]:
    return albert("predict", folder, input="a text\n")


def change(folder: Path, key: str, value: Any, *, extra: bool = False) -> None:
    """Another value in config.json, with nothing that vouches for the old one."""
    (folder / MANIFEST).unlink(missing_ok=True)
    raw = json.loads((folder / "config.json").read_text())
    (raw["albert"]["extra"] if extra else raw)[key] = value
    (folder / "config.json").write_text(json.dumps(raw))


def fifo(path: Path) -> None:
    os.mkfifo(path)


def device(path: Path) -> None:
    path.symlink_to("/dev/zero")


def dangling(path: Path) -> None:
    path.symlink_to(path.with_name("nowhere"))


@pytest.mark.timeout(60)
@pytest.mark.parametrize("make", [fifo, device, Path.mkdir, dangling])
@pytest.mark.parametrize("name", ["config.json", MANIFEST, "spiece.model", "tokenizer_config.json"])
@pytest.mark.parametrize("vouched", [True, False])
def test_what_is_no_file_is_refused_and_never_waited_for(
    folder: Path, albert: Albert, make: Callable[[Path], None], name: str, vouched: bool
) -> None:
    if not vouched:
        (folder / MANIFEST).unlink()
    (folder / name).unlink(missing_ok=True)
    make(folder / name)
    refused(predict(albert, folder), 66)


@pytest.mark.parametrize(
    ("text", "part"),
    [
        ("[" * 100_000, "recursion"),
        ('{"a": ' * 500 + "1" + "}" * 500, "within each other"),
        ('{"hidden_size": NaN}', "NaN"),
        ('{"hidden_size": 1e999}', "1e999"),
        ('{"hidden_size": 64, "hidden_size": 32}', "'hidden_size' with two values"),
        ('{"hidden_size": ' + "9" * 5000 + "}", "digits"),
        ('{"id2label": {"0": "\\ud800"}}', "surrogates"),
        ("", "Expecting value"),
        ("[]", "list"),
        ("null", "NoneType"),
    ],
)
def test_a_config_that_is_no_usable_json_is_one_line(folder: Path, albert: Albert, text: str, part: str) -> None:
    (folder / MANIFEST).unlink()
    (folder / "config.json").write_text(text)
    refused(predict(albert, folder), 78, "config.json", part)


@pytest.mark.parametrize(
    ("key", "value", "extra", "part"),
    [
        ("id2label", {"0": "a", "1": "b"}, False, "classifier"),
        ("id2label", {"0": "a", "00": "b"}, False, "id2label"),
        ("id2label", {"0": ["a"]}, False, "id2label"),
        ("architectures", "AlbertModel", False, "architectures"),
        ("architectures", [{}], False, "architectures"),
        ("albert", [], False, "albert"),
        ("max_position_embeddings", 8, False, "position_embeddings"),
        ("vocab_size", 100, False, "word_embeddings"),
        ("max_length", 129, True, "128 positions"),
        ("max_length", 1, True, "max_length"),
        ("max_length", "64", True, "max_length"),
        ("max_length", 64.5, True, "max_length"),
        ("stride", 64, True, "stride"),
        ("stride", [], True, "stride"),
        ("task", "ner", True, "head sequence_classification"),
        ("task", "dancing", True, "dancing"),
        ("task", {}, True, "task"),
        ("metric", "f17", True, "metric"),
        ("columns", {"text": 1}, True, "columns.text"),
        ("columns", {}, True, "columns.text"),
        ("columns", {"text": "a", "choices": "b"}, True, "columns.choices"),
        ("thresholds", [0.5], True, "thresholds"),
        ("thresholds", ["a", "b", "c"], True, "thresholds[0]"),
        ("early_exit", 3, True, "early_exit"),
        ("early_exit", {"threshold": "x"}, True, "early_exit.threshold"),
    ],
)
def test_values_of_other_kinds_and_sizes_are_named(
    folder: Path, albert: Albert, key: str, value: Any, extra: bool, part: str
) -> None:
    change(folder, key, value, extra=extra)
    done = predict(albert, folder)
    assert done.returncode in (66, 78), done.stderr
    assert part in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_a_tokenizer_with_more_pieces_than_the_network_has_rows_is_refused(
    tmp_path: Path, tokenizer: AlbertTokenizer, albert: Albert
) -> None:
    folder = write_model(tmp_path / "small", "classification", tokenizer, vocab_size=100)
    refused(predict(albert, folder), 66, "tokenizer has", "100")


def test_pairs_are_refused_where_the_network_tells_no_two_texts_apart(
    tmp_path: Path, tokenizer: AlbertTokenizer
) -> None:
    predictor = Predictor.load(write_model(tmp_path / "one", "classification", tokenizer, type_vocab_size=1))
    assert predictor("a text")
    with pytest.raises(AlbertError, match="pair") as caught:
        predictor(("a text", "another"))
    assert caught.value.kind is ErrorKind.DATA


@pytest.mark.parametrize(
    ("manifest", "part"),
    [
        ({"files": {}}, "expected the files of a model, got none"),
        ({"files": []}, "files"),
        ({"files": {"config.json": {"size": "1", "sha256": "a"}}}, "size"),
        ({"files": {"config.json": {"size": -1, "sha256": "a"}}}, "size"),
        ({"files": {"config.json": 3}}, "config.json"),
        ({"files": {"../x": {"size": 1, "sha256": "a"}}}, "files of its folder"),
        ({"files": {"x" * 300: {"size": 1, "sha256": "a"}}}, "config.json is not in"),
        ([], "JSON object"),
    ],
)
def test_a_manifest_that_vouches_for_nothing_is_refused(folder: Path, albert: Albert, manifest: Any, part: str) -> None:
    (folder / MANIFEST).write_text(json.dumps(manifest))
    refused(predict(albert, folder), 66, MANIFEST, part)


@pytest.mark.parametrize("name", ["x" * 300, "é" * 200, "a/" * 3000, "a\0b"])
def test_a_name_that_no_file_can_have_is_refused(folder: Path, albert: Albert, name: str) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    manifest["files"][name] = {"size": 1, "sha256": "a"}
    (folder / MANIFEST).write_text(json.dumps(manifest))
    refused(predict(albert, folder), 66, "is missing")
    (folder / MANIFEST).unlink()
    (folder / "model.safetensors").rename(folder / "model-1.safetensors")
    (folder / "model.safetensors.index.json").write_text(json.dumps({"weight_map": {"albert.pooler.weight": name}}))
    refused(predict(albert, folder), 66, "names the shard")


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "spiece.model", "tokenizer_config.json"])
def test_every_file_that_changes_an_answer_must_be_vouched_for(folder: Path, albert: Albert, name: str) -> None:
    manifest = json.loads((folder / MANIFEST).read_text())
    del manifest["files"][name]
    (folder / MANIFEST).write_text(json.dumps(manifest))
    refused(predict(albert, folder), 66, f"{name} is not in {MANIFEST}")


def test_our_own_folder_without_a_manifest_says_so_once(
    folder: Path, albert: Albert, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert predict(albert, folder).returncode == 0
    assert not caplog.records
    (folder / MANIFEST).unlink()
    done = predict(albert, folder)
    assert done.returncode == 0
    assert len([line for line in done.stderr.splitlines() if "no manifest.json vouches" in line]) == 1
    assert len(caplog.records) == 1


def test_a_published_folder_says_nothing(folder: Path, albert: Albert, caplog: pytest.LogCaptureFixture) -> None:
    (folder / MANIFEST).unlink()
    raw = json.loads((folder / "config.json").read_text())
    del raw["albert"]
    (folder / "config.json").write_text(json.dumps(raw))
    for manifest in (None, '{"model": "of another program"}'):
        if manifest is not None:
            (folder / MANIFEST).write_text(manifest)
        assert predict(albert, folder).returncode == 0
        assert not caplog.records


def test_the_server_logs_it(capfd: pytest.CaptureFixture[str]) -> None:
    from albert.serve.core.logs import flush, log_warnings

    before = {name: list(logging.getLogger(name).handlers) for name in (None, "albert", "uvicorn.error")}
    try:
        log_warnings()
        logging.getLogger("albert").warning("no manifest vouches")
        flush()
    finally:
        for name, handlers in before.items():
            logging.getLogger(name).handlers, logging.getLogger(name).propagate = handlers, True
    line = json.loads(capfd.readouterr().err)
    assert (line["level"], line["message"]) == ("warning", "no manifest vouches")


def test_a_vocabulary_is_not_trained_into_a_model(folder: Path, tmp_path: Path, albert: Albert) -> None:
    (tmp_path / "text.txt").write_text("the ferry leaves the harbour at seven\n" * 50)
    before = {path.name: path.read_bytes() for path in folder.iterdir()}
    done = albert("tokenizer", "train", tmp_path / "text.txt", "-o", folder, "--vocab-size", 40)
    refused(done, 2, "config.json")
    assert {path.name: path.read_bytes() for path in folder.iterdir()} == before


def test_a_vocabulary_is_replaced_as_a_whole_and_vouched_for(tmp_path: Path, albert: Albert) -> None:
    (tmp_path / "text.txt").write_text("the ferry leaves the harbour at seven\n" * 50)
    for cased in ([], ["--cased"]):
        command = ["tokenizer", "train", tmp_path / "text.txt", "-o", tmp_path / "v", "--vocab-size", 28, *cased]
        assert albert(*command).returncode == 0
        assert AlbertTokenizer.from_pretrained(tmp_path / "v").normalizer.lower == (not cased)
    (tmp_path / "v" / "tokenizer_config.json").write_text('{"do_lower_case": true}')
    with pytest.raises(AlbertError, match="damaged"):
        AlbertTokenizer.from_pretrained(tmp_path / "v")


def test_a_conversion_goes_on_where_one_was_killed(folder: Path, tmp_path: Path, albert: Albert) -> None:
    (tmp_path / "out" / ".tmp-model").mkdir(parents=True)
    (tmp_path / "out" / ".tmp-model" / "config.json").write_text("half")
    assert albert("convert", folder, tmp_path / "out").returncode == 0
    assert Predictor.load(tmp_path / "out")("a text") == Predictor.load(folder)("a text")
    assert not list((tmp_path / "out").glob(".tmp-*"))
    refused(albert("convert", folder, tmp_path / "out"), 2, "a new or empty folder")
    shutil.copytree(tmp_path / "out", tmp_path / "late" / ".next")
    refused(albert("convert", folder, tmp_path / "late"), 2, "a new or empty folder")  # it had been made but for moving
    assert Predictor.load(tmp_path / "late")("a text") == Predictor.load(folder)("a text")
    assert not (tmp_path / "late" / ".next").exists()


def test_damaged_weights_are_refused_by_whatever_loads_them(tmp_path: Path) -> None:
    from albert.model import load_encoder, load_model
    from albert.model.checkpoint import start_from

    config = AlbertConfig.named("tiny", vocab_size=61, id2label=("a", "b"))
    save_model(AlbertForTask(config, "sequence_classification", generator=torch.Generator()), tmp_path)
    write_manifest(tmp_path)
    raw = (tmp_path / "model.safetensors").read_bytes()
    (tmp_path / "model.safetensors").write_bytes(bytes([*raw[:-1], raw[-1] ^ 1]))
    for load in (
        load_model,
        load_encoder,
        lambda name: start_from(name, config, "sequence_classification", torch.Generator()),
    ):
        with pytest.raises(AlbertError, match="SHA-256"):
            load(tmp_path)
