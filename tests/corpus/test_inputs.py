"""The files of a corpus are known by their content: no edit keeps shards of the old text."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from albert.corpus.job import Job, PrepareConfig
from albert.corpus.prepare import Prepared, prepare
from albert.corpus.shards import open_corpus
from albert.errors import AlbertError, ErrorKind
from albert.storage.files import MANIFEST
from albert.text.tokenizer import AlbertTokenizer


def run(corpus: Path, out: Path) -> Prepared:
    return prepare(PrepareConfig((corpus,), out, chunk_mb=1 / 64, workers=1))


@pytest.fixture
def corpus(tmp_path: Path) -> Path:
    folder = tmp_path / "corpus"
    folder.mkdir()
    for name in "abc":
        (folder / f"{name}.txt").write_text(f"The ferry {name} leaves at seven.\n\nA lamp.\n")
    return folder


def edit(path: Path) -> None:
    """Another text of the same size, at the same time."""
    status = path.stat()
    path.write_text(path.read_text().replace("seven", "eight"))
    os.utime(path, ns=(status.st_atime_ns, status.st_mtime_ns))
    assert path.stat().st_size == status.st_size


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir()}


def test_an_edit_of_the_same_size_after_the_end_is_noticed(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "shards")
    assert run(corpus, tmp_path / "shards").made == 0
    edit(corpus / "b.txt")
    with pytest.raises(AlbertError, match="other inputs") as caught:
        run(corpus, tmp_path / "shards")
    assert caught.value.kind is ErrorKind.CONFIG
    assert "b.txt" in str(caught.value)


@pytest.mark.parametrize("name", ["a.txt", "b.txt", "c.txt"])
def test_an_edit_of_the_same_size_before_the_end_costs_the_files_from_there_on(
    corpus: Path, tmp_path: Path, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    with monkeypatch.context() as patch:
        patch.setattr(Job, "finish", lambda *_: (_ for _ in ()).throw(KeyboardInterrupt))
        with pytest.raises(KeyboardInterrupt):
            run(corpus, tmp_path / "shards")
    edit(corpus / name)
    if name == "a.txt":  # no shard is left that could be kept: it may be the wrong folder
        with pytest.raises(AlbertError, match=r"other inputs.*a\.txt"):
            run(corpus, tmp_path / "shards")
        return
    again = run(corpus, tmp_path / "shards")
    assert again.made == 3 - "abc".index(name[0])
    run(corpus, tmp_path / "expected")
    assert contents(tmp_path / "shards") == contents(tmp_path / "expected")


def test_a_moved_corpus_is_the_same_corpus(corpus: Path, tmp_path: Path) -> None:
    run(corpus, tmp_path / "shards")
    shutil.copytree(corpus, tmp_path / "elsewhere")
    for path in (tmp_path / "elsewhere").iterdir():
        os.utime(path, (0, 0))
    assert run(tmp_path / "elsewhere", tmp_path / "shards").made == 0


@pytest.mark.parametrize("change", [edit, Path.unlink, lambda path: path.write_text("Other text.")])
def test_a_file_that_changes_while_it_is_read_is_refused(
    corpus: Path, tmp_path: Path, change: Callable[[Path], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    finish = Job.finish

    def late(job: Job, shards: Any) -> Any:
        path = corpus / "b.txt"
        whole = path.read_bytes()
        change(path)
        os.utime(path, (1, 1)) if path.exists() else None
        try:
            return finish(job, shards)
        finally:
            path.write_bytes(whole)

    with monkeypatch.context() as patch:
        patch.setattr(Job, "finish", late)
        with pytest.raises(AlbertError, match=r"b\.txt") as caught:
            run(corpus, tmp_path / "shards")
    assert caught.value.kind is ErrorKind.DATA
    assert not (tmp_path / "shards" / MANIFEST).exists()
    run(corpus, tmp_path / "shards")
    run(corpus, tmp_path / "expected")
    assert contents(tmp_path / "shards") == contents(tmp_path / "expected")


def test_the_vocabulary_of_a_corpus_is_vouched_for(corpus: Path, tmp_path: Path) -> None:
    folder = run(corpus, tmp_path / "shards").folder
    open_corpus(folder)
    model = AlbertTokenizer.english().model
    settings = (folder / "tokenizer_config.json").read_bytes()
    for name, raw, part in (
        ("spiece.model", bytes([*model[:-1], model[-1] ^ 1]), "vocabulary"),
        ("tokenizer_config.json", settings.replace(b'"do_lower_case": true', b'"do_lower_case": false'), "lower"),
        ("tokenizer_config.json", settings.replace(b'"keep_accents": false', b'"keep_accents": true'), "keep_accents"),
        ("tokenizer_config.json", b"[]", "JSON object"),
    ):
        whole = (folder / name).read_bytes()
        (folder / name).write_bytes(raw)
        with pytest.raises(AlbertError, match=part) as caught:
            open_corpus(folder)
        assert caught.value.kind is ErrorKind.DATA
        assert run(corpus, folder).made == 0  # mends it
        assert (folder / name).read_bytes() == whole


@pytest.mark.parametrize(
    ("path", "value"),
    [
        (("shards", 0, "files"), {}),
        (("shards", 0, "files", "tokens", "blocks"), []),
        (("shards", 0, "files", "tokens", "size"), "1"),
        (("shards", 0, "name"), "../00000-00000"),
        (("shards", 0, "tokens"), -1),
        (("shards",), {}),
        (("totals", "documents"), None),
        (("settings",), []),
        (("format",), 2),
    ],
)
def test_a_manifest_of_other_kinds_is_refused(corpus: Path, tmp_path: Path, path: tuple[Any, ...], value: Any) -> None:
    folder = run(corpus, tmp_path / "shards").folder
    raw = json.loads((folder / MANIFEST).read_text())
    holder = raw
    for key in path[:-1]:
        holder = holder[key]
    holder[path[-1]] = value
    (folder / MANIFEST).write_text(json.dumps(raw))
    with pytest.raises(AlbertError) as caught:
        open_corpus(folder)
    assert caught.value.kind is ErrorKind.DATA
    try:
        assert run(corpus, folder).made > 0  # a shard that is not as the manifest says is made again
    except AlbertError as error:
        assert error.kind in (ErrorKind.DATA, ErrorKind.CONFIG)  # noqa: PT017
