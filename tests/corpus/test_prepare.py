"""`albert prepare`: formats, cuts, duplicates, faults, and the same bytes whatever happens on the way."""

from __future__ import annotations

import bz2
import gzip
import itertools
import json
import lzma
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import pyarrow
import pyarrow.parquet
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

import kill_at
from albert.corpus import chunks
from albert.corpus.job import PrepareConfig
from albert.corpus.prepare import Prepared, prepare
from albert.corpus.reading import corpus_lines
from albert.corpus.shards import open_corpus
from albert.errors import AlbertError, ErrorKind
from albert.storage.locks import run_lock
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert

pytestmark = pytest.mark.ci  # minutes altogether

KILL_AT = Path(kill_at.__file__)
PARAGRAPHS = [
    ["The boat left at nine. Dr. Smith was late!", "Nobody waited for him."],
    ["It rained on Monday.", "On Tuesday, too. The river rose by 1,024, or more."],
    ["A third one"],
]
SENTENCES = [
    ["the boat left at nine.", "dr. smith was late!", "nobody waited for him."],
    ["it rained on monday.", "on tuesday, too.", "the river rose by 1,024, or more."],
    ["a third one"],
]


def run(inputs: Path | Sequence[Path], out: Path, **options: object) -> Prepared:
    """Prepares in this process, in small chunks."""
    paths = (inputs,) if isinstance(inputs, Path) else tuple(inputs)
    return prepare(PrepareConfig(paths, out, **{"chunk_mb": 1 / 64, "workers": 1, **options}))  # type: ignore[arg-type]


def decoded(folder: Path) -> list[list[str]]:
    """The documents of a prepared corpus as lists of sentences."""
    tokenizer = AlbertTokenizer.from_pretrained(folder)
    documents = []
    for shard in open_corpus(folder).shards:
        bounds = shard.sentences.tolist()
        texts = [tokenizer.decode(shard.tokens[a:b].tolist()) for a, b in itertools.pairwise(bounds)]
        edges = shard.documents.tolist()
        documents += [texts[a:b] for a, b in itertools.pairwise(edges)]
    return documents


def contents(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def write_corpus(path: Path, *, documents: int, seed: int = 0, repeated: int = 5) -> Path:
    """JSONL of documents of a few hundred words; every `repeated`-th is one of the first three again."""
    rng = random.Random(seed)
    words = [
        "the",
        "river",
        "boat",
        "house",
        "seven",
        "letter",
        "waits",
        "garden",
        "quiet",
        "arrives",
        "1999,",
        "small",
    ]

    def text() -> str:
        return " ".join(" ".join(rng.choices(words, k=rng.randint(3, 20))).capitalize() + "." for _ in range(30))

    rows = [{"id": i, "paras": [text(), text()]} for i in range(documents)]
    for index in range(repeated, documents, repeated):
        rows[index] = {**rows[index % 3], "id": index}
    path.write_text("".join(json.dumps(row) + "\n" for row in rows), encoding="utf-8")
    return path


# --- formats -------------------------------------------------------------------------------------------------


def compress_zst(data: bytes) -> bytes:
    return pyarrow.compress(data, codec="zstd", asbytes=True)


PACKERS: dict[str, Callable[[bytes], bytes]] = {
    "": bytes,
    ".gz": gzip.compress,
    ".bz2": bz2.compress,
    ".xz": lzma.compress,
    ".zst": compress_zst,
}


@pytest.mark.parametrize("suffix", PACKERS)
@pytest.mark.parametrize("kind", [".txt", ".jsonl"])
def test_text_and_jsonl_plain_and_compressed(tmp_path: Path, kind: str, suffix: str) -> None:
    if kind == ".txt":
        content = "\ufeff\n\n" + "\n \n\n".join("\r\n".join(document) for document in PARAGRAPHS)
    else:
        rows = [{"text": "\n".join(PARAGRAPHS[0])}, {"paras": PARAGRAPHS[1]}, {"text": PARAGRAPHS[2], "paras": 1}]
        content = "\n".join(json.dumps(row) for row in rows)
    path = tmp_path / f"corpus{kind}{suffix}"
    path.write_bytes(PACKERS[suffix](content.encode()))
    prepared = run(path, tmp_path / "shards")
    assert decoded(tmp_path / "shards") == SENTENCES
    assert prepared.manifest["totals"]["documents"] == 3
    assert list(corpus_lines([path])) == [text for document in PARAGRAPHS for text in document]


@pytest.mark.parametrize("lists", [False, True])
def test_parquet_of_texts_or_lists(tmp_path: Path, lists: bool) -> None:
    rows = [document if lists else "\n".join(document) for document in PARAGRAPHS]
    pyarrow.parquet.write_table(pyarrow.table({"id": [1, 2, 3], "body": rows}), tmp_path / "a.parquet")
    run(tmp_path / "a.parquet", tmp_path / "shards", column="body")
    assert decoded(tmp_path / "shards") == SENTENCES


def test_folders_are_read_in_order_and_may_move(tmp_path: Path) -> None:
    for name, document in zip(("a.md", "b/c.txt", "d.text"), PARAGRAPHS, strict=True):
        path = tmp_path / "corpus" / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text("\n".join(document))
    first = run(tmp_path / "corpus", tmp_path / "shards")
    assert decoded(tmp_path / "shards") == SENTENCES
    assert [entry["source"] for entry in first.manifest["shards"]] == ["a.md", "b/c.txt", "d.text"]
    (tmp_path / "corpus").rename(tmp_path / "moved")
    assert run(tmp_path / "moved", tmp_path / "shards").made == 0


SENTENCE = st.lists(st.text("abcdefghij", min_size=1, max_size=7), min_size=1, max_size=8).map(
    lambda words: " ".join(words).capitalize() + "."
)


@settings(max_examples=10)
@given(st.lists(st.lists(st.lists(SENTENCE, min_size=1, max_size=3), min_size=1, max_size=3), min_size=1, max_size=12))
def test_documents_survive_the_round_trip(
    tmp_path_factory: pytest.TempPathFactory, corpus: list[list[list[str]]]
) -> None:
    folder = tmp_path_factory.mktemp("round")
    rows = [{"paras": [" ".join(paragraph) for paragraph in document]} for document in corpus]
    (folder / "c.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    run(folder / "c.jsonl", folder / "shards", chunk_mb=1 / 1024)
    flat = [" ".join(text for paragraph in document for text in paragraph).lower() for document in corpus]
    assert [" ".join(document) for document in decoded(folder / "shards")] == flat


# --- cuts, duplicates, empty documents -------------------------------------------------------------------------


@pytest.mark.parametrize("kind", ["lines.txt", "line.txt", "one.jsonl"])
def test_a_document_longer_than_a_chunk_is_divided_at_sentences(tmp_path: Path, kind: str) -> None:
    texts = [f"This is sentence number {i}." for i in range(200)]
    content = ("\n" if kind == "lines.txt" else " ").join(texts)
    (tmp_path / kind).write_text(json.dumps({"text": content}) if kind == "one.jsonl" else content)
    prepared = run(tmp_path / kind, tmp_path / "shards", chunk_mb=1 / 1024)
    assert [text for part in decoded(tmp_path / "shards") for text in part] == [text.lower() for text in texts]
    totals = prepared.manifest["totals"]
    assert (totals["divided"], totals["documents"], len(prepared.manifest["shards"])) == (1, 6, 6)


def test_a_sentence_longer_than_a_chunk_is_divided_at_spaces(tmp_path: Path) -> None:
    words = ["word", "ünïcödé"] * 300
    (tmp_path / "a.txt").write_text(" ".join(words))
    run(tmp_path / "a.txt", tmp_path / "shards", chunk_mb=1 / 1024)
    joined = " ".join(text for part in decoded(tmp_path / "shards") for text in part)
    assert joined == " ".join(["word", "unicode"] * 300)


def test_chunks_keep_to_their_size(tmp_path: Path) -> None:
    write_corpus(tmp_path / "c.jsonl", documents=20)
    shards = run(tmp_path / "c.jsonl", tmp_path / "shards", chunk_mb=1 / 64).manifest["shards"]
    assert len(shards) > 3
    assert all(0 < entry["read"] <= (1 << 20) / 64 for entry in shards)
    assert [entry["name"] for entry in shards] == [f"00000-{i:05d}" for i in range(len(shards))]


def test_duplicates_are_left_out_but_for_the_first(tmp_path: Path) -> None:
    first = write_corpus(tmp_path / "a.jsonl", documents=20)
    second = write_corpus(tmp_path / "b.jsonl", documents=20)
    both = run([first, second], tmp_path / "all", deduplicate=True)
    totals = both.manifest["totals"]
    assert (totals["documents"], totals["duplicates"]) == (17, 23)
    expected = list(dict.fromkeys(map(tuple, decoded_once(first, tmp_path))))
    assert list(map(tuple, decoded(tmp_path / "all"))) == expected
    assert not list((tmp_path / "all").glob(".tmp-*"))


def decoded_once(path: Path, folder: Path) -> list[list[str]]:
    run(path, folder / "once")
    return decoded(folder / "once")


def test_documents_without_text_are_counted(tmp_path: Path) -> None:
    rows = [{"text": ""}, {"text": " \n "}, {"paras": []}, {"text": "\u200b"}, {"text": "Here."}]
    (tmp_path / "c.jsonl").write_text("\n".join(map(json.dumps, rows)))
    prepared = run(tmp_path / "c.jsonl", tmp_path / "shards", deduplicate=True)
    assert prepared.manifest["totals"]["empty"] == 4
    assert decoded(tmp_path / "shards") == [["here."]]


@pytest.mark.parametrize("content", ["", "\n\n", "\u200b\n"])
def test_a_corpus_without_text_is_refused(tmp_path: Path, content: str) -> None:
    (tmp_path / "a.txt").write_text(content)
    with pytest.raises(AlbertError, match="expected documents"):
        run(tmp_path / "a.txt", tmp_path / "shards")
    assert not (tmp_path / "shards" / "manifest.json").exists()
    (tmp_path / "a.txt").write_text("Here it is.\n")
    assert run(tmp_path / "a.txt", tmp_path / "shards").manifest["totals"]["documents"] == 1


def test_an_empty_file_among_others_is_nothing(tmp_path: Path) -> None:
    for name, text in (("a.txt", ""), ("b.txt", "Here it is.\n"), ("c.txt", "\n\n")):
        (tmp_path / name).write_text(text)
    run(tmp_path, tmp_path / "out" / "shards")
    assert decoded(tmp_path / "out" / "shards") == [["here it is."]]


# --- the same bytes, whatever happens ----------------------------------------------------------------------------


@pytest.fixture(scope="module")
def corpus(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder / "a.jsonl", documents=60)
    write_corpus(folder / "b.jsonl", documents=60, seed=1)
    return folder


@pytest.fixture(scope="module")
def whole(corpus: Path, tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """What an uninterrupted job in one process gives."""
    out = tmp_path_factory.mktemp("whole") / "shards"
    run(corpus, out, chunk_mb=0.05, deduplicate=True)
    return contents(out)


def command(corpus: Path, out: Path, *options: object) -> list[str]:
    settings = ["prepare", corpus, "-o", out, "--chunk-mb", 0.05, "--deduplicate", "--quiet", *options]
    return list(map(str, settings))


def start(*arguments: str) -> subprocess.Popen[str]:
    return subprocess.Popen(
        [sys.executable, "-m", "albert", *arguments],
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    )


def wait_for_shard(process: subprocess.Popen[str], out: Path) -> None:
    deadline = time.monotonic() + 120
    while not list(out.glob("[0-9]*.json")):
        assert process.poll() is None, process.communicate()
        assert time.monotonic() < deadline
        time.sleep(0.01)


def children(pid: int) -> list[int]:
    """The processes below this one."""
    found = Path(f"/proc/{pid}/task/{pid}/children").read_text().split()
    return [child for text in found for child in (int(text), *children(int(text)))]


def assert_gone(pids: list[int]) -> None:
    deadline = time.monotonic() + 60
    while alive := [pid for pid in pids if is_running(pid)]:
        assert time.monotonic() < deadline, f"still there: {alive}"
        time.sleep(0.05)


def is_running(pid: int) -> bool:
    try:
        return Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()[0] != "Z"
    except OSError:
        return False


def test_two_workers_give_what_one_gives(corpus: Path, whole: dict[str, bytes], tmp_path: Path, albert: Albert) -> None:
    done = albert(*command(corpus, tmp_path / "shards", "--workers", 2, "--json"))
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "shards") == whole
    statistics = json.loads(done.stdout)
    assert statistics["documents"] == 98
    assert statistics["duplicates left out"] == 22
    assert statistics["an instance"].startswith("[CLS]")
    assert "[MASK]" in statistics["an instance"]


def test_killed_at_write_boundaries(corpus: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    out = tmp_path / "shards"
    arguments = command(corpus, out, "--workers", 1)
    for number in (1, 3, 12, 30, 40):
        killed = subprocess.run([sys.executable, str(KILL_AT), str(number), *arguments], check=False)
        assert killed.returncode == -signal.SIGKILL
    assert (out / "job.json").is_file()
    assert not (out / "manifest.json").exists()
    again = run(corpus, out, chunk_mb=0.05, deduplicate=True)
    assert 0 < again.made < len(again.manifest["shards"])
    assert contents(out) == whole


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_killed_at_every_write_boundary(corpus: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    code = -signal.SIGKILL
    number = 0
    while code:
        number += 1
        out = tmp_path / str(number)
        arguments = command(corpus, out, "--workers", 1)
        code = subprocess.run([sys.executable, str(KILL_AT), str(number), *arguments], check=False).returncode
        assert code in (0, -signal.SIGKILL)
        run(corpus, out, chunk_mb=0.05, deduplicate=True)
        assert contents(out) == whole
    assert number > 60


@pytest.mark.parametrize(
    ("kill", "number", "code"),
    [
        (os.kill, signal.SIGKILL, -signal.SIGKILL),
        (os.kill, signal.SIGTERM, 75),
        (os.killpg, signal.SIGTERM, 75),  # as a batch system does
        (os.killpg, signal.SIGINT, 130),  # as Ctrl-C does
    ],
)
def test_stopped_with_two_workers(
    kill: Callable[[int, int], None], number: int, code: int, corpus: Path, whole: dict[str, bytes], tmp_path: Path
) -> None:
    out = tmp_path / "shards"
    process = start(*command(corpus, out, "--workers", 2))
    wait_for_shard(process, out)
    workers = children(process.pid)
    kill(process.pid, number)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == code, errors
    assert "Traceback" not in errors
    assert number == signal.SIGKILL or "repeat the command" in errors
    assert_gone(workers)
    again = run(corpus, out, chunk_mb=0.05, deduplicate=True)
    assert again.made < len(again.manifest["shards"])
    assert contents(out) == whole


def test_a_worker_that_dies_ends_the_job(corpus: Path, tmp_path: Path) -> None:
    out = tmp_path / "shards"
    process = start(*command(corpus, out, "--workers", 2))
    wait_for_shard(process, out)
    workers = children(process.pid)
    os.kill(workers[-1], signal.SIGKILL)
    _, errors = process.communicate(timeout=120)
    assert process.returncode == ErrorKind.INTERNAL.exit_code
    assert "a worker process died" in errors
    assert_gone(workers)


@pytest.mark.parametrize("damage", ["cut", "flipped", "missing", "vocabulary"])
def test_what_is_damaged_is_made_anew(corpus: Path, whole: dict[str, bytes], tmp_path: Path, damage: str) -> None:
    for name, data in whole.items():
        (tmp_path / name).write_bytes(data)
    path = tmp_path / ("spiece.model" if damage == "vocabulary" else "00001-00001.tokens.npy")
    raw = bytearray(path.read_bytes())
    raw[len(raw) // 2] ^= 1
    path.unlink() if damage == "missing" else path.write_bytes(raw[:-7] if damage == "cut" else raw)
    again = run(corpus, tmp_path, chunk_mb=0.05, deduplicate=True)
    assert again.made == (damage != "vocabulary")
    assert contents(tmp_path) == whole


def test_a_finished_job_does_nothing(corpus: Path, whole: dict[str, bytes], tmp_path: Path, albert: Albert) -> None:
    out = tmp_path / "shards"
    out.mkdir()
    for name, data in whole.items():
        (out / name).write_bytes(data)
    times = {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != ".lock"}
    done = subprocess.run(
        [sys.executable, "-m", "albert", *command(corpus, out)[:-1]], capture_output=True, text=True, check=True
    )
    assert "nothing to do" in done.stderr
    assert {path.name: path.stat().st_mtime_ns for path in out.iterdir() if path.name != ".lock"} == times


def test_leftovers_are_removed(corpus: Path, whole: dict[str, bytes], tmp_path: Path) -> None:
    (tmp_path / ".tmp-00000-00000.tokens.npy").write_bytes(b"half")
    (tmp_path / ".tmp-seen.sqlite").write_bytes(b"half")
    run(corpus, tmp_path, chunk_mb=0.05, deduplicate=True)
    assert contents(tmp_path) == whole


@pytest.mark.slow
def test_ray_gives_the_same_shards(corpus: Path, tmp_path: Path, albert_process: Albert) -> None:
    pytest.importorskip("ray", reason="needs the extra [ray]")
    run(corpus, tmp_path / "local", chunk_mb=0.05)
    options = ["prepare", corpus, "--chunk-mb", 0.05, "--ray", "local", "--quiet"]
    done = albert_process(*options, "-o", tmp_path / "ray")
    assert done.returncode == 0, done.stderr
    assert contents(tmp_path / "ray") == contents(tmp_path / "local")
    (tmp_path / "bad.jsonl").write_text('{"text": "good"}\n{"text": 1}\n')
    done = albert_process(*options, tmp_path / "bad.jsonl", "-o", tmp_path / "bad")
    assert done.returncode == ErrorKind.DATA.exit_code
    assert "bad.jsonl:2" in done.stderr


# --- errors ----------------------------------------------------------------------------------------------------------


def assert_fails(kind: ErrorKind, pattern: str, call: Callable[[], object]) -> None:
    with pytest.raises(AlbertError, match=pattern) as caught:
        call()
    assert caught.value.kind is kind


def make_parquet(**columns: list[object]) -> bytes:
    sink = pyarrow.BufferOutputStream()
    pyarrow.parquet.write_table(pyarrow.table(columns), sink)
    return sink.getvalue().to_pybytes()


GOOD = b'{"text": "good"}\n'


@pytest.mark.parametrize(
    ("name", "content", "where"),
    [
        ("a.jsonl", GOOD + b"nothing\n", r"a.jsonl:2: .*JSON object"),
        ("a.jsonl", GOOD + b'\n["list"]\n{"x": 1}\n', r"a.jsonl:3: .*list"),
        ("a.jsonl", GOOD + b'{"x": 1}\n', r"a.jsonl:2: .*keys \['x'\]"),
        ("a.jsonl", GOOD + b'{"paras": ["a", 3]}\n', r"a.jsonl:2"),
        ("a.jsonl", GOOD + b'{"text": "\\ud800"}\n', r"a.jsonl:2: .*surrogate"),
        ("a.jsonl", GOOD + b'{"text": ' + b"[" * 100_000, r"a.jsonl:2"),
        ("a.jsonl", GOOD + b'{"text": "caf\xe9"}\n', r"a.jsonl:2: expected UTF-8"),
        ("a.txt", b"good\n\xff\xfe\n", r"a.txt:2: expected UTF-8"),
        ("a.txt", b"good\nbad\0\n", r"a.txt:2: .*NUL"),
        ("a.txt.gz", gzip.compress(b"good\n" * 9, mtime=0)[:-9], r"a.txt.gz.* readable"),
        ("a.txt.xz", lzma.compress(b"good\n" * 9)[:-9], r"a.txt.xz.* readable"),
        ("a.txt.bz2", b"nothing", r"a.txt.bz2.* readable"),
        ("a.txt.zst", compress_zst(b"good\n" * 9)[:-9], r"a.txt.zst.* readable"),
        ("a.parquet", make_parquet(text=["good", None]), r"a.parquet:2: .*NoneType"),
        ("a.parquet", make_parquet(text=[3]), r"a.parquet:1: .*int"),
        ("a.parquet", make_parquet(body=["good"]), r"a.parquet:0: .*columns \['body'\]"),
        ("a.parquet", b"nothing", r"a.parquet:0: .*Parquet"),
    ],
)
def test_bad_input_is_named(tmp_path: Path, name: str, content: bytes, where: str) -> None:
    (tmp_path / name).write_bytes(content)
    assert_fails(ErrorKind.DATA, where, lambda: run(tmp_path / name, tmp_path / "shards"))
    assert not (tmp_path / "shards" / "manifest.json").exists()


def test_bad_input_under_two_workers_leaves_at_once(tmp_path: Path, albert: Albert) -> None:
    write_corpus(tmp_path / "c.jsonl", documents=60)
    with (tmp_path / "c.jsonl").open("a") as file:
        file.write("broken\n")
    done = albert(*command(tmp_path / "c.jsonl", tmp_path / "shards", "--workers", 2))
    assert done.returncode == ErrorKind.DATA.exit_code
    assert "c.jsonl:61" in done.stderr


def test_a_line_beyond_all_measure_is_named(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("albert.corpus.reading.MAX_LINE_BYTES", 1000)
    (tmp_path / "a.txt").write_text("good\n" + "x" * 5000)
    assert_fails(ErrorKind.DATA, r"a.txt:2: .*longer", lambda: run(tmp_path / "a.txt", tmp_path / "shards"))


def test_missing_inputs_are_named(tmp_path: Path) -> None:
    assert_fails(ErrorKind.DATA, "no such file", lambda: run(tmp_path / "nothing", tmp_path / "shards"))
    assert_fails(ErrorKind.DATA, "expected text", lambda: run(tmp_path, tmp_path / "shards"))
    assert not (tmp_path / "shards").exists()


def test_other_settings_on_the_same_folder_are_refused(corpus: Path, tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("One. Two.")
    out = tmp_path / "shards"
    run(tmp_path / "c.txt", out)
    before = contents(out)
    for options in ({"deduplicate": True}, {"chunk_mb": 1}, {"language": "de"}, {"column": "body"}):
        assert_fails(ErrorKind.CONFIG, next(iter(options))[:5], lambda o=options: run(tmp_path / "c.txt", out, **o))
    assert_fails(ErrorKind.CONFIG, "other inputs", lambda: run(corpus, out))
    (tmp_path / "c.txt").write_text("One. Two. Three.")
    assert_fails(ErrorKind.CONFIG, "other inputs.*size", lambda: run(tmp_path / "c.txt", out))
    assert contents(out) == before


def test_a_job_that_finished_no_shard_yields_to_another(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_bytes(b"One.\n\xff")
    assert_fails(ErrorKind.DATA, "c.txt:2", lambda: run(tmp_path / "c.txt", tmp_path / "shards"))
    (tmp_path / "shards" / "00000-00009.tokens.npy").write_bytes(b"of a shard that was never finished")
    (tmp_path / "c.txt").write_text("One. Two.")
    run(tmp_path / "c.txt", tmp_path / "shards")
    run(tmp_path / "c.txt", tmp_path / "expected")
    assert contents(tmp_path / "shards") == contents(tmp_path / "expected")


@pytest.mark.parametrize("deduplicate", [False, True])
def test_a_mended_line_costs_the_files_from_there_on(tmp_path: Path, deduplicate: bool) -> None:
    corpus = tmp_path / "corpus"
    corpus.mkdir()
    for name in "abc":
        write_corpus(corpus / f"{name}.jsonl", documents=20)
    good = (corpus / "b.jsonl").read_text()
    (corpus / "b.jsonl").write_text(good + "broken\n")
    assert_fails(ErrorKind.DATA, "b.jsonl:21", lambda: run(corpus, tmp_path / "shards", deduplicate=deduplicate))
    (corpus / "b.jsonl").write_text(good)
    again = run(corpus, tmp_path / "shards", deduplicate=deduplicate)
    assert again.made == len([entry for entry in again.manifest["shards"] if entry["source"] != "a.jsonl"])
    run(corpus, tmp_path / "expected", deduplicate=deduplicate)
    assert contents(tmp_path / "shards") == contents(tmp_path / "expected")


def test_a_folder_of_something_else_is_left_alone(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("One.")
    model = tmp_path / "model"
    model.mkdir()
    (model / "weights").write_text("precious")
    assert_fails(ErrorKind.CONFIG, "weights", lambda: run(tmp_path / "c.txt", model))
    (model / "manifest.json").write_text('{"files": {}}')
    assert_fails(ErrorKind.CONFIG, "choose another folder", lambda: run(tmp_path / "c.txt", model))
    assert (model / "weights").read_text() == "precious"


def test_two_writers_are_told_apart(tmp_path: Path) -> None:
    (tmp_path / "c.txt").write_text("One.")
    with run_lock(tmp_path / "shards"):
        assert_fails(ErrorKind.LOCKED, "process", lambda: run(tmp_path / "c.txt", tmp_path / "shards"))
    assert run(tmp_path / "c.txt", tmp_path / "shards").made == 1


@pytest.mark.parametrize("options", [{"chunk_mb": 0}, {"workers": 0}, {"language": "English"},
                                     {"deduplicate": True, "ray": "local"}])  # fmt: skip
def test_settings_out_of_range_are_refused(tmp_path: Path, options: dict[str, object]) -> None:
    assert_fails(ErrorKind.CONFIG, "expected", lambda: run(tmp_path, tmp_path / "shards", **options))


def test_a_vocabulary_too_large_for_two_bytes_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / "c.txt").write_text("One.")
    monkeypatch.setattr(AlbertTokenizer, "vocab_size", 65_537)
    assert_fails(ErrorKind.CONFIG, "65,536 pieces", lambda: run(tmp_path / "c.txt", tmp_path / "shards"))
    assert not (tmp_path / "shards").exists()


@pytest.mark.parametrize(("owner", "name"), [(os, "fsync"), (chunks.Seen, "add")])
def test_a_full_disk_is_one_clear_error(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, owner: object, name: str
) -> None:
    write_corpus(tmp_path / "c.jsonl", documents=20)
    real, calls = getattr(owner, name), iter(range(1000))

    def full(*arguments: object) -> object:
        if next(calls) > 15:
            raise OSError(28, "No space left on device")
        return real(*arguments)

    with monkeypatch.context() as patch:
        patch.setattr(owner, name, full)
        assert_fails(ErrorKind.DISK, "No space", lambda: run(tmp_path / "c.jsonl", tmp_path / "s", deduplicate=True))
    assert not (tmp_path / "s" / "manifest.json").exists()
    assert not list((tmp_path / "s").glob(".tmp-*"))
    assert run(tmp_path / "c.jsonl", tmp_path / "s", deduplicate=True).manifest["totals"]["documents"] == 17


def test_a_missing_extra_names_the_command(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    monkeypatch.setitem(sys.modules, "pyarrow.parquet", None)
    for name in ("a.txt.zst", "a.parquet"):
        (tmp_path / name).write_bytes(b"")
        assert_fails(ErrorKind.CONFIG, r"pip install '\.\[data\]'", lambda n=name: run(tmp_path / n, tmp_path / "s"))


def test_workers_are_light() -> None:
    code = f"import sys, {chunks.__name__}; print([m for m in ('torch', 'pyarrow', 'ray') if m in sys.modules])"
    assert subprocess.check_output([sys.executable, "-c", code], text=True).strip() == "[]"
