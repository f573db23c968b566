"""Fine-tuning from outside: collapse and restart, several seeds, options that reach the loss."""

from __future__ import annotations

import dataclasses
import json
import random
from pathlib import Path

import numpy as np
import pytest

from albert.data.examples import Example
from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.finetuning.attempts import FinetuneResult, collapsed
from albert.finetuning.dataset import FinetuneConfig
from albert.finetuning.finetune import finetune
from albert.finetuning.seeds import finetune_seeds
from albert.predict.predictor import Predictor
from albert.tasks.base import Output
from albert.training.progress import ConsoleProgress
from conftest import Albert

NETWORK = {
    "embedding_size": 16, "hidden_size": 32, "num_attention_heads": 2, "intermediate_size": 48, "num_hidden_layers": 2,
    "epochs": 2, "batch_size": 16, "patience": 0,
}  # fmt: skip


def config(reviews: Path, out: Path, **settings: object) -> FinetuneConfig:
    return FinetuneConfig(train=DataSource(str(reviews)), out=out, size="tiny", settings={**NETWORK, **settings})


def said(*rows: list[float], steps: int = 1000) -> FinetuneResult:
    outputs = [Output(Example("x"), [np.asarray(row, np.float32)]) for row in rows]
    return FinetuneResult(Path(), "accuracy", {}, 0.5, steps, outputs)


def test_the_same_answer_for_everything_is_a_collapse() -> None:
    assert collapsed(said([1.0, 2.0], [1.001, 2.0], [1.0, 1.999]))
    assert not collapsed(said([1.0, 2.0], [1.0, 2.0], steps=20))  # nothing learned yet
    assert not collapsed(said([1.0, 2.0], [2.0, 1.0]))
    assert not collapsed(said([1.0, 2.0]))  # one row says nothing
    assert not collapsed(said([1.0], [1.0, 1.0]))  # choices differ in number
    pieces = Output(Example("x"), [np.ones((3, 2), np.float32)])
    assert not collapsed(FinetuneResult(Path(), "f1", {}, 0.0, 1000, [pieces, pieces]))


@pytest.mark.ci
def test_a_collapsed_run_starts_anew_once_and_says_so(
    reviews: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    out = tmp_path / "out"
    finetune(config(reviews, out, lr=5.0, warmup=0.0, epochs=8, batch_size=8), progress=ConsoleProgress())
    assert capsys.readouterr().err.count("collapsed: every dev row gets the same answer") == 1
    assert json.loads((out / "restarted.json").read_text()) == {"lr": 1.0}
    rates = [json.loads(line).get("lr", 0) for line in (out / "metrics.jsonl").read_text().splitlines()]
    assert max(rates) == pytest.approx(1.0)
    assert "lr=1.0" in (out / "README.md").read_text()


@pytest.mark.ci
def test_a_restarted_run_that_was_killed_goes_on_at_the_lower_rate(reviews: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    finetune(config(reviews, out, lr=5.0, warmup=0.0, epochs=8, batch_size=8))
    again = finetune(config(reviews, out, lr=5.0, warmup=0.0, epochs=8, batch_size=8), resume=True)
    assert again.steps > 0


@pytest.mark.ci
def test_seeds_give_median_and_spread(reviews: Path, tmp_path: Path, albert: Albert) -> None:
    found = finetune_seeds(config(reviews, tmp_path / "out"), 3)
    values = sorted(result.scores["accuracy"] for result in found.results)
    assert found.summary["accuracy"] == {"median": values[1], "min": values[0], "max": values[2]}
    assert found.best.scores["accuracy"] == values[2]
    assert (found.best.folder / "model.safetensors").is_file()
    stored = json.loads((tmp_path / "out" / "seeds.json").read_text())
    assert stored["scores"] == found.summary
    with pytest.raises(AlbertError, match="seeds") as caught:
        finetune_seeds(config(reviews, tmp_path / "out", seed=1), 3)
    assert caught.value.kind is ErrorKind.USAGE
    settings = [word for name, value in NETWORK.items() for word in ("--set", f"{name}={value}")]
    done = albert("train", str(reviews), "-o", str(tmp_path / "cli"), "--size", "tiny", "--seeds", "2", *settings)
    assert done.returncode == 0, done.stderr
    assert "accuracy" in done.stdout
    assert "best model ->" in done.stderr


def test_loss_options_change_what_is_learned(reviews: Path, tmp_path: Path) -> None:
    plain = finetune(config(reviews, tmp_path / "plain"))
    smooth = finetune(config(reviews, tmp_path / "smooth", label_smoothing=0.3))
    assert plain.scores["loss"] != smooth.scores["loss"]


@pytest.mark.ci
@pytest.mark.parametrize("kind", ["labels", "numbers", "entities"])
def test_early_exit_is_trained_chosen_and_used(tmp_path: Path, kind: str) -> None:
    rng = random.Random(0)
    rows = []
    for number in range(120):
        thing, color = rng.choice(["lamp", "chair", "soup"]), rng.choice(["red", "blue"])
        text = f"a {color} {thing} number {number}"
        label = {
            "labels": {"label": color},
            "numbers": {"label": 1.5 + 2 * (color == "red")},
            "entities": {"spans": [[2, 2 + len(color), "COLOR"]]},
        }[kind]
        rows.append(json.dumps({"text": text, **label}))
    (tmp_path / "data.jsonl").write_text("\n".join(rows) + "\n")
    groups = 3 if kind == "labels" else 1
    settings = {**NETWORK, "num_hidden_layers": 3, "num_hidden_groups": groups, "epochs": 15.0, "lr": 3e-3}
    data = str(tmp_path / "data.jsonl")
    config = FinetuneConfig(
        train=DataSource(data), dev=data, out=tmp_path / "out", size="tiny", settings=settings, early_exit=True
    )  # fmt: skip
    result = finetune(config)
    early = Predictor.load(tmp_path / "out")
    chosen = early.model.config.extra["early_exit"]
    assert 1 <= chosen["depth"] <= 3
    evaluation = early.evaluate(tmp_path / "data.jsonl")
    if kind == "labels":
        assert result.scores["accuracy"] == 1
        assert chosen["depth"] < 2
        assert evaluation.scores["accuracy"] > 0.97
    if chosen["threshold"] is not None:
        assert any("early exit: texts left at depth" in remark for remark in evaluation.remarks)
    full = Predictor.load(tmp_path / "out", early_exit=False)
    assert full.engine.early is None


@pytest.mark.ci
def test_another_score_decides(tmp_path: Path) -> None:
    """One row in eight is "b": more accurate to say "a" always, which has no merit by MCC."""
    rows = [(f"{'bad' if i % 8 == 0 else 'good'} film number {i}", "b" if i % 8 == 0 else "a") for i in range(160)]
    data = tmp_path / "rows.csv"
    data.write_text("text,label\n" + "".join(f"{text},{label}\n" for text, label in rows))
    wanted = dataclasses.replace(config(data, tmp_path / "out", epochs=1), metric="mcc")
    result = finetune(wanted)
    assert (result.metric, result.baseline) == ("mcc", 0.0)
    evaluation = Predictor.load(tmp_path / "out").evaluate(data)
    assert evaluation.metric == "mcc"
    assert evaluation.interval[0] <= evaluation.scores["mcc"] <= evaluation.interval[1]
    with pytest.raises(AlbertError, match="accuracy, macro_f1, mcc"):
        finetune(dataclasses.replace(wanted, metric="bleu"), overwrite=True)


def test_early_exit_is_refused_where_texts_do_not_leave_one_by_one(tmp_path: Path) -> None:
    (tmp_path / "faq.jsonl").write_text("".join(f'{{"text": "q{n}", "answer": "a{n}"}}\n' for n in range(9)))
    config = FinetuneConfig(
        train=DataSource(str(tmp_path / "faq.jsonl"), task="retrieval", label="answer"), out=tmp_path / "out",
        size="tiny", early_exit=True,
    )  # fmt: skip
    with pytest.raises(AlbertError, match="early-exit"):
        finetune(config)
