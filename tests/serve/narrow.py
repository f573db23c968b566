"""`albert serve` with few descriptors: so many altogether, or so few beside those that it thinks it has."""

from __future__ import annotations

import os
import resource
import sys

from albert.cli import main
from albert.serve.http import accept

most = int(sys.argv.pop(1))
if most > 100:
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
else:
    keep = accept.within_descriptors

    def deceived(limits: accept.Limits) -> accept.Limits:
        found = keep(limits)
        room = len(os.listdir("/proc/self/fd")) + most
        resource.setrlimit(resource.RLIMIT_NOFILE, (room, room))
        return found

    from albert.serve.http import run

    run.within_descriptors = deceived
sys.argv.insert(1, "serve")
main()
