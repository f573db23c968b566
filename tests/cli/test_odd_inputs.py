"""Every verb with inputs that are none: one clear line, the right exit code, nothing left behind, no waiting."""

from __future__ import annotations

import os
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path

import pytest

import rewriting
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert, write_reviews
from served import write_model

pytestmark = pytest.mark.ci  # minutes altogether

ROWS = {
    ".csv": ("text,label\n", "a fine lamp,good\n"),
    ".tsv": ("text\tlabel\n", "a fine lamp\tgood\n"),
    ".jsonl": ("", '{"text": "a fine lamp", "label": "good"}\n'),
    ".txt": ("", "A fine lamp.\n"),
    "": ("", "A fine lamp.\n"),
}


def _empty(path: Path) -> None:
    path.write_bytes(b"")


def _header(path: Path) -> None:
    path.write_text(ROWS[path.suffix][0] or "\n")


def _one(path: Path) -> None:
    path.write_text("".join(ROWS[path.suffix]))


def _folder(path: Path) -> None:
    path.mkdir()


def _folder_of_others(path: Path) -> None:
    path.mkdir()
    (path / "picture.png").write_bytes(b"\x89PNG\r\n\x1a\n\0")


def _pipe(path: Path) -> None:
    os.mkfifo(path)  # that no program writes to


def _unreadable(path: Path) -> None:
    path.symlink_to("/proc/self/mem")  # a file whose bytes nobody can read, not even root


def _carriage_returns(path: Path) -> None:
    header, row = ROWS[path.suffix]
    path.write_bytes((header + 3 * row).replace("\n", "\r").encode())


def _utf16(path: Path) -> None:
    path.write_bytes("".join(ROWS[path.suffix]).encode("utf-16"))


def _binary(path: Path) -> None:
    path.write_bytes(bytes(range(256)) * 4)


def _missing(path: Path) -> None:
    pass


KINDS: dict[str, Callable[[Path], None]] = {
    "empty": _empty,
    "header": _header,
    "one row": _one,
    "folder": _folder,
    "folder of others": _folder_of_others,
    "pipe": _pipe,
    "unreadable": _unreadable,
    "carriage returns": _carriage_returns,
    "UTF-16": _utf16,
    "binary": _binary,
    "missing": _missing,
}
SAID = {
    "empty": "an empty file",
    "header": "",
    "one row": "",
    "carriage returns": "",
    "folder": "folder",
    "folder of others": "folder",
    "pipe": "a pipe",
    "unreadable": "a readable file",
    "UTF-16": "UTF-16",
    "binary": "NUL",
    "missing": "no such file",
}
GOOD = {"one row": 0, "carriage returns": 0}  # of what is read row by row


@dataclass(frozen=True)
class Verb:
    """A command line in which INPUT stands for the odd one; `codes` are those of kinds that are not refused as usual.

    `said` is part of every error, else what is said depends on the kind.
    """

    line: str
    suffix: str = ""
    code: int = 65
    codes: dict[str, int] = field(default_factory=dict)
    said: str | None = None
    keeps: bool = False  # what it has, for a call that goes on
    without: tuple[str, ...] = ()  # kinds that it takes, at length


_QUICK = "--size tiny --quiet --set epochs=1"
VERBS = [
    Verb("check INPUT", ".csv", codes={"one row": 65, "carriage returns": 65, "header": 65}),
    Verb("check REVIEWS --dev INPUT", ".csv", codes=GOOD),
    Verb("check REVIEWS --test INPUT", ".tsv", codes=GOOD),
    Verb("check REVIEWS --init INPUT", code=66, said="bad-model"),
    Verb(f"train INPUT -o OUT {_QUICK}", ".csv", said="bad-data"),
    Verb(f"train REVIEWS --dev INPUT -o OUT {_QUICK}", ".csv", without=tuple(GOOD)),
    Verb("train REVIEWS --init INPUT -o OUT", code=66, said="bad-model"),
    Verb(f"train REVIEWS --tokenizer INPUT -o OUT {_QUICK}", code=66, said="bad-model"),
    Verb("pretrain INPUT -o OUT", said="albert prepare"),
    Verb("evaluate MODEL INPUT", ".csv", codes=GOOD),
    Verb("evaluate MODEL INPUT --json", ".jsonl", codes=GOOD),
    Verb("evaluate MODEL INPUT --glue SST-2", said="SST-2"),
    Verb("evaluate MODEL --behaviour INPUT", ".txt", said="bad-data"),
    Verb("evaluate INPUT REVIEWS", code=66, said="bad-model"),
    Verb("export INPUT --dev REVIEWS", code=66, said="bad-model"),
    Verb("export MODEL --dev INPUT --budget 1", ".csv", codes=GOOD),
    Verb("export INPUT --to onnx --dev REVIEWS", code=66, said="bad-model"),
    Verb("export MODEL --to onnx --dev INPUT --budget 1", ".csv", codes=GOOD),
    Verb("convert INPUT OUT", code=66, said="bad-model"),
    Verb("lengthen INPUT -o OUT --to 4096", code=66, said="bad-model"),
    Verb("predict MODEL INPUT -o OUT.csv", ".csv", codes=GOOD),
    Verb("predict MODEL INPUT -o OUT.jsonl", ".tsv", codes=GOOD),
    Verb("predict MODEL INPUT -o OUT", ".jsonl", codes=GOOD),
    Verb("predict MODEL INPUT -o OUT", ".txt", codes=GOOD),
    Verb("predict MODEL INPUT -o OUT", "", codes=GOOD),
    Verb("predict INPUT REVIEWS -o OUT", code=66, said="bad-model"),
    Verb("embed ENCODER INPUT -o OUT.npy", ".csv", codes=GOOD),
    Verb("embed ENCODER INPUT -o OUT.jsonl", ".tsv", codes=GOOD),
    Verb("embed ENCODER INPUT", ".txt", codes=GOOD),
    Verb("embed INPUT REVIEWS -o OUT.npy", code=66, said="bad-model"),
    Verb("rerank ENCODER INPUT --query lamp", ".csv", codes=GOOD),
    Verb("rerank ENCODER INPUT --query lamp", ".jsonl", codes=GOOD),
    Verb("rerank INPUT REVIEWS --query lamp", code=66, said="bad-model"),
    Verb("moderate MODEL INPUT -o OUT.jsonl", ".csv", codes=GOOD),
    Verb("moderate MODEL INPUT", ".txt", codes=GOOD),
    Verb("moderate INPUT REVIEWS -o OUT", code=66, said="bad-model"),
    Verb("generate WRITER INPUT --text text -o OUT.jsonl", ".csv", codes=GOOD),
    Verb("generate INPUT REVIEWS -o OUT.jsonl", code=66, said="bad-model"),
    Verb("translate WRITER INPUT --text text -o OUT.jsonl", ".csv", codes=GOOD),
    Verb("translate INPUT REVIEWS -o OUT.jsonl", code=66, said="bad-model"),
    Verb("classify INPUT --labels good,bad --model ENCODER -o OUT.jsonl", ".csv", codes=GOOD),
    Verb("classify REVIEWS --labels INPUT --model ENCODER -o OUT.jsonl", ".txt", codes={"missing": 2}),
    Verb("classify REVIEWS --labels good,bad --model INPUT -o OUT.jsonl", code=66, said="bad-model"),
    Verb(f"distill INPUT --teacher MODEL -o OUT {_QUICK}", ".csv", said="bad-data"),
    Verb(f"distill REVIEWS --teacher INPUT -o OUT {_QUICK}", code=66, said="bad-model"),
    Verb("fill-mask INPUT lamp", code=66, said="bad-model"),
    Verb("prepare INPUT -o OUT --workers 1 --quiet", ".txt", codes=GOOD, said="bad-data", keeps=True),
    Verb("prepare REVIEWS_TXT --vocab INPUT -o OUT --quiet", code=66, said="bad-model"),
    Verb("tokenizer train INPUT -o OUT", ".txt", said="bad-data"),
    Verb("index INPUT -o OUT", ".txt", codes={**GOOD, "UTF-16": 0}, said="bad-data"),
    Verb("index REVIEWS_TXT -o OUT --vectors INPUT", code=66, said="bad-model", keeps=True),
    Verb("index INPUT --status", said="albert index"),
    Verb("search INPUT lamp", said="albert index"),
    Verb("ask INPUT lamp", said="albert index"),
    Verb("chat INPUT", said="albert index"),
    Verb("mcp INPUT", said="albert index"),
    Verb("summarize INPUT --model ENCODER", ".txt", codes={**GOOD, "UTF-16": 0}, said="bad-data"),
    Verb("serve INPUT --port 0", code=66, said="bad-model"),
    Verb("serve MODEL --port 0 --api-key-file INPUT", code=78, said="bad-config"),
    Verb("serve MODEL --port 0 --tls-certificate INPUT --tls-key INPUT", code=78, said="TLS"),
]


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory, tokenizer: AlbertTokenizer) -> dict[str, str]:
    """What the capital words of a line stand for."""
    folder = tmp_path_factory.mktemp("odd")
    reviews = write_reviews(folder / "reviews.csv", rows=40)
    reviews.write_text(reviews.read_text().replace("positive", "good").replace("negative", "bad"))
    (folder / "text.txt").write_text("A fine day.\n")
    model = write_model(folder / "model", "classification", tokenizer)
    encoder = write_model(folder / "encoder", "similarity", tokenizer)
    return {
        "ENCODER": str(encoder),
        "WRITER": str(rewriting.write_model(folder / "writer")),
        "REVIEWS": str(reviews),
        "REVIEWS_TXT": str(folder / "text.txt"),
        "MODEL": str(model),
    }


def said_of(verb: Verb, kind: str) -> str:
    return SAID.get(kind, "") if verb.said is None else verb.said


CASES = [(verb, kind) for verb in VERBS for kind in KINDS if kind not in verb.without]


@pytest.mark.parametrize(("verb", "kind"), CASES, ids=[f"{verb.line}{verb.suffix} ({kind})" for verb, kind in CASES])
def test_odd_inputs(
    albert: Albert, places: dict[str, str], tmp_path: Path, monkeypatch: pytest.MonkeyPatch, verb: Verb, kind: str
) -> None:
    monkeypatch.setattr("albert.storage.pipes.WAIT", 0.05)
    given = tmp_path / f"given{verb.suffix}"
    KINDS[kind](given)
    out = tmp_path / "out"
    words = {**places, "INPUT": str(given), "OUT": str(out), "OUT.csv": f"{out}.csv", "OUT.jsonl": f"{out}.jsonl",
             "OUT.npy": f"{out}.npy"}  # fmt: skip
    done = albert(*(words.get(word, word) for word in verb.line.split()))
    code = verb.codes.get(kind, verb.code)
    assert done.returncode == code, done.stderr
    assert "Traceback" not in done.stderr
    if code == 0:
        assert "error[" not in done.stderr
        return
    if verb.line.startswith("check") and done.stdout:  # its findings
        assert "error" in done.stdout
        return
    assert done.stderr.count("error[") == 1, done.stderr
    assert said_of(verb, kind) in done.stderr
    assert done.stdout == ""
    left = [path.name for path in tmp_path.iterdir() if path != given]
    assert left == [] or verb.keeps


def test_every_verb_that_reads_is_here(albert: Albert) -> None:
    listed = {
        line.split()[1]
        for line in albert("--help").stdout.splitlines()
        if line.startswith("│ ") and "-" * 2 not in line
    }
    assert listed - {"demo", "doctor", "serve-key", "settings"} == {verb.line.split()[0] for verb in VERBS}
