"""Runs `albert` and kills itself with SIGKILL at the N-th write boundary: before an fsync, rename, link or unlink.

python kill_at.py N ARGUMENTS...; N = 0 never kills and prints the number of boundaries on the last line.
"""

import os
import shutil
import signal
import sys
from collections.abc import Callable
from pathlib import Path

PLACES = [
    (os, "fsync"), (os, "link"), (Path, "rename"), (Path, "replace"), (Path, "unlink"), (shutil, "rmtree"),
    (shutil, "copyfile"),
]  # fmt: skip


def arm(limit: int) -> Callable[[], int]:
    """Every boundary counts from here on; gives what tells how many there were."""
    passed = 0

    def boundary(function):
        def wrapped(*arguments, **options):
            nonlocal passed
            passed += 1
            if passed == limit:
                os.kill(os.getpid(), signal.SIGKILL)
            return function(*arguments, **options)

        return wrapped

    for owner, name in PLACES:
        setattr(owner, name, boundary(getattr(owner, name)))
    return lambda: passed


def main(limit: int, arguments: list[str]) -> None:
    passed = arm(limit)
    sys.argv = ["albert", *arguments]
    from albert.cli import main as albert

    try:
        albert()
    except SystemExit as left:
        if left.code:
            raise
    print(passed(), flush=True)


def redirected(output: Path, limit: int, arguments: list[str]) -> None:
    """The same in a process that was forked, with a file for what it prints."""
    with output.open("w") as file:
        os.dup2(file.fileno(), 1)
        os.dup2(file.fileno(), 2)
    main(limit, arguments)


def replacing(limit: int, folder: Path, files: dict[str, str]) -> None:
    """A folder's files replaced by these."""
    from albert.storage.replacing import new_files

    arm(limit)
    with new_files(folder) as staged:
        for name, text in files.items():
            (staged / name).parent.mkdir(exist_ok=True)
            (staged / name).write_text(text)


if __name__ == "__main__":
    main(int(sys.argv[1]), sys.argv[2:])
