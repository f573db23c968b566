"""From names to folders: what is a path is never asked of the hub."""

from __future__ import annotations

import os
from pathlib import Path

import huggingface_hub
import pytest

from albert.errors import AlbertError, ErrorKind
from albert.hub import model_files, model_folder
from albert.storage.files import folder_fingerprint


@pytest.fixture
def asked(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The names that the hub was asked for, from a place with a folder of runs."""
    names: list[str] = []

    def download(name: str, **_: object) -> str:
        names.append(name)
        return str(tmp_path / "snapshot")

    monkeypatch.setattr(huggingface_hub, "snapshot_download", download)
    (tmp_path / "runs" / "good").mkdir(parents=True)
    (tmp_path / "runs" / "file").touch()
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("HOME", str(tmp_path))
    return names


@pytest.mark.parametrize("name", ["owner/name", "sentence-transformers/all-MiniLM-L6-v2", "albert-base-v2"])
def test_a_hub_id_is_asked_for(asked: list[str], name: str) -> None:
    model_folder(name)
    assert asked == [name]


@pytest.mark.parametrize(
    "name",
    [
        "runs/x", "runs/goud", "runs/file", "./x", "./runs/x", "../x", "~/x", "~/runs/x", "/nowhere/x", "a/b/c",
        "runs/x/", "~nobody-of-that-name/x",
        "owner/name/", "x", "runs\\x", "runs//x", ".hidden/x", "", ".", "runs/" + "x" * 300,
    ],
)  # fmt: skip
def test_a_path_is_not(asked: list[str], name: str) -> None:
    if os.path.isdir(name):
        assert model_folder(name) == Path(name)
        return
    with pytest.raises(AlbertError, match=r"no such folder|a file|an empty name") as caught:
        model_folder(name)
    assert caught.value.kind is ErrorKind.MODEL
    assert asked == []


def test_the_next_step_is_told(asked: list[str]) -> None:
    for name, said in (
        ("runs/goud", "did you mean 'runs/good'"),
        ("runs/zzz", "runs/ exists, so this is read as a path"),
    ):
        with pytest.raises(AlbertError, match=said):
            model_folder(name)


def test_files_that_no_output_may_replace(tmp_path: Path) -> None:
    for name in ("config.json", "model.safetensors", "spiece.model", "README.md", "scores.json"):
        (tmp_path / name).write_text(name)
    assert [path.name for path in model_files(tmp_path)] == ["config.json", "model.safetensors", "spiece.model"]
    assert model_files("owner/name") == []


@pytest.mark.parametrize("name", ["config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "spiece.model"])
def test_models_without_a_manifest_differ_by_all_their_files(tmp_path: Path, name: str) -> None:
    """Else rows of two models of one size could stand in one output."""
    for file in ("config.json", "model.safetensors", "tokenizer.json", "vocab.txt", "spiece.model", "README.md"):
        (tmp_path / file).write_text(file)
    before = folder_fingerprint(tmp_path)
    for other in ("README.md", "out.jsonl.part.json", "scores.json", "notes.txt"):  # which an answer does not depend on
        (tmp_path / other).write_text("edited")
    assert folder_fingerprint(tmp_path) == before
    (tmp_path / name).write_text("another")
    assert folder_fingerprint(tmp_path) != before
