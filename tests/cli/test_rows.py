"""`albert embed`, `rerank`, `moderate` and `fill-mask`: the same answers as over HTTP, streamed, resumable."""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import httpx
import numpy as np
import pytest

import albert as package
from albert.predict import files
from albert.predict.files import embed_file, moderate_file
from albert.predict.predictor import Predictor
from conftest import Albert
from served import PRETRAINED, Running

pytestmark = pytest.mark.ci  # minutes altogether

TEXTS = ["the cat sleeps", "rain", "a dog barks at the cat " * 30, "", "a dog", "naïve café"]


@pytest.fixture(scope="module")
def folder(every_model: tuple[Running, Path]) -> Path:
    return every_model[1]


@pytest.fixture(scope="module")
def client(every_model: tuple[Running, Path]) -> Iterator[httpx.Client]:
    with every_model[0].client() as client:
        yield client


@pytest.fixture
def rows(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text("".join(json.dumps({"id": n, "text": text}) + "\n" for n, text in enumerate(TEXTS)))
    return path


def post(client: httpx.Client, path: str, **body: Any) -> Any:
    response = client.post(path, json=body)
    assert response.status_code == 200, response.text
    return response.json()


def lines(text: str) -> list[Any]:
    return [json.loads(line) for line in text.splitlines()]


# --- embed ------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["similarity", "retrieval", PRETRAINED])
@pytest.mark.parametrize("options", [(), ("--raw",), ("--dimensions", 5)])
def test_vectors_are_those_of_the_server(
    albert: Albert, client: httpx.Client, folder: Path, rows: Path, model: str, options: tuple[Any, ...]
) -> None:
    done = albert("embed", folder / model, rows, *options)
    assert done.returncode == 0, done.stderr
    found = lines(done.stdout)
    assert [row["id"] for row in found] == list(range(len(TEXTS)))
    body: dict[str, Any] = {"normalize": "--raw" not in options}
    if "--dimensions" in options:
        body["dimensions"] = 5
    wanted = post(client, "/embed", inputs=TEXTS, model=model, **body)
    assert np.asarray([row["embedding"] for row in found]) == pytest.approx(np.asarray(wanted), abs=2e-2)
    assert "1 texts are longer than" in done.stderr
    assert "rows without a text" in done.stderr


@pytest.mark.parametrize("model", ["similarity", PRETRAINED])
def test_vectors_of_python_are_those_of_the_file(albert: Albert, folder: Path, rows: Path, tmp_path: Path,
                                                model: str) -> None:  # fmt: skip
    out = tmp_path / "vectors.npy"
    done = albert("embed", folder / model, rows, "-o", out)
    assert (done.returncode, done.stdout) == (0, ""), done.stderr
    table = np.load(out)
    assert (table.dtype, table.shape) == (np.float32, (len(TEXTS), 32))
    wanted = package.load(folder / model).embed(TEXTS)
    assert np.abs(table - wanted).max() < 1e-5
    listed = np.asarray([row["embedding"] for row in lines(albert("embed", folder / model, rows).stdout)])
    assert np.abs(table - listed).max() < 1e-5


def test_an_interrupted_file_of_vectors_goes_on(
    folder: Path, rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    model = package.load(folder / PRETRAINED)
    monkeypatch.setattr(files, "CHUNK", 2)
    out = tmp_path / "vectors.npy"
    embed_file(model, rows, str(tmp_path / "whole.npy"))
    calls = []
    real = type(model).embed

    def failing(self: Any, texts: list[str], **options: Any) -> np.ndarray:
        calls.append(texts)
        if len(texts) and len([each for each in calls if each]) == 3:
            raise KeyboardInterrupt
        return real(self, texts, **options)

    monkeypatch.setattr(type(model), "embed", failing)
    with pytest.raises(KeyboardInterrupt):
        embed_file(model, rows, str(out))
    assert not out.exists()
    monkeypatch.setattr(type(model), "embed", real)
    scored = embed_file(model, rows, str(out))
    assert (scored.rows, scored.resumed) == (6, 4)
    assert out.read_bytes() == (tmp_path / "whole.npy").read_bytes()
    assert sorted(path.name for path in tmp_path.iterdir()) == ["rows.jsonl", "vectors.npy", "whole.npy"]


def test_vectors_to_a_stream_are_lines(albert: Albert, folder: Path) -> None:
    done = albert("embed", folder / "similarity", input="a cat\na dog\n")
    assert [row["text"] for row in lines(done.stdout)] == ["a cat", "a dog"]


@pytest.mark.parametrize(
    ("arguments", "code", "told"),
    [
        (("embed", "classification", "ROWS"), 66, "a model for similarity or retrieval, or a pre-trained one"),
        (("embed", "qa", "ROWS", "-o", "OUT.npy"), 66, "task qa"),
        (("embed", PRETRAINED, "ROWS", "--dimensions", 33), 2, "dimensions: expected 1 to 32"),
        (("embed", PRETRAINED, "ROWS", "-o", "OUT.npy", "--output-format", "csv"), 2, "npy in it"),
        (("embed", PRETRAINED, "ROWS", "-o", "OUT.npy.gz"), 2, "output"),
        (("embed", PRETRAINED, "ROWS", "--text", "txt"), 65, "did you mean 'text'?"),
        (("predict", "classification", "ROWS", "-o", "OUT.npy"), 2, "output"),
        (("moderate", "similarity", "ROWS"), 66, "a model that gives a text labels"),
        (("moderate", PRETRAINED, "ROWS"), 66, "task pre-training"),
        (("rerank", PRETRAINED, "ROWS", "--query", "x"), 66, "gives a pair of texts a number"),
        (("rerank", "classification", "ROWS", "--query", "x"), 66, "gives a pair of texts a number"),
        (("rerank", "similarity", "ROWS"), 2, "--query"),
        (("fill-mask", "classification", "a [MASK]"), 66, "a pre-trained model"),
        (("fill-mask", PRETRAINED, "a [MASK]", "no mask"), 65, "text 2: 'no mask': expected a [MASK]"),
        (("fill-mask", PRETRAINED, "[MASK] " + "word " * 300), 65, "text 1"),
        (("fill-mask", PRETRAINED, "[MASK] \udcff"), 65, "text 1"),
    ],
)
def test_what_cannot_be_done_is_told_in_a_line(
    albert: Albert, folder: Path, rows: Path, tmp_path: Path, arguments: tuple[Any, ...], code: int, told: str
) -> None:
    verb, model, *rest = arguments
    words = {"ROWS": rows, "OUT.npy": tmp_path / "o.npy", "OUT.npy.gz": tmp_path / "o.npy.gz"}
    done = albert(verb, folder / model, *(words.get(word, word) for word in rest))
    assert done.returncode == code, done.stderr
    assert told in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""
    assert [path.name for path in tmp_path.iterdir()] == ["rows.jsonl"]


# --- rerank -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["similarity", "regression"])
@pytest.mark.parametrize("raw", [False, True])
def test_ranks_are_those_of_the_server(
    albert: Albert, client: httpx.Client, folder: Path, rows: Path, model: str, raw: bool
) -> None:
    options = ("--raw-scores",) if raw else ()
    done = albert("rerank", folder / model, rows, "--query", "a cat", "--top-k", 0, "--json", *options)
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    wanted = post(client, "/rerank", query="a cat", texts=TEXTS, model=model, raw_scores=raw, return_text=True)
    scores = {rank["index"]: rank["score"] for rank in wanted}
    assert {rank["index"]: rank["score"] for rank in found} == pytest.approx(scores, abs=5e-2)
    assert [rank["score"] for rank in found] == sorted((rank["score"] for rank in found), reverse=True)
    assert all(rank["text"] == TEXTS[rank["index"]] for rank in found)
    assert found == Predictor.load(folder / model).rerank("a cat", TEXTS, raw_scores=raw)


def test_ranks_for_people(albert: Albert, folder: Path) -> None:
    done = albert("rerank", folder / "similarity", "--query", "cat", "--top-k", 2, input="cat\na  dog\nrain\n")
    assert done.returncode == 0, done.stderr
    assert len(done.stdout.splitlines()) == 2
    assert done.stdout.splitlines()[0].split() == ["1.0000", "cat"]


# --- moderate ---------------------------------------------------------------------------------------------


@pytest.mark.parametrize("model", ["classification", "multilabel"])
@pytest.mark.parametrize("safe", [(), ("Good", "hate")])
def test_flags_are_those_of_the_server(
    albert: Albert, client: httpx.Client, folder: Path, rows: Path, model: str, safe: tuple[str, ...]
) -> None:
    done = albert("moderate", folder / model, rows, *(word for label in safe for word in ("--safe-label", label)))
    assert done.returncode == 0, done.stderr
    found = lines(done.stdout)
    wanted = post(client, "/v1/moderations", input=TEXTS, model=model)["results"]
    for row, result, text in zip(found, wanted, TEXTS, strict=True):
        assert row["text"] == text
        assert row["category_scores"] == pytest.approx(result["category_scores"], abs=2e-2)
        assert row["flagged"] == any(row["categories"].values())
        assert not any(row["categories"].get(label.lower()) for label in safe or ("none",))
    python = Predictor.load(folder / model).moderate(TEXTS, **({"safe_labels": safe} if safe else {}))
    assert [{name: row[name] for name in python[0]} for row in found] == python


def test_moderation_goes_on_and_writes_tables(folder: Path, rows: Path, tmp_path: Path) -> None:
    model = Predictor.load(folder / "classification")
    scored = moderate_file(model, rows, str(tmp_path / "out.csv"))
    assert scored.rows == len(TEXTS)
    header, first, *_ = (tmp_path / "out.csv").read_text().splitlines()
    assert header == "id,text,flagged,categories,category_scores"
    assert first.startswith("0,the cat sleeps,")


# --- fill-mask --------------------------------------------------------------------------------------------


def test_masks_are_filled_together(albert: Albert, folder: Path) -> None:
    texts = ["a cup of [MASK] [MASK]", "[MASK] is a [MASK]."]
    wanted = package.load(folder / PRETRAINED).fill_together(texts, steps=2)
    done = albert("fill-mask", folder / PRETRAINED, *texts, "--steps", 2, "--json")
    assert [json.loads(line) for line in done.stdout.splitlines()] == wanted
    told = albert("fill-mask", folder / PRETRAINED, *texts, "--steps", 2).stdout.splitlines()
    assert told == [f"{one['score']:.4f}  {one['sequence']}" for one in wanted]


def test_masks_are_filled_as_by_the_server(albert: Albert, client: httpx.Client, folder: Path) -> None:
    texts = ["a cup of [MASK]", "[MASK] and [MASK]"]
    done = albert("fill-mask", folder / PRETRAINED, *texts, "--top-k", 3, "--json")
    assert done.returncode == 0, done.stderr
    found = lines(done.stdout)
    wanted = post(client, f"/{PRETRAINED}/fill-mask", inputs=texts, top_k=3)
    assert [len(found[1]), len(found[1][0])] == [2, 3]
    assert [set(piece) for piece in found[0]] == [set(piece) for piece in wanted[0]]
    assert [piece["score"] for piece in found[0]] == pytest.approx([p["score"] for p in wanted[0]], rel=0.05)
    assert found == package.load(folder / PRETRAINED).fill_mask(texts, top_k=3)
    piped = albert("fill-mask", folder / PRETRAINED, "-", "--top-k", 3, "--json", input="\n\n".join(texts))
    assert lines(piped.stdout) == found
    people = albert("fill-mask", folder / PRETRAINED, texts[0], "--top-k", 2).stdout.splitlines()
    assert (people[0], len(people)) == (texts[0], 3)


@pytest.mark.parametrize(
    ("given", "told"), [("", "an empty file"), ("a [MASK]\nb\n", "-:2: 'b': expected a [MASK]"), ("\0", "NUL")]
)
def test_odd_lines_for_masks(albert: Albert, folder: Path, given: str, told: str) -> None:
    done = albert("fill-mask", folder / PRETRAINED, "-", input=given)
    assert (done.returncode, done.stdout) == (65, "")
    assert told in done.stderr


def test_one_text_and_several_are_filled_alike(folder: Path) -> None:
    model = package.load(folder / PRETRAINED, precision="fp32")
    text = "a cup of [MASK] and [MASK]"
    one, [other] = model.fill_mask(text), model.fill_mask([text])
    for mine, theirs in zip(one, other, strict=True):
        assert [piece["token"] for piece in mine] == [piece["token"] for piece in theirs]
        assert [piece["score"] for piece in mine] == pytest.approx([piece["score"] for piece in theirs], rel=1e-4)


# --- Python -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("model", "method", "arguments"), [
    ("similarity", "embed", ()), (PRETRAINED, "embed", ()), ("classification", "moderate", ()),
    ("similarity", "rerank", ("query",)), ("regression", "rerank", ("query",)),
])  # fmt: skip
def test_one_text_in_the_place_of_a_list_is_refused(
    folder: Path, model: str, method: str, arguments: tuple[str, ...]
) -> None:
    loaded = package.load(folder / model)
    with pytest.raises(package.AlbertError, match="expected a list of texts, got one text"):
        getattr(loaded, method)(*arguments, "a text")
    assert len(getattr(loaded, method)(*arguments, ["a text"])) == 1
    assert len(getattr(loaded, method)(*arguments, [])) == 0
