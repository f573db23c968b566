"""`albert settings`: every setting is listed, with the default that training uses, and can be set."""

from __future__ import annotations

import json

import pytest

from albert.finetuning.finetune import COMPONENTS as TRAIN
from albert.pretraining.pretrain import COMPONENTS as PRETRAIN
from albert.training.settings import divide_settings, settable
from conftest import Albert


@pytest.mark.parametrize(("verb", "components"), [("train", TRAIN), ("pretrain", PRETRAIN)])
def test_every_setting_is_listed_and_can_be_set(albert: Albert, verb: str, components: tuple[type, ...]) -> None:
    done = albert("settings", verb, "--json")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    assert [each["name"] for each in found] == [field.name for kind in components for field in settable(kind)]
    divide_settings({each["name"]: each["default"] for each in found}, *components)
    people = albert("settings", verb).stdout.splitlines()
    assert {each["name"] for each in found} <= {line.split()[0] for line in people if line.strip()}


def test_defaults_tell_what_they_depend_on(albert: Albert) -> None:
    found = {each["name"]: each for each in json.loads(albert("settings", "--json").stdout)}
    assert found["lr"]["starts"]["from scratch"] == 1e-3
    assert found["weight_decay"]["starts"] == {}
    assert "lr" in albert("settings").stdout


@pytest.mark.parametrize("verb", ["evaluate", "TRAIN"])
def test_other_verbs_have_none(albert: Albert, verb: str) -> None:
    done = albert("settings", verb)
    assert (done.returncode, done.stdout) == (2, "")
    assert "expected train or text2text or pretrain" in done.stderr


def test_train_help_names_it(albert: Albert) -> None:
    assert "albert settings lists them" in " ".join(albert("train", "--help").stdout.replace("│", " ").split())
