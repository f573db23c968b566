"""Which files of a corpus are read: all that hold text, and what is left out is told."""

from __future__ import annotations

import gzip
import json
import os
from pathlib import Path

import pytest

from albert.corpus.files import corpus_files
from albert.corpus.job import PrepareConfig
from albert.corpus.prepare import prepare
from albert.corpus.reading import corpus_lines
from albert.errors import AlbertError, ErrorKind


def read(*paths: Path) -> tuple[list[str], list[str]]:
    """The paragraphs of a corpus, and what was told."""
    told: list[str] = []
    corpus_files(paths, tell=told.append)
    return list(corpus_lines(paths)), told


@pytest.mark.parametrize(
    "name", ["a.txt", "a.TXT", "a.md", "wiki_00", "AA/wiki_00", "part-0/00000", "wiki_01.gz", "a.txt.gz"]
)
def test_text_is_read_under_any_usual_name(tmp_path: Path, name: str) -> None:
    path = tmp_path / "corpus" / name
    path.parent.mkdir(parents=True)
    text = "A boat sails.\n\nÉté.\n".encode()
    path.write_bytes(gzip.compress(text) if name.endswith(".gz") else text)
    assert read(tmp_path / "corpus")[0] == ["A boat sails.", "Été."]


@pytest.mark.parametrize("name", ["c4.json", "c4.json.gz", "c4.jsonl", "C4.JSONL", "part-00000", "wiki_00.gz"])
def test_lines_of_json_are_read_under_any_usual_name(tmp_path: Path, name: str) -> None:
    rows = "".join(json.dumps({"text": text}) + "\n" for text in ("One.", "Two.")).encode()
    (tmp_path / name).write_bytes(gzip.compress(rows) if name.endswith(".gz") else rows)
    assert read(tmp_path)[0] == ["One.", "Two."]


def test_an_array_of_json_is_read_and_its_bad_item_named(tmp_path: Path) -> None:
    path = tmp_path / "rows.json"
    path.write_text(json.dumps([{"text": "One."}, {"paras": ["Two.", "Three."]}], indent=2))
    assert read(tmp_path)[0] == ["One.", "Two.", "Three."]
    path.write_text(json.dumps([{"text": "One."}, {"body": "Two."}], indent=2))
    with pytest.raises(AlbertError, match=r'rows\.json:2: expected a JSON object with "text" or "paras"'):
        read(tmp_path)


def test_what_is_left_out_is_told(tmp_path: Path) -> None:
    for name in ("a.txt", "wiki_00", "b.csv", "c.pdf", "notes.rst", ".ipynb_checkpoints/a.txt", ".DS_Store"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text(f"Text of {name}.\n")
    (tmp_path / "weights").write_bytes(b"\x00\x01\x02")
    os.mkfifo(tmp_path / "pipe.txt")
    lines, told = read(tmp_path)
    assert lines == ["Text of a.txt.", "Text of wiki_00."]
    bare, others, hidden = told
    assert "1 without an ending, read as text: wiki_00" in bare
    assert "5 skipped" in others
    assert all(name in others for name in ("b.csv", "c.pdf", "notes.rst", "pipe.txt", "weights"))
    assert "2 skipped, as their names begin with a dot: .DS_Store, .ipynb_checkpoints" in hidden


def test_a_named_file_is_read_by_its_content(tmp_path: Path) -> None:
    (tmp_path / "train.en").write_text("A boat sails.\n")
    assert read(tmp_path / "train.en") == (["A boat sails."], [])
    for name, content in (("a.bin", b"\x00"), ("a.csv", b"text,label\n"), ("a.html", b"<p>"), ("a.zip", b"PK\xff\xfe")):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(AlbertError, match="another kind of file") as caught:
            read(tmp_path / name)
        assert caught.value.kind is ErrorKind.DATA


def test_links_are_followed_and_each_folder_is_read_once(tmp_path: Path) -> None:
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "elsewhere" / "a.txt").write_text("Linked.\n")
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "first").symlink_to(tmp_path / "elsewhere")
    (corpus / "second").symlink_to(tmp_path / "elsewhere")
    (corpus / "loop").symlink_to(corpus)
    assert read(corpus)[0] == ["Linked."]


def test_a_folder_that_cannot_be_read_is_an_error(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "a.txt").write_text("Text.\n")
    (tmp_path / "closed").mkdir()
    scan = os.scandir

    def refuse(path: str) -> object:
        if os.path.basename(path) == "closed":
            raise PermissionError(13, "Permission denied", path)
        return scan(path)

    monkeypatch.setattr(os, "scandir", refuse)  # the tests may run as root, whom no permission stops
    with pytest.raises(AlbertError, match=r"closed.*Permission denied"):
        read(tmp_path)


def test_preparing_tells_what_it_leaves_out(tmp_path: Path) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    (corpus / "wiki_00").write_text("A boat sails. It is small.\n")
    (corpus / "b.csv").write_text("x\n")
    told: list[str] = []
    done = prepare(PrepareConfig((corpus,), tmp_path / "shards", workers=1), tell=told.append)
    assert done.manifest["totals"]["documents"] == 1
    assert [("wiki_00" in line, "b.csv" in line) for line in told] == [(True, False), (False, True)]
