"""Every verb that writes, with outputs that are none: refused before any work, and nothing is lost or left."""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

import rewriting
from albert import api
from albert.data.tables import Table
from albert.errors import AlbertError
from albert.storage.files import require_output
from albert.storage.locks import output_lock
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert, write_reviews
from served import write_model

pytestmark = pytest.mark.ci  # minutes altogether

FILES = [
    "predict MODEL DATA -o OUT",
    "embed starter DATA -o OUT",
    "moderate MODEL DATA -o OUT",
    "evaluate MODEL DATA -o OUT",
    "evaluate MODEL DATA --report OUT",
    "index DATA -o OUT",
    "classify DATA --labels good,bad -o OUT",
    "generate WRITER DATA --text text -o OUT",
    "translate WRITER DATA --text text -o OUT --max-new 4",
]
FOLDERS = [
    "train DATA -o OUT --size tiny",
    "distill DATA --teacher MODEL -o OUT --size tiny",
    "pretrain SHARDS -o OUT",
    "prepare CORPUS -o OUT",
    "tokenizer train CORPUS -o OUT",
    "convert MODEL OUT",
    "lengthen MODEL -o OUT --to 1024",
    "export MODEL --to web --dev DATA -o OUT",
    "demo -o OUT",
    "evaluate MODEL DATA --squad --submission OUT",
    "evaluate MODEL SHARDS --glue SST-2 --submission OUT",
]
Odd = Callable[[Path, dict[str, str]], Path]


def _folder(place: Path, words: dict[str, str]) -> Path:
    (place / "there").mkdir()
    return place / "there"


def _folder_to_be(place: Path, words: dict[str, str]) -> Path:
    return Path(f"{place}/new/")


def _file(place: Path, words: dict[str, str]) -> Path:
    (place / "file").write_text("kept")
    return place / "file"


def _below_a_file(place: Path, words: dict[str, str]) -> Path:
    return _file(place, words) / "out"


def _closed(place: Path, words: dict[str, str]) -> Path:
    return place / "closed" / "deep" / "out"


def _too_long(place: Path, words: dict[str, str]) -> Path:
    return place / ("x" * 254)


def _far_too_long(place: Path, words: dict[str, str]) -> Path:
    return place / ("x" * 3000)


def _data(place: Path, words: dict[str, str]) -> Path:
    return Path(words["DATA"])


def _link_to_data(place: Path, words: dict[str, str]) -> Path:
    (place / "link.csv").symlink_to(words["DATA"])
    return place / "link.csv"


def _same_file_as_data(place: Path, words: dict[str, str]) -> Path:
    (place / "hard.csv").hardlink_to(words["DATA"])
    return place / "hard.csv"


def _weights(place: Path, words: dict[str, str]) -> Path:
    return Path(words["MODEL"]) / "model.safetensors"


def _settings(place: Path, words: dict[str, str]) -> Path:
    return Path(words["MODEL"]) / "config.json"


def _in_corpus(place: Path, words: dict[str, str]) -> Path:
    return Path(words["CORPUS"]) / "out"


def _corpus(place: Path, words: dict[str, str]) -> Path:
    return Path(words["CORPUS"])


DISK, USAGE = 74, 2
ODD_FILES: list[tuple[Odd, int, str]] = [
    (_folder, DISK, "a folder"),
    (_below_a_file, DISK, "is no folder"),
    (_closed, DISK, "Permission denied"),
    (_too_long, DISK, "name too long"),
    (_far_too_long, DISK, "name too long"),
    (_data, USAGE, "another file than what is read"),
    (_link_to_data, USAGE, "another file than what is read"),
    (_same_file_as_data, USAGE, "another file than what is read"),
    (_weights, USAGE, "another file than what is read"),
    (_settings, USAGE, "another file than what is read"),
]
ODD_FOLDERS: list[tuple[Odd, int, str]] = [
    (_file, USAGE, "a file"),
    (_below_a_file, DISK, "is no folder"),
    (_closed, DISK, "Permission denied"),
    (_far_too_long, DISK, "name too long"),
]
IN_CORPUS: list[tuple[Odd, int, str]] = [(_in_corpus, USAGE, "outside of what is read"), (_corpus, USAGE, "outside")]
CASES = [
    *((line, *odd) for line in FILES for odd in ODD_FILES if "MODEL" in line or odd[0] not in (_weights, _settings)),
    *((line, *odd) for line in FOLDERS for odd in ODD_FOLDERS),
    *((line, *odd) for line in FOLDERS if "CORPUS" in line for odd in IN_CORPUS),
]


@pytest.fixture(scope="module")
def words(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> dict[str, str]:
    folder = tmp_path_factory.mktemp("outputs")
    data = write_reviews(folder / "reviews.csv", rows=30)
    data.write_text(data.read_text().replace("positive", "good").replace("negative", "bad"))
    for name in ("corpus", "shards"):
        (folder / name).mkdir()
    (folder / "corpus" / "text.txt").write_text("A fine day.\n")
    model = write_model(folder / "model", "classification", tokenizer)
    writer = rewriting.write_model(folder / "writer")
    return {
        "WRITER": str(writer),
        "DATA": str(data),
        "CORPUS": str(folder / "corpus"),
        "SHARDS": str(folder / "shards"),
        "MODEL": str(model),
    }


def state(*folders: Path) -> dict[str, bytes]:
    files = [path for folder in folders for path in folder.rglob("*")]
    return {str(path): path.read_bytes() if path.is_file() else b"" for path in files}


@pytest.mark.parametrize(
    ("line", "odd", "code", "said"), CASES, ids=[f"{line} {odd.__name__}" for line, odd, _, _ in CASES]
)
def test_odd_outputs(
    albert: Albert, words: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch,
    line: str, odd: Odd, code: int, said: str,
) -> None:  # fmt: skip
    for work in (
        "albert.predict.predictor.Predictor.load",
        "albert.data.tables.Table.__init__",
        "albert.export.layouts._convert",
    ):
        monkeypatch.setattr(work, lambda *_, **__: pytest.fail("work was done"))
    (tmp_path / "closed").mkdir()
    access = os.access  # no permission stops root
    monkeypatch.setattr(os, "access", lambda path, mode: Path(path).name != "closed" and access(path, mode))
    out = odd(tmp_path, words)
    places = [tmp_path, *{Path(place).parent for place in words.values()}]
    before = state(*places)
    done = albert(*({**words, "OUT": str(out)}.get(word, word) for word in line.split()))
    assert done.returncode == code, done.stderr
    assert said in done.stderr
    assert done.stderr.count("error[") == 1
    assert done.stdout == ""
    assert state(*places) == before


@pytest.mark.parametrize(
    "line", [*FILES, *FOLDERS, "export OUT --dev DATA", "serve OUT", "check OUT", "search OUT lamp"]
)
def test_an_empty_name_is_not_the_current_folder(
    albert: Albert, words: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, line: str
) -> None:
    """As a variable of the shell gives it that is not set."""
    monkeypatch.chdir(tmp_path)
    done = albert(*({**words, "OUT": ""}.get(word, word) for word in line.split()))
    assert done.returncode == USAGE
    assert done.stderr.count("\n") == 1
    before = line.split()[line.split().index("OUT") - 1]
    assert f"the argument after {words.get(before, before)}: expected a value" in done.stderr
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("word", ["--out=", "--report=", "--init="])
def test_an_option_without_its_value_is_refused(albert: Albert, words: dict[str, str], word: str) -> None:
    done = albert("evaluate", words["MODEL"], words["DATA"], word)
    assert done.returncode == USAGE
    assert f"{word[:-1]}: expected a value" in done.stderr


def test_an_empty_name_is_refused_from_python_too(words: dict[str, str], tmp_path: Path) -> None:
    for call in (
        lambda: api.train(words["DATA"], out="", size="tiny"),
        lambda: api.train("", out=tmp_path / "m", size="tiny"),
        lambda: api.load(""),
        lambda: require_output(""),
    ):
        with pytest.raises(AlbertError, match=r'empty name|the name ""'):
            call()


def test_the_current_folder_can_be_named(
    albert: Albert, words: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in (".", "..", "../b/."):
        place = tmp_path / name.replace("/", "-").replace(".", "d")
        (place / "a" / "b").mkdir(parents=True)
        monkeypatch.chdir(place / "a" / "b")
        done = albert("convert", words["MODEL"], name)
        assert (done.returncode == 0) == (name != ".."), done.stderr  # which holds a folder
        assert not [path for path in place.rglob("*") if "lock" in path.name and path.name != ".lock"]
    assert albert("convert", words["MODEL"], "/").returncode == USAGE


def test_a_model_that_cannot_be_added_to_is_not_exported(
    albert: Albert, words: dict[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("albert.predict.predictor.Predictor.load", lambda *_, **__: pytest.fail("work was done"))
    monkeypatch.setattr(os, "access", lambda path, mode: not mode & os.W_OK)
    done = albert("export", words["MODEL"], "--dev", words["DATA"])
    assert done.returncode == DISK
    assert "int8.safetensors" in done.stderr


def test_every_verb_that_writes_is_here(albert: Albert) -> None:
    """By the options that name an output."""
    listed = [line.split()[1] for line in albert("--help").stdout.splitlines() if line.startswith("│ ")]
    verbs = [verb for verb in listed if not verb.startswith("-") and verb != "tokenizer"]
    outputs = {"-o": "OUT", "--report": "--report", "--submission": "--submission"}
    known = {(line.split()[0], option) for line in FILES + FOLDERS for option in outputs if f" {option} " in line}
    for verb in verbs:
        text = albert(verb, "--help").stdout
        for option in outputs:
            if f"{option} " in text.replace("-o ", " -o ") and (option != "-o" or "--out" in text):
                assert (verb, option) in known, (verb, option)


def test_one_file_for_scores_and_report_is_refused(albert: Albert, words: dict[str, str], tmp_path: Path) -> None:
    (tmp_path / "link").symlink_to("same")
    for other in ("same", "link"):
        both = ("-o", tmp_path / "same", "--report", tmp_path / other)
        assert albert("evaluate", words["MODEL"], words["DATA"], *both).returncode == USAGE
    assert sorted(path.name for path in tmp_path.iterdir()) == ["link"]


def test_new_folders_are_made(albert: Albert, words: dict[str, str], tmp_path: Path) -> None:
    for number, line in enumerate(FILES):
        out = tmp_path / str(number) / "deep" / "out"
        done = albert(*({**words, "OUT": str(out)}.get(word, word) for word in line.split()))
        assert done.returncode == 0, done.stderr
        assert [path.name for path in out.parent.iterdir()] == ["out"]


def test_two_calls_do_not_write_one_output(albert: Albert, words: dict[str, str], tmp_path: Path) -> None:
    out = tmp_path / "out.jsonl"
    (tmp_path / "link.jsonl").symlink_to("out.jsonl")
    with output_lock(out):
        for name in ("out.jsonl", "link.jsonl"):
            done = albert("predict", words["MODEL"], words["DATA"], "-o", tmp_path / name)
            assert done.returncode == 73
            assert f"process {os.getpid()} on" in done.stderr
        assert not out.exists()
        assert albert("predict", words["MODEL"], words["DATA"], "-o", tmp_path / "other.jsonl").returncode == 0
    with output_lock(tmp_path / "converted"), output_lock(tmp_path / "vocabulary"):
        assert albert("convert", words["MODEL"], tmp_path / "converted").returncode == 73
    assert albert("predict", words["MODEL"], words["DATA"], "-o", out).returncode == 0
    assert len(list(Table(out))) == 30


@pytest.mark.parametrize("name", ["out.jsonl.part", "out.jsonl.part.json", ".tmp-out.jsonl.part.json"])
def test_a_link_beside_an_output_is_not_followed(
    albert: Albert, words: dict[str, str], tmp_path: Path, name: str
) -> None:
    (tmp_path / "precious").write_text("{}")
    (tmp_path / name).symlink_to("precious")
    assert albert("predict", words["MODEL"], words["DATA"], "-o", tmp_path / "out.jsonl").returncode == 0
    assert (tmp_path / "precious").read_text() == "{}"
    assert not (tmp_path / "out.jsonl").is_symlink()
    assert len(list(Table(tmp_path / "out.jsonl"))) == 30


@pytest.mark.parametrize(
    "line",
    [
        "DATA >> DATA",
        "DATA -o /dev/stdout >> DATA",
        "- < DATA >> DATA",
        "- -o DATA < DATA",
        "/dev/stdin -o DATA < DATA",
    ],
)
def test_what_the_shell_opened_is_looked_at_too(words: dict[str, str], tmp_path: Path, line: str) -> None:
    """Else the rows that are written would be read, without end."""
    data = tmp_path / "data.csv"
    data.write_bytes(Path(words["DATA"]).read_bytes())
    before = data.read_bytes()
    command = f"ulimit -f 100; {sys.executable} -m albert predict nowhere {line.replace('DATA', str(data))}"
    done = subprocess.run(["bash", "-c", command], capture_output=True, text=True, check=False, timeout=60)
    assert done.returncode == USAGE, done.stderr
    assert "another file than what is read" in done.stderr
    assert data.read_bytes() == before
