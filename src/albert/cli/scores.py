"""Scores as verbs print them: for people a line each, for programs JSON."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from albert.finetuning.attempts import FinetuneResult
    from albert.predict.files import Scored


def print_scores(result: dict[str, Any], *, as_json: bool) -> None:
    """The `scores` of a result; a line that ends with a note for its `metric`."""
    if as_json:
        from json import dumps

        print(dumps(result, ensure_ascii=False))
        return
    for name, value in result["scores"].items():
        note = ""
        if name == result["metric"]:
            interval = "95% interval {:.4f} to {:.4f}, ".format(*result["interval"]) if "interval" in result else ""
            note = f"  ({interval}baseline {result['baseline']:.4f})"
        print(f"{name:12} {value:.4f}{note}")
    if result.get("calibration_error") is not None:
        print(f"{'ECE':12} {result['calibration_error']:.4f}")
    if "folder" in result:
        print(f"model -> {result['folder']}", file=sys.stderr)


def print_run(result: FinetuneResult, *, as_json: bool) -> None:
    """The scores of a fine-tuning on dev, and where the model lies."""
    facts = {"folder": str(result.folder), "metric": result.metric, "baseline": result.baseline}
    print_scores({**facts, "scores": result.scores}, as_json=as_json)


def tell_cut(count: int, length: int) -> None:
    """Says on stderr how many texts were cut, if any."""
    if count:
        print(f"{count:,} texts are longer than {length} pieces and were cut", file=sys.stderr)


def tell_scored(scored: Scored, out: str, length: int) -> None:
    """Says on stderr what a call on a file did."""
    resumed = f" ({scored.resumed:,} of them by an earlier call)" if scored.resumed else ""
    print(f"{scored.rows:,} rows -> {out}{resumed}", file=sys.stderr)
    tell_cut(scored.cut, length)
    for remark in scored.remarks:
        print(remark, file=sys.stderr)
