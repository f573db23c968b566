"""Quality gates: `albert evaluate --min f1=0.85` fails a build when the model got worse."""

from __future__ import annotations

import math
import sys

from albert.errors import AlbertError, ErrorKind

EXIT_MISSED = 4


def parse_gates(items: list[str]) -> dict[str, float]:
    """["f1=0.85"] -> {"f1": 0.85}; of two for one score the higher counts. Raises `AlbertError` (usage)."""
    gates: dict[str, float] = {}
    for item in items:
        name, _, value = item.partition("=")
        try:
            least = float(value)
        except ValueError:
            least = math.nan
        if not math.isfinite(least):  # nothing is below NaN: such a gate would pass everything
            raise AlbertError(ErrorKind.USAGE, f"--min {item}", expected="score=number, like f1=0.85")
        gates[name] = max(least, gates.get(name, least))
    return gates


def check_gates(gates: dict[str, float], scores: dict[str, float]) -> None:
    """Exits with 4 when a score is below its gate. Raises `AlbertError` (usage) for a score that is not there."""
    missed = []
    for name, least in gates.items():
        if name not in scores:
            raise AlbertError(ErrorKind.USAGE, f"--min {name}", expected="one of " + ", ".join(scores))
        if not scores[name] >= least:  # a score that is no number misses, too
            missed.append(f"{name} {scores[name]:.4f} is below {least:g}")
    if missed:
        print("; ".join(missed), file=sys.stderr)
        sys.exit(EXIT_MISSED)
