"""The settings of a resumed run that differ from its beginning, each with the option that restores it."""

from __future__ import annotations

import contextlib
import json
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from albert.errors import AlbertError, ErrorKind
from albert.storage.stored import parse

_ROWS = {"data": "training rows", "dev": "dev rows", "corpus": "corpus"}
_OPTIONS = {"init": "--init", "teacher": "--teacher"}
# The options of `albert train`; config.json keeps them under these keys.
_OF_TRAIN = {
    ("albert", "extra", "task"): "--task",
    ("albert", "extra", "metric"): "--metric",
    ("albert", "extra", "fallback"): "--fallback",
    ("albert", "extra", "fallback_share"): "--fallback-share",
    ("albert", "extra", "max_length"): "--max-length",
    ("albert", "extra", "stride"): "--stride",
    ("albert", "extra", "columns", "text"): "--text",
    ("albert", "extra", "columns", "text_pair"): "--text-pair",
    ("albert", "extra", "columns", "label"): "--label",
    ("albert", "extra", "columns", "choices"): "--choices",
}
_MADE = {"label2id", "architectures"}  # result from other keys
# What changes rows by itself.
_ENCODING = {"max_length", "stride", "seed", "init", "hardening", "case_marks", "attack_rate"}
_ABSENT = object()


@dataclass(frozen=True)
class Change:
    """A setting before and now, and the option that restores the value before ("": none does)."""

    name: str
    before: str
    now: str
    remedy: str = ""


def changes(
    before: Mapping[str, Any], now: Mapping[str, Any], defaults: Mapping[str, Any] | None = None
) -> list[Change]:
    """Every difference of two fingerprints of runs. `defaults` are settings that a fingerprint leaves out."""
    found = [
        change
        for key in sorted(before.keys() | now.keys())
        if before.get(key) != now.get(key)
        for change in _within(key, before.get(key), now.get(key), defaults or {})
    ]
    encoded_otherwise = any(change.name in _ENCODING for change in found)
    return [change for change in found if not (encoded_otherwise and change.name in _ROWS.values())]


def refuse_changes(path: Path, found: list[Change]) -> None:
    """Raises `AlbertError` (bad-config) with each change, both values and the next step."""
    given = " ".join(change.remedy for change in found if change.remedy.startswith("--"))
    left_out = " and ".join(change.remedy for change in found if change.remedy.startswith("without"))
    rows = "with the data that it began with" if any(change.name in _ROWS.values() for change in found) else ""
    parts = [part for part in (rows, given and f"with {given}", left_out) if part]
    again = "go on " + " and ".join(parts) if parts else "repeat the first command with --resume"
    raise AlbertError(
        ErrorKind.CONFIG,
        f"cannot resume {path}",
        expected="as it began: " + ", ".join(f"{change.name} {change.before}" for change in found),
        got=", ".join(f"{change.name} {change.now}" for change in found),
        hint=f"{again}, replace the run by --overwrite, or choose another folder",
    )


def _within(key: str, before: Any, now: Any, defaults: Mapping[str, Any]) -> Iterator[Change]:
    """The differences of one entry of the fingerprints."""
    if key in _ROWS:
        yield Change(_ROWS[key], f"{before!s:.12}", f"{now!s:.12}")
    elif key in _OPTIONS:
        yield Change(
            key, before or "none", now or "none", f"{_OPTIONS[key]} {before}" if before else f"without {_OPTIONS[key]}"
        )
    elif key == "early_exit":
        yield Change(key, before or "no", now or "no", "--early-exit" if before else "without --early-exit")
    elif isinstance(was := _opened(before), dict) and isinstance(is_now := _opened(now), dict):
        yield from _leaves((), was, is_now, defaults)
    else:
        remedy = {"average": f"--set average={before or 0}"}.get(key, "")
        yield Change(key, _told(before), _told(now), remedy)


def _opened(value: Any) -> Any:
    """The entries of a JSON text with an object; a missing entry is an empty object."""
    if value is None:
        return {}
    if isinstance(value, str) and value.startswith("{"):
        with contextlib.suppress(AlbertError):
            return parse(value.encode("utf-8", "replace"), "", finite=False)
    return value


def _leaves(path: tuple[str, ...], before: Any, now: Any, defaults: Mapping[str, Any]) -> Iterator[Change]:
    if isinstance(before, dict) and isinstance(now, dict):
        for key in sorted(before.keys() | now.keys()):
            if key not in _MADE:
                left, right = (side.get(key, defaults.get(key, _ABSENT)) for side in (before, now))
                yield from _leaves((*path, key), left, right, defaults)
    elif before != now:
        name = f"label {path[-1]}" if path[0] == "id2label" else path[-1]
        yield Change(name, _told(before), _told(now), _remedy(path, before))


def _remedy(path: tuple[str, ...], before: Any) -> str:
    if path in _OF_TRAIN:
        value = _told(before) if isinstance(before, list) else before
        return f"without {_OF_TRAIN[path]}" if before in (None, []) else f"{_OF_TRAIN[path]} {value}"
    if before is _ABSENT or isinstance(before, dict) or path[:1] == ("id2label",) or path[:1] == ("problem_type",):
        return ""
    return f"--set {path[-1]}={_told(before)}"


def _told(value: Any) -> str:
    if value is _ABSENT or value is None:
        return "none"
    if isinstance(value, (list, tuple)) and value and all(isinstance(item, str) for item in value):
        return ",".join(value)
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False, separators=(",", ":"))


def note_threads(threads: list[int], device: torch.device, tell: Callable[[str], None]) -> None:
    """Adds the run's present number of threads to `threads`. Sums in another order give other last bits."""
    now = torch.get_num_threads()
    if threads and threads[-1] != now and device.type == "cpu":
        tell(
            f"{now} threads, {threads[-1]} before: sums are rounded otherwise, so the weights can end a little "
            f"different from those of a run without interruption (OMP_NUM_THREADS={threads[-1]} keeps them)"
        )
    if threads[-1:] != [now]:
        threads.append(now)
