"""The command line as a person meets it: exit codes, one clear line for bad input, pipes."""

from __future__ import annotations

import json
import os
import resource
import shlex
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import Albert, write_reviews

pytestmark = pytest.mark.ci  # minutes altogether

QUICK = ["--size", "tiny"] + [
    word
    for setting in (
        "epochs=8",
        "initializer_range=0.1",
        "lr=3e-3",
        "batch_size=16",
        "hidden_size=32",
        "num_attention_heads=2",
        "intermediate_size=64",
        "precision=fp32",
    )
    for word in ("--set", setting)
]


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("cli")
    data = write_reviews(folder / "reviews.csv", rows=200)
    command = [sys.executable, "-m", "albert", "train", str(data), "-o", str(folder / "out"), *QUICK]
    done = subprocess.run(command, capture_output=True, text=True, timeout=240, check=False)
    assert done.returncode == 0, done.stderr
    assert "baseline, always" in done.stderr
    assert "at most, measured" in done.stderr  # the measured estimate
    assert "accuracy" in done.stdout
    return folder / "out"


def refused(done: subprocess.CompletedProcess[str], code: int, *parts: str) -> None:
    """One error, no traceback, the right exit code, nothing on stdout."""
    assert done.returncode == code, (done.returncode, done.stderr)
    assert "Traceback" not in done.stderr
    assert done.stderr.count("error[") == 1, done.stderr
    for part in parts:
        assert part in done.stderr
    assert done.stdout == ""


def test_help_is_quick() -> None:
    """By the processor's time; the first start may compile the modules, and others use the machine."""
    seconds = []
    for _ in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        done = subprocess.run([sys.executable, "-m", "albert", "--help"], capture_output=True, text=True, check=True)
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        for verb in ("check", "train", "evaluate", "predict", "demo", "doctor", "tokenizer"):
            assert verb in done.stdout
        seconds.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(seconds) < 0.5


def test_version_and_usage(albert_process: Albert) -> None:
    assert albert_process("--version").stdout.startswith("albert ")
    assert albert_process("train").returncode == 2
    assert albert_process("nonsense").returncode == 2


# --- bad input: one clear line each, exit code, nothing written ------------------------------------------


@pytest.mark.parametrize(
    ("content", "code", "parts"),
    [
        (None, 65, ["no such file"]),
        (b"", 65, ["an empty file"]),
        (b"text,label\n", 65, ["a header alone"]),
        (b"text,label\n" + b"x y,spam\n" * 20, 65, ["one class, 'spam'"]),
        (b"text,label\nx,a\ny\nz,b\n", 65, ["data.csv:3: ragged row: expected 2 columns, got 1"]),
        (b"text,label\nx,a\ncaf\xe9,b\n", 65, ["data.csv:3", "not utf-8", "--encoding"]),
        (b"text,label\nx,a\ny\0,b\n", 65, ["data.csv:3", "NUL"]),
        (b"text,label\nx,a\n" + b"y" * 1_100_000 + b",b\n", 65, ["data.csv:3", "line too long"]),
        (b"text,label\nx,a\n,b\nz,\n", 65, ["data.csv:3: no text", "data.csv:4: no label"]),
        (b"text,label\nx,a\ny,b\n", 65, ["enough different texts"]),
        (b"a,b\n1,2\n3,4\n5,6\n7,8\n", 65, ["which column is the label"]),
        ("text,label\nx,a\n".encode("utf-16"), 65, ["UTF-16"]),
    ],
)
def test_bad_training_files(albert: Albert, tmp_path: Path, content: bytes | None, code: int, parts: list[str]) -> None:
    if content is not None:
        (tmp_path / "data.csv").write_bytes(content)
    refused(albert("train", tmp_path / "data.csv", "-o", tmp_path / "out", *QUICK), code, *parts)
    assert not (tmp_path / "out").exists()


def test_a_byte_order_mark_is_no_fault(albert: Albert, tmp_path: Path) -> None:
    data = write_reviews(tmp_path / "data.csv", rows=40)
    data.write_bytes(b"\xef\xbb\xbf" + data.read_bytes())
    done = albert("train", data, "-o", tmp_path / "out", "--quiet", *QUICK)
    assert done.returncode == 0, done.stderr


def test_an_unknown_label_in_dev(albert: Albert, reviews: Path, tmp_path: Path) -> None:
    (tmp_path / "dev.csv").write_text("text,label\nfine,positive\nhm,positve\n")
    done = albert("train", reviews, "--dev", tmp_path / "dev.csv", "-o", tmp_path / "out", *QUICK)
    refused(done, 65, "dev.csv:3", "did you mean 'positive'")
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("setting", "code", "parts"),
    [
        ("lr", 2, ["name=value"]),
        ("learning_rate=1", 78, ["unknown setting"]),
        ("lr=fast", 78, ["expected float", "'fast'"]),
        ("epochs=0", 78, ["epochs"]),
        ("hidden_size=999999999", 78, ["hidden_size"]),
        ("num_attention_heads=7", 78, ["a multiple of 7 heads"]),
    ],
)
def test_bad_settings(albert: Albert, reviews: Path, tmp_path: Path, setting: str, code: int, parts: list[str]) -> None:
    refused(albert("train", reviews, "-o", tmp_path / "out", "--quiet", "--set", setting), code, *parts)
    assert not (tmp_path / "out").exists()


def test_a_run_is_not_overwritten_by_accident(albert: Albert, reviews: Path, model: Path) -> None:
    refused(albert("train", reviews, "-o", model, *QUICK), 2, "--resume", "--overwrite")


def test_other_settings_cannot_resume(albert: Albert, tmp_path: Path) -> None:
    data = write_reviews(tmp_path / "data.csv", rows=40)
    assert albert("train", data, "-o", tmp_path / "out", "--quiet", *QUICK).returncode == 0
    done = albert("train", data, "-o", tmp_path / "out", "--quiet", "--resume", *QUICK, "--set", "hidden_size=16")
    refused(done, 78, "cannot resume", "hidden_size 32", "got hidden_size 16", "--set hidden_size=32")
    hidden = ("--set", "hidden_size=32")
    options = (*QUICK, *hidden, "--set", "batch_size=4", "--set", "hardening=false", "--max-length", "16")
    done = albert("train", data, "-o", tmp_path / "out", "--quiet", "--resume", *options)
    refused(done, 78, "--set batch_size=", "--set hardening=true", "--max-length 128", "--overwrite")


def test_a_read_only_place_is_a_disk_error(albert: Albert, reviews: Path, tmp_path: Path) -> None:
    target = Path("/proc/albert-out")
    if os.name != "posix" or not Path("/proc").is_dir():
        pytest.skip("needs /proc as a place where nobody can write")
    done = albert("train", reviews, "-o", target, *QUICK)
    assert done.returncode == 74 or "No such file" in done.stderr
    assert "Traceback" not in done.stderr


def copy_model(model: Path, target: Path) -> Path:
    target.mkdir()
    for path in model.iterdir():
        if path.is_file() and path.name != "manifest.json":
            (target / path.name).write_bytes(path.read_bytes())
    return target


def test_bad_models(albert: Albert, model: Path, tmp_path: Path) -> None:
    text = {"input": "a great day\n"}
    refused(albert("predict", tmp_path / "nowhere", **text), 66, "no such folder")

    pickle = copy_model(model, tmp_path / "pickle")
    (pickle / "model.safetensors").rename(pickle / "pytorch_model.bin")
    refused(albert("predict", pickle, **text), 77, "pytorch_model.bin", "convert")

    truncated = copy_model(model, tmp_path / "truncated")
    whole = (truncated / "model.safetensors").read_bytes()
    (truncated / "model.safetensors").write_bytes(whole[: len(whole) // 2])
    refused(albert("predict", truncated, **text), 66, "truncated")

    absurd = copy_model(model, tmp_path / "absurd")
    config = json.loads((absurd / "config.json").read_text())
    (absurd / "config.json").write_text(json.dumps({**config, "num_hidden_layers": 10**9}))
    refused(albert("predict", absurd, **text), 78, "num_hidden_layers", "expected a whole number from 1 to 512")

    other = copy_model(model, tmp_path / "other")
    (other / "config.json").write_text(json.dumps({**config, "hidden_size": 64}))
    refused(albert("predict", other, **text), 66, "expected [64")


# --- evaluate, predict -------------------------------------------------------------------------------------


def test_evaluate_prints_scores_and_gates(albert: Albert, model: Path, tmp_path: Path) -> None:
    data = write_reviews(tmp_path / "test.csv", rows=60, seed=3)
    done = albert("evaluate", model, data, "--json", "--min", "accuracy=0.5")
    assert done.returncode == 0, done.stderr
    scores = json.loads(done.stdout)["scores"]
    assert 0.5 <= scores["accuracy"] <= 1
    missed = albert("evaluate", model, data, "--min", "accuracy=1.01")
    assert missed.returncode == 4
    assert "below 1.01" in missed.stderr
    refused(albert("evaluate", model, data, "--min", "f1"), 2, "score=number")


def test_evaluate_needs_something_to_evaluate(albert: Albert, model: Path) -> None:
    refused(albert("evaluate", model), 2, "--behaviour")
    refused(albert("evaluate", model, "--glue", "RTF", "."), 2, "RTE")


def test_glue_is_scored_and_predicted_for_its_site(albert: Albert, model: Path, tmp_path: Path) -> None:
    """The model's labels are not CoLA's, which is said; with SST-2's, scores and a submission come."""
    folder = tmp_path / "glue" / "SST-2"
    folder.mkdir(parents=True)
    (folder / "dev.tsv").write_text("sentence\tlabel\na great lamp\t1\na terrible soup\t0\n")
    (folder / "test.tsv").write_text("index\tsentence\n0\ta lovely coat\n1\ta broken chair\n")
    (folder.parent / "CoLA").mkdir()
    (folder.parent / "CoLA" / "dev.tsv").write_text("x\t1\t\tA lamp glows.\nx\t0\t*\tLamp a glow.\n")
    refused(albert("evaluate", model, "--glue", "CoLA", folder.parent), 66, "fine-tune it on CoLA")
    assert albert("evaluate", model, "--glue", "SST-2", folder.parent).returncode == 0
    data = tmp_path / "sst.csv"
    rows = write_reviews(tmp_path / "reviews.csv").read_text().replace("positive", "1").replace("negative", "0")
    data.write_text(rows)
    trained = albert("train", data, "-o", tmp_path / "sst", "--size", "tiny", "--set", "epochs=4")
    assert trained.returncode == 0, trained.stderr
    done = albert(
        "evaluate", tmp_path / "sst", folder.parent, "--glue", "sst-2", "--submission", tmp_path / "out", "--json"
    )
    assert done.returncode == 0, done.stderr
    assert set(json.loads(done.stdout)["scores"]) == {"accuracy"}
    assert (tmp_path / "out" / "SST-2.tsv").read_text().splitlines()[0] == "index\tprediction"
    assert len((tmp_path / "out" / "SST-2.tsv").read_text().splitlines()) == 3


def test_behavioural_tests_print_what_failed_and_can_gate(albert: Albert, model: Path, tmp_path: Path) -> None:
    suite = tmp_path / "suite.toml"
    suite.write_text(
        '[labels]\npositive = ["1"]\nnegative = ["0"]\n[[test]]\ncapability = "words"\nname = "plain"\ntype = "MFT"\n'
        'inputs = ["a great lamp", "a lovely coat"]\nexpect = "negative"\n'
    )
    done = albert("evaluate", model, "--behaviour", suite, "--min", "pass_rate=0.9")
    assert done.returncode == 4, done.stderr
    assert "a great lamp" in done.stdout
    assert "pass_rate" in done.stdout
    found = json.loads(albert("evaluate", model, "--behaviour", suite, "--json").stdout)
    assert found["tests"][0]["cases"] == 2


def test_predict_reads_stdin_and_writes_stdout(albert: Albert, albert_process: Albert, model: Path) -> None:
    done = albert_process("predict", model, input="a great lamp\n\na terrible soup\n")
    assert done.returncode == 0, done.stderr
    rows = [json.loads(line) for line in done.stdout.splitlines()]
    assert [row["text"] for row in rows] == ["a great lamp", "", "a terrible soup"]
    assert set(rows[0]) == {"text", "prediction", "score"}
    tabular = albert("predict", model, "-", "--output-format", "csv", input="text,id\na great lamp,7\n")
    assert tabular.stdout.splitlines()[0] == "text,id,prediction,score"
    everything = albert("predict", model, "-", "--top-k", 0, input='{"text": "a great lamp", "n": [1]}\n')
    assert {p["label"] for p in json.loads(everything.stdout)["predictions"]} == {"positive", "negative"}


def test_predict_stops_quietly_when_its_reader_leaves(model: Path) -> None:
    program = shlex.join([sys.executable, "-m", "albert", "predict", str(model)])
    command = f"yes 'a great lamp' | head -n 20000 | {program} | head -n 1"
    done = subprocess.run(command, shell=True, capture_output=True, text=True, timeout=240, check=False)
    assert json.loads(done.stdout)["text"] == "a great lamp"
    assert "Traceback" not in done.stderr
    assert "BrokenPipe" not in done.stderr


def test_doctor_finds_all_well(albert_process: Albert) -> None:
    done = albert_process("doctor", "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["checks"] == {"tokenizer": True, "forward and backward": True}
