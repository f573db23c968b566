from __future__ import annotations

import json
import random
import subprocess
import sys
import time
from pathlib import Path

import pytest
import torch

import albert
from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.model import AlbertForTask, load_model, save_model
from albert.predict.files import score_file
from albert.predict.predictor import Predictor
from albert.text.tokenizer import AlbertTokenizer
from conftest import GOOD, small_config, write_reviews

QUICK = {
    "epochs": 8.0,
    "initializer_range": 0.1,
    "batch_size": 16,
    "lr": 3e-3,
    "hidden_size": 32,
    "num_attention_heads": 2,
    "intermediate_size": 64,
    "precision": "fp32",
}


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Predictor:
    folder = tmp_path_factory.mktemp("trained")
    data = write_reviews(folder / "reviews.csv", rows=200)
    return albert.train(data, out=folder / "out", size="tiny", settings=QUICK, quiet=True)


def folder_of(trained: Predictor, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return next(tmp_path_factory.getbasetemp().glob("trained*/out"))


# --- the three lines -------------------------------------------------------------------------------------


def test_it_learns_and_answers_with_the_label_strings(trained: Predictor) -> None:
    assert trained("a lovely lamp") == [{"label": "positive", "score": pytest.approx(1, abs=0.2)}]
    assert trained("a broken chair")[0]["label"] == "negative"


def test_lists_pairs_and_all_labels(trained: Predictor) -> None:
    both = trained(["a great coat", "a useless phone"])
    assert [p["label"] for p in both] == ["positive", "negative"]
    everything = trained(["a great coat"], top_k=None)
    assert {p["label"] for p in everything[0]} == {"positive", "negative"}
    assert trained({"text": "a great coat"}) == trained("a great coat")
    assert trained([]) == []


def test_a_prediction_does_not_depend_on_its_company(trained: Predictor) -> None:
    texts = [f"a {word} thing " + "and so on " * n for n, word in enumerate(GOOD * 8)]
    together = trained(texts)
    for text, prediction in zip(texts, together, strict=True):
        alone = trained(text)[0]
        assert alone["label"] == prediction["label"]
        assert alone["score"] == pytest.approx(prediction["score"], abs=1e-5)


def test_saved_loaded_and_in_transformers_it_says_the_same(
    trained: Predictor, tmp_path_factory: pytest.TempPathFactory
) -> None:
    import transformers

    folder = folder_of(trained, tmp_path_factory)
    assert albert.load(folder)("a lovely lamp") == trained("a lovely lamp")
    theirs = transformers.pipeline("text-classification", model=str(folder), device="cpu")
    mine = albert.load(folder, precision="fp32")("a lovely lamp")[0]
    other = theirs("a lovely lamp")[0]
    assert other["label"] == mine["label"]
    assert other["score"] == pytest.approx(mine["score"], abs=1e-5)


def test_the_folder_is_complete(trained: Predictor, tmp_path_factory: pytest.TempPathFactory) -> None:
    folder = folder_of(trained, tmp_path_factory)
    names = {path.name for path in folder.iterdir()}
    assert {"config.json", "model.safetensors", "spiece.model", "tokenizer.json", "tokenizer_config.json",
            "README.md", "manifest.json", "metrics.jsonl"} <= names  # fmt: skip
    card = (folder / "README.md").read_text()
    assert "negative, positive" in card
    assert "accuracy" in card
    assert not list(folder.glob(".tmp-*"))
    (folder / "README.md").write_text(card + "A word from its owner.\n")
    albert.load(folder)  # a card may be edited, weights may not


def test_evaluation_reports_beside_the_baseline(trained: Predictor, tmp_path: Path) -> None:
    data = write_reviews(tmp_path / "test.csv", rows=60, seed=5)
    result = trained.evaluate(data)
    assert result.rows == 60
    assert result == trained.evaluate(data)
    assert result.baseline == 0.5
    assert result.scores["accuracy"] > 0.9
    result.save(tmp_path / "scores.json")
    assert json.loads((tmp_path / "scores.json").read_text())["scores"] == result.scores


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_training_reports_what_evaluation_finds(tmp_path: Path, precision: str) -> None:
    train = write_reviews(tmp_path / "train.csv", rows=60)
    dev = write_reviews(tmp_path / "dev.csv", rows=40, seed=2)
    settings = {**QUICK, "epochs": 2.0, "precision": precision}
    config = FinetuneConfig(
        train=DataSource(str(train)), dev=str(dev), out=tmp_path / "out", size="tiny", settings=settings
    )
    reported = dict(finetune(config).scores)
    del reported["loss"]
    assert Predictor.load(tmp_path / "out").evaluate(dev).scores == pytest.approx(reported, abs=1e-9)


def test_evaluation_refuses_labels_it_does_not_know(trained: Predictor, tmp_path: Path) -> None:
    (tmp_path / "t.csv").write_text("text,label\nx,positiv\n")
    with pytest.raises(AlbertError, match="did you mean 'positive'"):
        trained.evaluate(tmp_path / "t.csv")


@pytest.mark.ci
def test_regression_on_pairs_end_to_end(tmp_path: Path) -> None:
    rows = ["sentence1\tsentence2\tscore"]
    for i in range(120):
        same = i % 3
        rows.append(f"{['red', 'blue'][i % 2]} boat {i}\t{['no', 'maybe', 'yes'][same]} boat\t{same * 2.2 + 0.1:.2f}")
    (tmp_path / "pairs.tsv").write_text("\n".join(rows))
    settings = {**QUICK, "epochs": 24.0}
    model = albert.train(tmp_path / "pairs.tsv", out=tmp_path / "out", size="tiny", settings=settings, quiet=True)
    low, high = model(("red boat 5", "no boat"))[0], model(("red boat 5", "yes boat"))[0]
    assert low["label"] == "score"
    assert high["score"] - low["score"] > 2
    assert load_model(tmp_path / "out").config.problem_type == "regression"


@pytest.mark.ci
def test_fine_tuning_from_a_folder_beats_its_own_start(trained: Predictor, tmp_path: Path,
                                                       tmp_path_factory: pytest.TempPathFactory) -> None:  # fmt: skip
    data = write_reviews(tmp_path / "more.csv", rows=80, seed=9)
    settings = {"epochs": 1.0, "batch_size": 16, "freeze": "embeddings,encoder", "layer_decay": 0.8}
    again = albert.train(
        data, out=tmp_path / "out", init=folder_of(trained, tmp_path_factory), settings=settings, quiet=True
    )
    before = trained.model.albert.encoder.groups[0][0].ffn.inner.weight
    assert torch.equal(again.model.albert.encoder.groups[0][0].ffn.inner.weight, before)
    assert again.evaluate(data).scores["accuracy"] > 0.9


def test_a_model_without_a_task_says_so(tmp_path: Path, tokenizer: AlbertTokenizer) -> None:
    save_model(AlbertForTask(small_config(), "pretraining", generator=torch.Generator()), tmp_path)
    tokenizer.save(tmp_path)
    with pytest.raises(AlbertError, match="albert train") as caught:
        Predictor.load(tmp_path)
    assert caught.value.kind is ErrorKind.MODEL


# --- file to file ----------------------------------------------------------------------------------------


def write_input(path: Path, rows: int) -> Path:
    with path.open("w") as file:
        file.write("id,text,note\n")
        for i in range(rows):
            file.write(f'{i},"a {GOOD[i % 5]} thing, number {i}",n{i}\n')
    return path


@pytest.mark.parametrize("suffix", ["jsonl", "csv", "tsv"])
def test_all_columns_stay_in_order(trained: Predictor, tmp_path: Path, suffix: str) -> None:
    from albert.data.tables import Table

    source = write_input(tmp_path / "in.csv", 30)
    out = tmp_path / f"out.{suffix}"
    assert score_file(trained, str(source), str(out)).rows == 30
    rows = [row.values for row in Table(out)]
    assert list(rows[0]) == ["id", "text", "note", "prediction", "score"]
    assert [row["id"] for row in rows] == [str(i) for i in range(30)]
    assert [row["text"] for row in rows] == [row.values["text"] for row in Table(source)]
    assert {row["prediction"] for row in rows} <= {"positive", "negative"}


def test_an_interrupted_file_goes_on_without_losing_or_repeating(
    trained: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("albert.predict.files.CHUNK", 10)
    source = write_input(tmp_path / "in.csv", 95)
    whole = tmp_path / "whole.jsonl"
    score_file(trained, str(source), str(whole))
    out = tmp_path / "out.jsonl"
    predict = trained.predict
    calls = iter(range(100))

    def killed(*arguments: object, **options: object) -> object:
        if next(calls) == 4:
            raise KeyboardInterrupt
        return predict(*arguments, **options)  # type: ignore[arg-type]

    monkeypatch.setattr(trained, "predict", killed)
    with pytest.raises(KeyboardInterrupt):
        score_file(trained, str(source), str(out))
    assert not out.exists()
    part = tmp_path / "out.jsonl.part"
    part.write_bytes(part.read_bytes() + b'{"half a li' * 10_000)  # what a kill in a write leaves
    done = score_file(trained, str(source), str(out))
    assert (done.rows, done.resumed) == (95, 40)
    assert out.read_bytes() == whole.read_bytes()
    assert sorted(p.name for p in tmp_path.glob("out*")) == ["out.jsonl"]


@pytest.mark.ci
def test_a_killed_process_goes_on_without_losing_or_repeating(
    trained: Predictor, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    source = write_input(tmp_path / "in.csv", 12_000)
    whole, out, note = tmp_path / "whole.jsonl", tmp_path / "out.jsonl", tmp_path / "out.jsonl.part.json"
    score_file(trained, str(source), str(whole))
    folder = folder_of(trained, tmp_path_factory)
    command = [sys.executable, "-m", "albert", "predict", str(folder), str(source), "-o", str(out)]
    process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
    while not note.exists() and process.poll() is None:
        time.sleep(0.001)
    process.kill()
    process.wait()
    assert not out.exists()
    done = score_file(trained, str(source), str(out))
    assert 0 < done.resumed < done.rows == 12_000
    assert out.read_bytes() == whole.read_bytes()


def test_another_input_starts_anew(trained: Predictor, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    source = write_input(tmp_path / "in.csv", 20)
    out = tmp_path / "out.jsonl"
    (tmp_path / "out.jsonl.part").write_text("old\n")
    (tmp_path / "out.jsonl.part.json").write_text(json.dumps({"input": {}, "rows": 1, "bytes": 4}))
    assert score_file(trained, str(source), str(out)).resumed == 0
    assert len(out.read_text().splitlines()) == 20


def test_missing_text_columns_and_taken_names_are_refused(trained: Predictor, tmp_path: Path) -> None:
    (tmp_path / "a.csv").write_text("id,words\n1,x\n2,y\n")
    with pytest.raises(AlbertError, match="expected text"):
        score_file(trained, str(tmp_path / "a.csv"), str(tmp_path / "o.jsonl"))
    (tmp_path / "b.csv").write_text("text,score\nx,1\n")
    with pytest.raises(AlbertError, match="column 'score'"):
        score_file(trained, str(tmp_path / "b.csv"), str(tmp_path / "o.jsonl"))
    assert not list(tmp_path.glob("o.*"))


@pytest.mark.ci
def test_memory_does_not_grow_with_the_file(
    trained: Predictor, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """Peak memory of the process for 2,000 and for 20,000 rows."""
    peaks = []
    for rows in (2_000, 20_000):
        source = write_input(tmp_path / f"{rows}.csv", rows)
        code = (
            "import resource, sys; from albert.predict.predictor import Predictor;"
            "from albert.predict.files import score_file;"
            "score_file(Predictor.load(sys.argv[1]), sys.argv[2], sys.argv[3]);"
            "print(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss)"
        )
        command = [sys.executable, "-c", code, folder_of(trained, tmp_path_factory), source, tmp_path / f"{rows}.jsonl"]
        peaks.append(int(subprocess.check_output(list(map(str, command)), text=True)))
    assert peaks[1] - peaks[0] < 40_000  # kB


@pytest.mark.slow
@pytest.mark.timeout(1800)
def test_a_million_rows_survive_kills_in_flat_memory(
    trained: Predictor, tmp_path: Path, tmp_path_factory: pytest.TempPathFactory
) -> None:
    """SIGKILL every ten seconds or so; nothing is lost, and a tenth of the rows takes as much memory."""
    rng = random.Random(0)
    folder = folder_of(trained, tmp_path_factory)

    def predict(rows: int, *, kills: int) -> tuple[Path, int, int]:
        """(output, kills, peak kB of any of the processes)"""
        source, out = write_input(tmp_path / f"{rows}.csv", rows), tmp_path / f"{rows}.jsonl"
        command = [sys.executable, "-m", "albert", "predict", str(folder), str(source), "-o", str(out)]
        killed = peak = 0
        while not out.exists():
            process = subprocess.Popen(command, stderr=subprocess.DEVNULL)
            deadline = time.monotonic() + (rng.uniform(5, 15) if killed < kills else float("inf"))
            while process.poll() is None and time.monotonic() < deadline:
                peak = max(peak, resident(process.pid))
                time.sleep(0.05)
            if process.poll() is None:
                process.kill()
                killed += 1
            assert process.wait() in (0, -9)
        return out, killed, peak

    _, _, small = predict(100_000, kills=0)
    out, killed, large = predict(1_000_000, kills=5)
    assert killed == 5
    with out.open() as lines:
        assert [json.loads(line)["id"] for line in lines] == [str(i) for i in range(1_000_000)]
    assert large - small < 40_000
    print(f"peak {small / 1000:.0f} MB for 100,000 rows, {large / 1000:.0f} MB for 1,000,000")


def resident(pid: int) -> int:
    """kB; 0 for a process that has ended."""
    status = Path(f"/proc/{pid}/status")
    try:
        return int(status.read_text().partition("VmRSS:")[2].split()[0])
    except (OSError, IndexError):
        return 0
