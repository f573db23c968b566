"""Attacks change what they say they change, cost a plain model its answers and a hardened one nothing."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest

from albert.cli.evaluations import parse_budgets
from albert.data.examples import Example
from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.evaluation.attacks import (
    ATTACKS,
    INVISIBLE_TO_READERS,
    attack_named,
    attacked,
    require_attackable,
    score_under_attack,
)
from albert.finetuning.dataset import FinetuneConfig, read_dataset
from albert.finetuning.finetune import finetune
from albert.finetuning.texts import TextConfig
from albert.predict.predictor import Predictor
from albert.tasks import task_named
from albert.tasks.losses import LossConfig
from albert.text.hardening.hardener import Hardener, Hardening
from albert.text.tokenizer import AlbertTokenizer
from conftest import Albert, write_reviews

ENGLISH = AlbertTokenizer.english()
TEXT = "The parcel arrived on Monday and everything in it was broken beyond repair."


# --- texts -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ATTACKS)
@pytest.mark.parametrize("budget", [1, 5])
def test_as_many_places_are_changed_as_the_budget_has(name: str, budget: int) -> None:
    changed = ATTACKS[name](TEXT, budget, random.Random(0))
    widths = {"homoglyph": 0, "leetspeak": 0, "invisible": 1, "delete": 2, "reorder": 11}
    assert len(changed) - len(TEXT) == budget * widths[name]
    if widths[name] == 0:
        assert sum(a != b for a, b in zip(changed, TEXT, strict=True)) == budget
    assert changed == ATTACKS[name](TEXT, budget, random.Random(0))
    assert changed != ATTACKS[name](TEXT, budget, random.Random(1))


@pytest.mark.parametrize("name", ["invisible", "reorder", "delete"])
def test_hardening_undoes_what_only_adds_controls(name: str) -> None:
    harden = Hardener(spell=ENGLISH.spelling)
    for seed in range(20):
        assert harden(ATTACKS[name](TEXT, 5, random.Random(seed))).text == TEXT


def test_hardening_undoes_nearly_all_homoglyphs_and_no_leetspeak() -> None:
    hardened = ENGLISH.with_hardening(Hardening())
    wanted, rng = ENGLISH.tokenize(TEXT), random.Random(0)
    undone = [hardened.tokenize(ATTACKS["homoglyph"](TEXT, 1, rng)) == wanted for _ in range(100)]
    assert sum(undone) >= 85
    leet = ATTACKS["leetspeak"](TEXT, 3, rng)
    assert hardened.tokenize(leet) == ENGLISH.tokenize(leet)


@pytest.mark.parametrize("text", ["", "?!", "a"])
def test_a_text_that_offers_nothing_stays(text: str) -> None:
    assert [ATTACKS[name](text, 3, random.Random(0)) for name in ("invisible", "reorder", "delete")] == [text] * 3


def test_both_texts_of_a_pair_are_attacked_and_nothing_else() -> None:
    example = Example("first text", "second text", "gold", "a.csv:2")
    other = attacked(example, ATTACKS["delete"], 1, random.Random(0))
    assert (len(other.text), len(other.text_pair or "")) == (12, 13)
    assert (other.gold, other.source) == ("gold", "a.csv:2")


def test_what_cannot_be_attacked_says_so() -> None:
    with pytest.raises(AlbertError, match="homoglyph") as caught:
        attack_named("homoglyhp")
    assert caught.value.kind is ErrorKind.USAGE
    with pytest.raises(AlbertError, match="point into the text"):
        require_attackable(task_named("ner"), "attack delete")


@pytest.mark.parametrize(("text", "budgets"), [("3", [3]), ("1..5", [1, 2, 3, 4, 5]), ("1,5", [1, 5])])
def test_budgets(text: str, budgets: list[int]) -> None:
    assert parse_budgets(text) == budgets
    with pytest.raises(AlbertError, match="--budget"):
        parse_budgets(f"{text}..")


@pytest.mark.parametrize(
    "text", ["0", "0..3", "5..1", "1..2000000000", "99999999999999999999", "-1", "nan", "1.5", "1,"]
)
def test_budgets_that_are_none(text: str) -> None:
    with pytest.raises(AlbertError, match="--budget") as caught:
        parse_budgets(text)
    assert caught.value.kind is ErrorKind.USAGE


# --- models ----------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("attacked")
    settings = {
        "epochs": 6.0, "initializer_range": 0.1, "batch_size": 16, "lr": 3e-3, "hidden_size": 32,
        "num_attention_heads": 2, "intermediate_size": 64, "precision": "fp32",
    }  # fmt: skip
    data = str(write_reviews(folder / "a.csv", rows=160))
    config = FinetuneConfig(train=DataSource(data), out=folder / "m", size="tiny", settings=settings)
    return finetune(config).folder


def test_training_and_prediction_read_the_same_pieces(model: Path, tmp_path: Path) -> None:
    text = ", ".join(attack(TEXT, 3, random.Random(0)) for attack in ATTACKS.values())
    rows = [json.dumps({"text": f"{text} {n}", "label": "ab"[n % 2]}) for n in range(30)]
    path = tmp_path / "a.jsonl"
    path.write_text("\n".join(rows))
    config = FinetuneConfig(train=DataSource(str(path), max_length=512), dev=str(path), out=tmp_path)
    data = read_dataset(config, ENGLISH, LossConfig(), TextConfig(), seed=0)
    predictor = Predictor.load(model)
    assert predictor.tokenizer.hardening == Hardening()
    features, _ = predictor.task.features(predictor.tokenizer, data.dev_examples, data.lengths)
    assert features.ids.tolist() == data.dev.ids.tolist() == data.train.ids.tolist()
    plain, _ = predictor.task.features(ENGLISH, data.dev_examples, data.lengths)
    assert plain.ids.tolist() != data.dev.ids.tolist()


@pytest.mark.ci
def test_a_hardened_model_keeps_its_score(model: Path) -> None:
    scores = {}
    for hardening in (True, False):
        predictor = Predictor.load(model, hardening=hardening)
        clean = predictor.evaluate(model.parent / "a.csv")
        assert clean.scores["accuracy"] > 0.9
        for name in INVISIBLE_TO_READERS:
            scores[name, hardening] = score_under_attack(
                clean.facts.outputs, predictor.outputs, clean.facts.task, clean.facts.labels, attack=name, budget=5,
                trials=2,
            ).score  # fmt: skip
            assert scores[name, hardening] <= clean.scores["accuracy"]
            if name != "homoglyph" and hardening:
                assert scores[name, hardening] == clean.scores["accuracy"]
    assert sum(scores[name, True] - scores[name, False] for name in INVISIBLE_TO_READERS) > 0.2


def test_the_command_prints_clean_and_attacked_scores(model: Path, albert: Albert) -> None:
    data = model.parent / "a.csv"
    command = ("evaluate", model, data, "--attack", "invisible,delete", "--budget", "3")
    done = albert(*command, "--min", "attacked_accuracy=0.9")
    assert done.returncode == 0
    assert [line.split()[:2] for line in done.stdout.splitlines()[1:]] == [
        ["clean", "0"], ["invisible", "3"], ["delete", "3"],
    ]  # fmt: skip
    told = json.loads(albert(*command, "--json", "--no-hardening", "--trials", 2).stdout)
    assert told["scores"]["accuracy"] > min(row["score"] for row in told["attacks"])
    assert albert(*command, "--no-hardening", "--trials", 2, "--min", "attacked_accuracy=0.99").returncode == 4
    assert albert("evaluate", model, data, "--attack", "magic").returncode == 2


# --- training texts --------------------------------------------------------------------------------------


def test_attacked_training_texts_are_a_function_of_seed_and_index() -> None:
    task = task_named("classification")
    rows = [Example(f"{TEXT} {index}", gold="a") for index in range(200)]
    made = TextConfig(attack_rate=0.3).augmented(rows, task, seed=1)
    assert made == TextConfig(attack_rate=0.3).augmented(rows, task, seed=1)
    assert made[:50] == TextConfig(attack_rate=0.3).augmented(rows[:50], task, seed=1)
    assert made != TextConfig(attack_rate=0.3).augmented(rows, task, seed=2)
    assert 35 < sum(a != b for a, b in zip(made, rows, strict=True)) < 85
    assert TextConfig().augmented(rows, task, seed=1) == rows
    with pytest.raises(AlbertError, match="attack_rate"):
        TextConfig(attack_rate=0.3).augmented(rows, task_named("qa"), seed=1)
    with pytest.raises(AlbertError, match="attack_rate"):
        TextConfig(attack_rate=1.5)


def test_hardening_can_be_left_out_of_training() -> None:
    task, hardened = task_named("classification"), ENGLISH.with_hardening(Hardening())
    assert TextConfig(hardening=False).tokenizer(hardened, task).hardening is None
    assert TextConfig(whole_words=True).tokenizer(ENGLISH, task).hardening == Hardening(whole_words=True)
