"""The command `albert`: thin verbs, each importing what it needs when it runs."""

from __future__ import annotations

import itertools
import logging
import sys
from collections.abc import Callable

from albert.errors import AlbertError, ErrorKind


def main() -> None:
    """Runs the command line and exits with the code of `ErrorKind`; results on stdout, the rest on stderr."""
    from albert.cli.streams import finish_streams, prepare_streams, reader_left

    prepare_streams()
    code, unwritten = _code_of(_run), _code_of(finish_streams)
    if reader_left() and code == 1:  # as typer and rich say it: the reader has what it wanted (`| head`)
        code = 0
    sys.exit(code or unwritten)


def _run() -> None:
    from albert.cli.app import app

    _refuse_empty(["albert", *sys.argv[1:]])
    logging.getLogger("albert").addHandler(logging.lastResort or logging.NullHandler())  # warnings go to stderr
    app(prog_name="albert")


def _refuse_empty(words: list[str]) -> None:
    """Raises `AlbertError` (usage) for an argument of no characters: as a name it would mean the current folder."""
    for before, word in itertools.pairwise(words):
        if not word or (word.startswith("--") and word.endswith("=")):
            what = word[:-1] if word else f"the argument after {before}"
            raise AlbertError(
                ErrorKind.USAGE, what, expected="a value", got='""', hint="is a variable of the shell empty?"
            )


def _code_of(work: Callable[[], None]) -> int:
    """The exit code that work ends with, its error told."""
    from albert.storage.pipes import ReaderGoneError

    try:
        work()
    except SystemExit as left:
        return left.code if isinstance(left.code, int) else int(left.code is not None)
    except AlbertError as error:
        return _told(str(error), error.kind)
    except KeyboardInterrupt:
        return _told("interrupted", ErrorKind.INTERRUPTED)
    except ReaderGoneError:
        return 0
    except MemoryError:
        return _told(str(_out_of_memory("")), ErrorKind.MEMORY)
    except OSError as error:
        return _told(str(_system_error(error)), ErrorKind.DISK)
    except RuntimeError as error:
        # torch has no type of its own for a failed allocation on the CPU
        if "allocate memory" in str(error) or "out of memory" in str(error):
            return _told(str(_out_of_memory(str(error).splitlines()[0][:120])), ErrorKind.MEMORY)
        raise
    return 0


def _out_of_memory(got: str) -> AlbertError:
    return AlbertError(
        ErrorKind.MEMORY,
        "out of memory",
        got=got or None,
        hint="use a smaller --set max_tokens=…, --max-length or --size",
    )


def _system_error(error: OSError) -> AlbertError:
    what = str(error.filename) if error.filename else "a file or stream"
    return AlbertError(ErrorKind.DISK, f"cannot use {what}", got=error.strerror or str(error))


def _told(message: str, kind: ErrorKind) -> int:
    print(message, file=sys.stderr)
    return kind.exit_code
