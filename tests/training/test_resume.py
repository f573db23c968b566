"""A run that cannot go on says which settings differ, both values, and how to get the first one."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from albert.errors import AlbertError, ErrorKind
from albert.training.resume import Change, changes, refuse_changes

NETWORK = {
    "hidden_size": 32, "num_hidden_layers": 2, "id2label": {"0": "a", "1": "b"}, "label2id": {"a": 0, "b": 1},
    "albert": {
        "sharing": "all",
        "extra": {"task": "classification", "metric": "accuracy", "max_length": 128, "stride": None,
                  "columns": {"text": "text", "text_pair": None, "label": "label", "choices": []}},
    },
}  # fmt: skip
LOOP = {"batch_size": 32, "epochs": 3.0, "seed": 0}


def fingerprint(network: dict[str, Any] | None = None, loop: dict[str, Any] | None = None, **others: str) -> Any:
    return {
        "data": "1" * 64, "dev": "2" * 64, "network": json.dumps(network or NETWORK), "init": "starter",
        "loop": json.dumps({**LOOP, **(loop or {})}), **others,
    }  # fmt: skip


def with_extra(**values: Any) -> dict[str, Any]:
    extra = {**NETWORK["albert"]["extra"], **values}  # type: ignore[index]
    return {**NETWORK, "albert": {"sharing": "all", "extra": extra}}


@pytest.mark.parametrize(
    ("now", "expected"),
    [
        (fingerprint(loop={"batch_size": 16}), ("batch_size", "32", "16", "--set batch_size=32")),
        (fingerprint({**NETWORK, "hidden_size": 64}), ("hidden_size", "32", "64", "--set hidden_size=32")),
        (fingerprint(with_extra(max_length=64)), ("max_length", "128", "64", "--max-length 128")),
        (fingerprint(with_extra(stride=16)), ("stride", "none", "16", "without --stride")),
        (fingerprint(with_extra(metric="mcc")), ("metric", "accuracy", "mcc", "--metric accuracy")),
        (fingerprint(init="other"), ("init", "starter", "other", "--init starter")),
        (fingerprint(early_exit="yes"), ("early_exit", "no", "yes", "without --early-exit")),
        (fingerprint(average="0.2"), ("average", "none", "0.2", "--set average=0")),
        (fingerprint(text='{"attack_rate": 0.2}'), ("attack_rate", "0.0", "0.2", "--set attack_rate=0.0")),
        (fingerprint(settings='{"loops": [3, 6]}'), ("loops", "[]", "[3,6]", "--set loops=[]")),
        (fingerprint(data="3" * 64), ("training rows", "1" * 12, "3" * 12, "")),
        (fingerprint({**NETWORK, "id2label": {"0": "a", "1": "c"}}), ("label 1", "b", "c", "")),
    ],
)
def test_each_change_is_named_with_both_values(now: Any, expected: tuple[str, ...]) -> None:
    assert changes(fingerprint(), now, {"attack_rate": 0.0, "loops": []}) == [Change(*expected)]
    with pytest.raises(AlbertError) as caught:
        refuse_changes(Path("out/step-3"), changes(fingerprint(), now, {"attack_rate": 0.0, "loops": []}))
    assert caught.value.kind is ErrorKind.CONFIG
    for part in expected:
        assert part in str(caught.value)


@pytest.mark.parametrize("stored", ["{", "{x", '{"a": 1} {}', "{" * 5000, '{"a": NaN}', '{"a": "\\ud800"}'])
def test_a_fingerprint_that_is_no_json_is_another_one(stored: str) -> None:
    found = changes(fingerprint(loop={"seed": 1}) | {"loop": stored}, fingerprint())
    assert found
    assert {change.name for change in found} <= {"loop", "a", *LOOP}


@pytest.mark.parametrize("stored", [[1], [None, "a"], [["a"]], {"a": 1}, 3])
def test_a_column_of_another_kind_is_told(stored: Any) -> None:
    columns = {"text": "text", "text_pair": None, "label": "label", "choices": stored}
    assert changes(fingerprint(with_extra(columns=columns)), fingerprint())[0].name in ("choices", "a")


def test_the_same_is_no_change_and_all_changes_are_told() -> None:
    assert changes(fingerprint(), fingerprint()) == []
    found = changes(fingerprint(), fingerprint(loop={"batch_size": 16, "epochs": 2.0}, init="b"))
    assert [change.name for change in found] == ["init", "batch_size", "epochs"]
    with pytest.raises(AlbertError, match=r"batch_size 32, epochs 3.0, got init b, batch_size 16, epochs 2.0"):
        refuse_changes(Path("x"), found)


def test_rows_that_are_encoded_otherwise_are_not_called_other_rows() -> None:
    shorter = fingerprint(with_extra(max_length=64), data="3" * 64, dev="4" * 64)
    assert [change.name for change in changes(fingerprint(), shorter)] == ["max_length"]
    other = fingerprint(loop={"batch_size": 16}, data="3" * 64)
    assert [change.name for change in changes(fingerprint(), other)] == ["training rows", "batch_size"]


def test_a_default_that_the_fingerprint_leaves_out_is_told() -> None:
    before, now = {"settings": json.dumps({"mask_rate": 0.3})}, {"settings": "{}"}
    assert changes(before, now, {"mask_rate": 0.15}) == [Change("mask_rate", "0.3", "0.15", "--set mask_rate=0.3")]
    assert changes(now, before, {"mask_rate": 0.15}) == [Change("mask_rate", "0.15", "0.3", "--set mask_rate=0.15")]
