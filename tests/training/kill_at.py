"""Runs `albert` and kills itself with SIGKILL at the N-th write boundary: before an fsync, rename or unlink.

python kill_at.py N ARGUMENTS...; N = 0 never kills and prints the number of boundaries on the last line.
"""

import os
import shutil
import signal
import sys
from pathlib import Path


def main(limit: int, arguments: list[str]) -> None:
    passed = 0

    def boundary(function):
        def wrapped(*arguments, **options):
            nonlocal passed
            passed += 1
            if passed == limit:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return wrapped

    os.fsync = boundary(os.fsync)
    Path.rename = boundary(Path.rename)
    Path.replace = boundary(Path.replace)
    shutil.rmtree = boundary(shutil.rmtree)

    sys.argv = ["albert", *arguments]
    from albert.cli import main as albert

    try:
        albert()
    except SystemExit as left:
        if left.code:
            raise
    print(passed, flush=True)


def redirected(output: Path, limit: int, arguments: list[str]) -> None:
    """The same in a process that was forked, with a file for what it prints."""
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    main(limit, arguments)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
