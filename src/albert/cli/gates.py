"""Quality gates: `albert evaluate --min f1=0.85` fails a build when the model got worse."""

from __future__ import annotations

import sys

from albert.errors import AlbertError, ErrorKind

EXIT_MISSED = 4


def parse_gates(items: list[str]) -> dict[str, float]:
    """["f1=0.85"] -> {"f1": 0.85}. Raises `AlbertError` (usage)."""
    gates = {}
    for item in items:
        name, _, value = item.partition("=")
        try:
            gates[name] = float(value)
        except ValueError:
            raise AlbertError(ErrorKind.USAGE, f"--min {item}", expected="score=number, like f1=0.85") from None
    return gates


def check_gates(gates: dict[str, float], scores: dict[str, float]) -> None:
    """Exits with 4 when a score is below its gate. Raises `AlbertError` (usage) for a score that is not there."""
    missed = []
    for name, least in gates.items():
        if name not in scores:
            raise AlbertError(ErrorKind.USAGE, f"--min {name}", expected="one of " + ", ".join(scores))
        if scores[name] < least:
            missed.append(f"{name} {scores[name]:.4f} is below {least:g}")
    if missed:
        print("; ".join(missed), file=sys.stderr)
        sys.exit(EXIT_MISSED)
