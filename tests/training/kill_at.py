"""Runs `albert` and kills itself with SIGKILL at the N-th write boundary: before an fsync, rename or unlink.

python kill_at.py N ARGUMENTS...; N = 0 never kills and prints the number of boundaries on the last line.
"""

import os
import shutil
import signal
import sys
from pathlib import Path

limit = int(sys.argv[1])
passed = 0


def boundary(function):
    def wrapped(*arguments, **options):
        global passed
        passed += 1
        if passed == limit:
            os.kill(os.getpid(), signal.SIGKILL)
        return function(*arguments, **options)

    return wrapped


os.fsync = boundary(os.fsync)
Path.rename = boundary(Path.rename)
Path.replace = boundary(Path.replace)
shutil.rmtree = boundary(shutil.rmtree)

sys.argv = ["albert", *sys.argv[2:]]
from albert.cli import main  # noqa: E402

try:
    main()
except SystemExit as left:
    if left.code:
        raise
print(passed)
