"""Folders that only this user can write to, for compiled files that are run as they are."""

from __future__ import annotations

import contextlib
import os
import stat
import sys
import tempfile
from functools import cache
from pathlib import Path


def private_folders() -> list[Path]:
    """Where compiled files may be: the user's cache first, then a folder of the user's among the temporary files."""
    found = []
    with contextlib.suppress(RuntimeError):  # a user without a home
        cache_home = os.environ.get("XDG_CACHE_HOME", "")
        home = Path(cache_home) if os.path.isabs(cache_home) else Path.home() / ".cache"
        found.append(home / "albert")
    with contextlib.suppress(OSError):  # no folder for temporary files
        found.append(Path(tempfile.gettempdir()) / f"albert-{os.geteuid()}")
    return found


def writable_folder(*, spaces: bool = True) -> Path:
    """The first private folder that can be written, made if necessary. Without `spaces`, its name has none.

    Prints a message once if it is not the first choice. Raises OSError.
    """
    folders = [folder for folder in private_folders() if spaces or " " not in str(folder)]
    for folder in folders:
        with contextlib.suppress(OSError):
            folder.mkdir(mode=0o700, parents=True, exist_ok=True)
        if is_private(folder) and os.access(folder, os.W_OK | os.X_OK):
            if folder != folders[0]:
                _say(f"{folders[0]} is no folder that this user alone can write to: using {folder}")
            return folder
    raise PermissionError(f"no folder that this user alone can write to: {', '.join(map(str, folders))}")


def is_private(path: Path) -> bool:
    """Whether a path is a folder or plain file that nobody but this user and root can change. A link must be this
    user's.
    """
    try:
        link, found = path.lstat(), path.stat()
    except OSError:
        return False
    owned = {link.st_uid, found.st_uid} <= {0, os.geteuid()}
    plain = stat.S_ISDIR(found.st_mode) or stat.S_ISREG(found.st_mode)
    return owned and plain and not found.st_mode & (stat.S_IWGRP | stat.S_IWOTH)


@cache
def _say(text: str) -> None:
    print(text, file=sys.stderr)
