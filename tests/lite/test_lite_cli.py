"""`albert-lite predict`, the example in C, and the fuzz driver, as processes of their own."""

from __future__ import annotations

import csv
import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from albert.predict.predictor import Predictor
from albert.text.tokenizer import AlbertTokenizer
from conftest import ROOT
from lites import PACKAGE, build
from served import write_model

pytestmark = pytest.mark.ci  # the first one builds the library


@pytest.fixture(scope="module")
def model(tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_model(tmp_path_factory.mktemp("cli") / "model", "classification", tokenizer)


def run(lite: Any, *arguments: object, input: str = "") -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-W", "error", "-m", "albert_lite.cli", "predict", *map(str, arguments)],
        input=input, capture_output=True, text=True, check=False, env={**os.environ, "PYTHONPATH": str(PACKAGE)},
    )  # fmt: skip


def test_lines_from_standard_input(lite: Any, model: Path) -> None:
    done = run(lite, model, "--precision", "fp32", input="a great lamp\n\nthe café\n")
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    predictor = Predictor.load(model, precision="fp32")
    wanted = predictor(["a great lamp", "the café"])
    assert [row["text"] for row in rows] == ["a great lamp", "the café"]
    assert [row["prediction"] for row in rows] == [each["label"] for each in wanted]
    assert [row["score"] for row in rows] == pytest.approx([each["score"] for each in wanted], abs=1e-4)


@pytest.mark.parametrize("kind", ["csv", "jsonl"])
def test_tables_keep_their_columns(lite: Any, model: Path, tmp_path: Path, kind: str) -> None:
    rows = [{"text": "a, great lamp", "id": "1"}, {"text": 'an "awful" one', "id": "2"}]
    source, out = tmp_path / f"in.{kind}", tmp_path / "out.jsonl"
    with source.open("w", newline="", encoding="utf-8") as file:
        if kind == "csv":
            writer = csv.DictWriter(file, ["text", "id"])
            writer.writeheader()
            writer.writerows(rows)
        else:
            file.writelines(json.dumps(row) + "\n" for row in rows)
    done = run(lite, model, source, "-o", out, "--top-k", 0)
    assert (done.returncode, done.stdout, done.stderr) == (0, "", "")
    found = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert [{name: row[name] for name in ("text", "id")} for row in found] == rows
    assert all(len(row["predictions"]) == 3 for row in found)


@pytest.mark.parametrize(
    ("arguments", "input", "code", "told"),
    [
        (["none"], "x", 66, "error[bad-model] none/config.json"),
        (["MODEL", "in.csv"], "", 74, "error[disk] in.csv: No such file"),
        (["MODEL"], "", 65, "error[bad-data] -: expected rows of data"),
        (["MODEL", "--format", "jsonl"], "[1]\n", 65, "error[bad-data] line 1: expected a JSON object"),
        (["MODEL", "--format", "csv"], "a,b\n1\n", 65, "error[bad-data] line 2: expected 2 cells"),
        (["MODEL", "--format", "csv"], "a,b\n1,2\n", 65, "expected a column 'text', got a, b"),
        (["MODEL", "--precision", "fp8"], "x", 2, "error[usage] precision"),
        (["MODEL", "--aggregation", "most"], "x", 2, "error[usage] aggregation"),
    ],
)
def test_mistakes_are_one_line(lite: Any, model: Path, arguments: list[str], input: str, code: int, told: str) -> None:
    done = run(lite, *(str(model) if each == "MODEL" else each for each in arguments), input=input)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (code, "", 1), done
    assert told in done.stderr


def test_a_failed_call_leaves_no_output(lite: Any, model: Path, tmp_path: Path) -> None:
    bad = tmp_path / "in.jsonl"
    bad.write_text('{"text": "fine"}\n{"text": 1e400}\n{"text": null}\n', encoding="utf-8")
    assert run(lite, model, bad, "-o", tmp_path / "out.jsonl").returncode == 65
    assert [path.name for path in tmp_path.iterdir()] == ["in.jsonl"]


def test_the_example_in_c(lite_build: Path, model: Path, tmp_path: Path) -> None:
    done = subprocess.run([lite_build / "predict", model, "a great lamp"], capture_output=True, text=True, check=True)
    [best] = Predictor.load(model)("a great lamp")
    label, score, text = done.stdout.rstrip("\n").split("\t")
    assert (label, text) == (best["label"], "a great lamp")
    assert float(score) == pytest.approx(best["score"], abs=0.01)
    failed = subprocess.run([lite_build / "predict", tmp_path, "x"], capture_output=True, text=True, check=False)
    assert (failed.returncode, failed.stderr.count("\n")) == (66, 1)


@pytest.mark.slow
def test_mutants_under_sanitizers(tmp_path: Path) -> None:
    """ALBERT_LITE_ROUNDS=1000000 for the long form."""
    folder = build(ROOT / "build" / "lite-sanitized", "-DALBERT_LITE_SANITIZE=ON")
    subprocess.run([sys.executable, ROOT / "lite" / "fuzz" / "models.py", tmp_path], check=True, timeout=300)
    rounds = os.environ.get("ALBERT_LITE_ROUNDS", "20000")
    done = subprocess.run([folder / "fuzz", rounds, "1", *sorted(tmp_path.iterdir())], capture_output=True, text=True,
                          check=False)  # fmt: skip
    assert done.returncode == 0, done.stdout[-2000:] + done.stderr[-4000:]
    assert "internal" not in done.stdout
    print(done.stdout.splitlines()[-1])


@pytest.mark.slow
def test_the_wheel_is_small_and_answers(lite: Any, model: Path, tmp_path: Path) -> None:
    command = [sys.executable, "-m", "pip", "wheel", "-q", "--no-deps", "-w", str(tmp_path), str(PACKAGE)]
    subprocess.run(command, check=True, timeout=900)
    [wheel] = tmp_path.glob("*.whl")
    assert wheel.stat().st_size <= 3_000_000
    subprocess.run(
        [sys.executable, "-m", "pip", "install", "-q", "--no-deps", "-t", tmp_path / "there", wheel], check=True
    )
    code = "import albert_lite, sys; print(albert_lite.load(sys.argv[1])('a great lamp')[0]['label'])"
    environment = {name: value for name, value in os.environ.items() if name != "ALBERT_LITE_LIBRARY"}
    done = subprocess.run([sys.executable, "-c", code, model], capture_output=True, text=True, check=True,
                          env={**environment, "PYTHONPATH": str(tmp_path / "there")})  # fmt: skip
    assert done.stdout.strip() == Predictor.load(model)("a great lamp")[0]["label"]


@pytest.mark.slow
def test_the_starter_fine_tuned_answers_alike(lite: Any, reviews: Path, tmp_path: Path) -> None:
    import albert

    predictor = albert.train(reviews, out=tmp_path / "out", quiet=True, settings={"epochs": 1})
    given = [f"a {word} lamp, number {number}" for number, word in enumerate(("great", "awful", "lovely", "useless"))]
    plain = Predictor.load(tmp_path / "out", precision="fp32")
    found = lite.load(tmp_path / "out", precision="fp32")(given)
    assert [each["score"] for each in found] == pytest.approx([each["score"] for each in plain(given)], abs=1e-4)
    assert [each["label"] for each in lite.load(tmp_path / "out")(given)] == [
        each["label"] for each in predictor(given)
    ]
