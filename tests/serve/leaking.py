"""`albert serve` with a leak of a kilobyte a request, which the test of memory must find."""

from __future__ import annotations

import sys

from albert.cli import main
from albert.serve.core.service import Service

KEPT: list[bytearray] = []
count = Service.count


def leaking(self: Service, *arguments: object) -> None:
    KEPT.append(bytearray(1000))
    count(self, *arguments)  # type: ignore[arg-type]


Service.count = leaking  # type: ignore[method-assign,assignment]
sys.argv.insert(1, "serve")
main()
