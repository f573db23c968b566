"""The index follows its folder, finds what is asked for, and survives whatever happens to it."""

from __future__ import annotations

import contextlib
import hashlib
import random
import shutil
import sqlite3
import subprocess
import sys
import time
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

import albert
from albert.documents.vectors import Matrix, best_rows, quantized
from albert.errors import AlbertError, ErrorKind
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert
from served import write_model

TEXTS = {
    "returns.md": "# Returns\n\nYou may return a parcel within 30 days.\n\n## Shoes\n\nUnworn shoes within 14 days.\n",
    "shipping.txt": "We ship on weekdays.\n\nOrders above 50 euros are sent for free.\n",
    "policies/data.html": "<h1>Privacy</h1><p>We keep your data for two years.</p>",
    "faq.csv": "question,answer\nHow do I reset my password?,Press Reset on the account page.\n",
}


def write_folder(folder: Path, texts: dict[str, str] = TEXTS) -> Path:
    for name, text in texts.items():
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).write_text(text)
    return folder


def dump(path: Path) -> str:
    """A hash of all that the index holds, in its order."""
    with sqlite3.connect(path) as connection:
        tables = ("about", "files", "documents", "passages", "vectors")
        rows = [connection.execute(f"SELECT * FROM {table} ORDER BY 1").fetchall() for table in tables]
        rows.append(connection.execute("SELECT rowid FROM words WHERE words MATCH 'days OR data'").fetchall())
        connection.execute("INSERT INTO words (words, rank) VALUES ('integrity-check', 1)")
    return hashlib.sha256(repr(rows).encode()).hexdigest()


@pytest.fixture
def docs(tmp_path: Path) -> Path:
    return write_folder(tmp_path / "docs")


@pytest.fixture(scope="module")
def encoder(tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("encoder") / "model", "similarity", tokenizer)


def test_it_follows_its_folder(docs: Path, tmp_path: Path) -> None:
    with albert.Index(tmp_path / "kb.db") as kb:
        assert kb.add(docs).added == 4
        assert kb.add(docs).same == 4
        (docs / "shipping.txt").write_text("We ship on Sundays too.")
        (docs / "returns.md").unlink()
        (docs / "new.txt").write_text("A new lamp.")
        done = kb.add(docs)
        assert (done.added, done.changed, done.removed, done.same) == (1, 1, 1, 2)
        assert [hit.text for hit in kb.search("ship")] == ["We ship on Sundays too."]
        assert not kb.search("parcel")
        assert kb.search("lamp")[0].path == "docs/new.txt"
        assert kb.remove("docs/policies") == 1
        assert kb.status().files == 3


def test_hits_tell_their_place(docs: Path, tmp_path: Path) -> None:
    with albert.Index(tmp_path / "kb.db") as kb:
        kb.add(docs)
        hit = kb.search("worn shoes")[0]
        text = (docs / "returns.md").read_text()
        assert (hit.path, hit.line, hit.heading) == ("docs/returns.md", 5, "Returns > Shoes")
        assert text[hit.start : hit.end] == hit.text
        assert {hit.path for hit in kb.search("days euros data", path="docs/policies/*")} == {"docs/policies/data.html"}
        assert kb.ask("How can I reset the password?").text == "Press Reset on the account page."
        assert not kb.ask("Who is the king?").found


def test_vectors_are_those_of_one_model(docs: Path, tmp_path: Path, encoder: Path, tokenizer: AlbertTokenizer) -> None:
    with albert.Index(tmp_path / "kb.db", vectors=encoder) as kb:
        kb.add(docs)
        both = kb.search("return a parcel")[0]
        assert both.words == 1
        assert all(hit.vectors for hit in kb.search("return a parcel", words=False))
    with albert.Index(tmp_path / "kb.db") as kb:  # the model is known from the file
        assert kb.search("return a parcel")[0] == both
        (docs / "more.txt").write_text("A parcel more.")
        kb.add(docs)
        assert len(kb.search("zzz", words=False)) == kb.status().passages
        assert {hit.path for hit in kb.search("zzz", path="docs/more*")} == {"docs/more.txt"}
    other = write_model(tmp_path / "other", "similarity", tokenizer, seed=1)
    with pytest.raises(AlbertError, match="another model") as caught:
        albert.Index(tmp_path / "kb.db", vectors=other)
    assert caught.value.kind is ErrorKind.MODEL


def test_the_nearest_vectors_are_those_of_plain_products() -> None:
    import numpy as np

    rng = np.random.default_rng(0)
    table = rng.normal(size=(20_000, 24)).astype(np.float32)
    table /= np.linalg.norm(table, axis=1, keepdims=True)
    matrix = Matrix.of([(7 * row, *quantized(vector)) for row, vector in enumerate(table)])
    for query in table[:20]:
        cosines = matrix.cosines(query)
        found, wanted = best_rows(cosines, 10), np.argsort(-(table @ query))[:10]
        assert found[0] == wanted[0]
        assert len(set(found) & set(wanted)) >= 9
        assert cosines[found[0]] == pytest.approx(1, abs=0.02)


SYNTAX = [
    '"',
    "'",
    "*",
    "^",
    ":",
    "(",
    ")",
    "{",
    "}",
    "[",
    "-",
    "+",
    "~",
    "NEAR",
    "AND",
    "OR",
    "NOT",
    "shoes",
    "text:",
    "%",
    ";",
]


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture], max_examples=60)
@given(query=st.text(max_size=60) | st.lists(st.sampled_from(SYNTAX), max_size=12).map(" ".join))
def test_no_question_is_a_command(query: str, shared_index: albert.Index) -> None:
    kb = shared_index
    assert all(hit.path.startswith("docs/") for hit in kb.search(query))
    assert kb.status().files == 4
    kb.search("shoes", path=query)


@pytest.fixture(scope="module")
def shared_index(tmp_path_factory: pytest.TempPathFactory) -> albert.Index:
    folder = tmp_path_factory.mktemp("shared")
    kb = albert.Index(folder / "kb.db")
    kb.add(write_folder(folder / "docs"))
    return kb


def test_a_broken_file_is_skipped_and_named(docs: Path, tmp_path: Path) -> None:
    (docs / "broken.pdf").write_bytes(b"%PDF-1.4")
    (docs / "latin.txt").write_bytes(b"caf\xe9")
    with albert.Index(tmp_path / "kb.db") as kb:
        done = kb.add(docs)
        assert done.added == 6
        assert [problem.split(":")[0] for problem in done.problems] == ["docs/broken.pdf", "docs/latin.txt"]
        assert kb.status().documents == 4
        assert kb.add(docs).problems == done.problems == kb.status().problems
        (docs / "latin.txt").write_text("café")
        assert len(kb.add(docs).problems) == 1
        assert kb.search("cafe")[0].text == "café"


@pytest.mark.parametrize("data", [b"not a database, but long enough to look like one " * 40, None])
def test_another_programs_file_is_refused(tmp_path: Path, data: bytes | None) -> None:
    path = tmp_path / "other.db"
    if data is None:
        with sqlite3.connect(path) as connection:
            connection.execute("CREATE TABLE accounts (name TEXT)")
    else:
        path.write_bytes(data)
    before = path.read_bytes()
    with pytest.raises(AlbertError, match="index of documents") as caught:
        albert.Index(path)
    assert caught.value.kind is ErrorKind.DATA
    assert path.read_bytes() == before


def test_a_damaged_index_says_so(docs: Path, tmp_path: Path) -> None:
    with albert.Index(tmp_path / "kb.db") as kb:
        kb.add(docs)
    whole = (tmp_path / "kb.db").read_bytes()
    rng, told = random.Random(0), 0
    for _ in range(40):
        damaged = bytearray(whole)
        for _ in range(200):
            damaged[rng.randrange(100, len(damaged))] ^= 1 << rng.randrange(8)
        (tmp_path / "bad.db").write_bytes(damaged)
        for name in ("bad.db-wal", "bad.db-shm"):
            (tmp_path / name).unlink(missing_ok=True)
        with contextlib.suppress(AlbertError), albert.Index(tmp_path / "bad.db") as kb:
            kb.search("parcel days")
            kb.status()
            continue
        told += 1
    assert told > 10


def test_a_second_writer_waits_and_then_is_told_and_readers_go_on(docs: Path, tmp_path: Path) -> None:
    with albert.Index(tmp_path / "kb.db") as kb, albert.Index(tmp_path / "kb.db") as second:
        kb.add(docs)
        second.store.rows("PRAGMA busy_timeout = 100")
        with kb.store.writing() as connection:
            connection.execute("DELETE FROM files")
            assert second.search("parcel")  # as before the transaction
            with pytest.raises(AlbertError, match="in use") as caught:
                second.remove("docs")
        assert caught.value.kind is ErrorKind.LOCKED
        assert not second.search("parcel")


CHANGING = """
import sys
from pathlib import Path
import albert
from albert.documents import index
index._TOGETHER = 2
with albert.Index(sys.argv[1]) as kb:
    kb.add(sys.argv[2])
"""


def kill_while_it_changes(folder: Path, kills: int) -> None:
    """An index of a changing folder, killed at any moment and begun again, ends as one that nobody disturbed."""
    rng = random.Random(1)
    docs = folder / "docs"
    docs.mkdir()
    for side in ("calm", "killed"):
        shutil.rmtree(docs)
        for generation in range(3):
            texts = {f"{n}.txt": f"Text {n} of {n % (generation + 2)} days. " * 30 for n in range(generation, 40)}
            shutil.rmtree(docs, ignore_errors=True)
            write_folder(docs, texts)
            command = [sys.executable, "-c", CHANGING, str(folder / f"{side}.db"), str(docs)]
            for _ in range(kills // 3 if side == "killed" else 0):
                process = subprocess.Popen(command)
                time.sleep(rng.uniform(1.0, 2.2))
                process.kill()
                process.wait()
            subprocess.run(command, check=True)
    assert dump(folder / "calm.db") == dump(folder / "killed.db")


@pytest.mark.slow
def test_killed_a_hundred_times(tmp_path: Path) -> None:
    kill_while_it_changes(tmp_path, 99)


def test_a_transaction_that_fails_leaves_nothing(docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from albert.documents import index

    with albert.Index(tmp_path / "kb.db") as kb:
        kb.add(docs)
        before = dump(tmp_path / "kb.db")
        for name in TEXTS:
            (docs / name).write_text((docs / name).read_text() + " more")
        calls = iter(range(100))

        def failing(*_: object) -> None:
            if next(calls) == 2:
                raise sqlite3.OperationalError("database or disk is full")
            insert(*_)  # type: ignore[arg-type]

        insert = index._insert
        monkeypatch.setattr(index, "_insert", failing)
        with pytest.raises(AlbertError):
            kb.add(docs)
        assert dump(tmp_path / "kb.db") == before
        monkeypatch.setattr(index, "_insert", insert)
        assert kb.add(docs).changed == 4


def test_a_file_that_vanishes_meanwhile_is_named(docs: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from albert.documents import index

    read = index.extract

    def vanishing(path: Path) -> object:
        path.unlink()
        return read(path)

    monkeypatch.setattr(index, "extract", vanishing)
    with albert.Index(tmp_path / "kb.db") as kb:
        assert len(kb.add(docs).problems) == 4


def test_the_command_line(docs: Path, tmp_path: Path, albert: Albert) -> None:
    kb = tmp_path / "kb.db"
    done = albert("index", docs, "-o", kb)
    assert done.returncode == 0, done.stderr
    assert "passages   5" in done.stdout
    found = albert("search", kb, "unworn shoes")
    assert found.stdout.startswith("1. docs/returns.md:5  Returns > Shoes")
    assert "no answer" in albert("ask", kb, "Who is the king?").stdout
    assert albert("index", kb, "--remove", "docs/faq.csv").stdout.startswith("removed    1")
    for command, code in (
        (("search", tmp_path / "none.db", "x"), 65),
        (("index", docs), 2),
        (("index", tmp_path / "nowhere", "-o", tmp_path / "new.db"), 65),
        (("index", docs, "-o", tmp_path), 74),
        (("search", kb, "x", "--top-k", "0"), 2),
    ):
        done = albert(*command)
        assert done.returncode == code, (command, done.stderr)
        assert "Traceback" not in done.stderr
