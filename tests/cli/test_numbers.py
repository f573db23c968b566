"""Numbers among the options: what is out of range is refused by name, and no number means another one in silence."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from albert.cli.gates import check_gates, parse_gates
from albert.data.reading import DataSource
from albert.errors import AlbertError, ErrorKind
from albert.export.int8 import export_int8
from albert.finetuning.dataset import FinetuneConfig
from albert.pretraining.settings import PretrainConfig
from albert.tasks import DecodeOptions, Lengths
from albert.training.settings import divide_settings, parse_setting
from conftest import Albert

COMMANDS: dict[str, tuple[str, ...]] = {
    "predict": ("predict", "MODEL", "IN"),
    "train": ("train", "IN", "-o", "OUT"),
    "check": ("check", "IN"),
    "pretrain": ("pretrain", "IN", "-o", "OUT"),
    "evaluate": ("evaluate", "MODEL", "IN"),
    "export": ("export", "MODEL", "--dev", "IN"),
    "prepare": ("prepare", "IN", "-o", "OUT"),
    "serve": ("serve", "MODEL"),
    "vocabulary": ("tokenizer", "train", "IN", "-o", "OUT"),
}
REFUSED: dict[tuple[str, str], tuple[str, ...]] = {
    ("predict", "--top-k"): ("-1", "1.5", "nan", "99999999999"),
    ("predict", "--max-answer"): ("0", "-3", "inf", "1000000"),
    ("check", "--max-length"): ("0", "-1", "2", "65537", "nan"),
    ("check", "--stride"): ("-1", "1e3"),
    ("check", "--show"): ("-1",),
    ("train", "--max-length"): ("0", "2"),
    ("train", "--stride"): ("-1",),
    ("train", "--seeds"): ("0", "-2"),
    ("train", "--exit-budget"): ("nan", "inf", "-0.1", "2"),
    ("pretrain", "--evaluation-rows"): ("0", "-5"),
    ("evaluate", "--min"): ("accuracy=nan", "accuracy=inf", "accuracy=-inf", "accuracy=", "accuracy"),
    ("evaluate", "--trials"): ("0", "-1"),
    ("export", "--budget"): ("nan", "inf", "-0.1", "1.5"),
    ("prepare", "--chunk-mb"): ("nan", "inf", "0", "-1"),
    ("prepare", "--workers"): ("0", "-1"),
    ("serve", "--port"): ("-1", "65536"),
    ("serve", "--rate"): ("nan", "inf", "0"),
    ("serve", "--burst"): ("0",),
    ("serve", "--workers"): ("0", "5000"),
    ("serve", "--timeout"): ("nan", "inf", "0"),
    ("serve", "--drain"): ("nan", "-1"),
    ("serve", "--max-batch-tokens"): ("0",),
    ("serve", "--max-concurrent-requests"): ("0",),
    ("serve", "--max-inputs"): ("0", "10001"),
    ("vocabulary", "--vocab-size"): ("0", "-1", "5000000"),
    ("vocabulary", "--max-lines"): ("0", "-1"),
    ("vocabulary", "--seed"): ("-1", "4294967296"),
    ("vocabulary", "--threads"): ("0", "-1"),
}
CASES = [(command, option, value) for (command, option), values in REFUSED.items() for value in values]


@pytest.mark.parametrize(("command", "option", "value"), CASES)
def test_an_option_out_of_range_is_refused_by_name(
    command: str, option: str, value: str, albert: Albert, tmp_path: Path
) -> None:
    places = {"IN": str(tmp_path / "in.csv"), "OUT": str(tmp_path / "out"), "MODEL": str(tmp_path / "model")}
    (tmp_path / "in.csv").write_text("text,label\na,b\n")
    done = albert(*(places.get(word, word) for word in COMMANDS[command]), f"{option}={value}")
    assert done.returncode in (2, 78), done.stderr
    assert option.lstrip("-").replace("-", "_") in done.stderr.replace("-", "_")
    assert "Traceback" not in done.stderr
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    "options",
    [{"top_k": 0}, {"top_k": -1}, {"top_k": 10**9}, {"top_k": True}, {"max_answer": 0}, {"max_answer": -1}],
)
def test_what_python_is_told_is_checked_alike(options: dict[str, Any]) -> None:
    with pytest.raises(AlbertError, match=next(iter(options))) as caught:
        DecodeOptions(**options)
    assert caught.value.kind is ErrorKind.USAGE


@pytest.mark.parametrize(("length", "stride"), [(0, None), (-1, None), (2, None), (64, 62), (64, -1), (65_537, None)])
def test_lengths_are_taken_as_they_are_told(length: Any, stride: int | None) -> None:
    with pytest.raises(AlbertError, match=r"max_length|stride"):
        Lengths(max_length=100, stride=20).adjusted(length, stride)
    assert Lengths(max_length=100, stride=90).adjusted(None, None) == Lengths(max_length=100, stride=33)


def test_the_configurations_check_their_own_numbers(tmp_path: Path) -> None:
    with pytest.raises(AlbertError, match="exit-budget"):
        FinetuneConfig(train=DataSource("x.csv"), out=tmp_path, exit_budget=float("nan"))
    with pytest.raises(AlbertError, match="evaluation_rows"):
        PretrainConfig(shards=tmp_path, out=tmp_path, evaluation_rows=0)
    with pytest.raises(AlbertError, match="--budget"):
        export_int8(tmp_path, tmp_path, budget=float("nan"))


def test_gates() -> None:
    assert parse_gates(["f1=0.5", "f1=0.7", "accuracy=1", "f1=0.6"]) == {"f1": 0.7, "accuracy": 1.0}
    check_gates({"f1": 0.5}, {"f1": 0.5})
    for score in (0.4999, float("nan")):
        with pytest.raises(SystemExit) as left:
            check_gates({"f1": 0.5}, {"f1": score})
        assert left.value.code == 4


@pytest.mark.parametrize("setting", ["freeze=true", "freeze=3.5", 'freeze={"a": 1}', "freeze=null"])
def test_a_setting_that_is_a_list_takes_no_other_value(setting: str) -> None:
    from albert.training.optimizer import OptimizerConfig

    with pytest.raises(AlbertError, match="setting freeze"):
        divide_settings(dict([parse_setting(setting)]), OptimizerConfig)


def test_a_setting_that_is_a_list_takes_one_number() -> None:
    from albert.pretraining.growth import GrowthConfig

    assert divide_settings(dict([parse_setting("loops=3")]), GrowthConfig) == [{"loops": (3,)}]
