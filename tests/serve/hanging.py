"""`albert serve` with an engine that hangs on texts of more than 20 pieces."""

from __future__ import annotations

import sys
import time

from albert.cli import main
from albert.data.batches import Features
from albert.serve.core.hosted import Hosted
from albert.serve.core.queue import Computed

compute = Hosted._logits


def hanging(self: Hosted, features: Features) -> Computed:
    if len(features.ids) > 20:
        time.sleep(1000)
    return compute(self, features)


Hosted._logits = hanging  # type: ignore[method-assign]
sys.argv.insert(1, "serve")
main()
