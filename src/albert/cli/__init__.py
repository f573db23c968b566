"""The command `albert`: thin verbs, each importing what it needs when it runs."""

from __future__ import annotations

import logging
import os
import sys

from albert.errors import AlbertError, ErrorKind


def main() -> None:
    """Runs the command line and exits with the code of `ErrorKind`; results on stdout, the rest on stderr."""
    from albert.cli.app import app

    logging.getLogger("albert").addHandler(logging.lastResort or logging.NullHandler())  # warnings go to stderr
    try:
        app(prog_name="albert")
    except AlbertError as error:
        _fail(str(error), error.kind)
    except KeyboardInterrupt:
        _fail("interrupted", ErrorKind.INTERRUPTED)
    except BrokenPipeError:
        # The reader has gone (`| head`): nothing to say, and nothing to flush at exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        sys.exit(0)
    except MemoryError:
        _fail(str(_out_of_memory("")), ErrorKind.MEMORY)
    except RuntimeError as error:
        # torch has no type of its own for a failed allocation on the CPU
        if "allocate memory" in str(error) or "out of memory" in str(error):
            _fail(str(_out_of_memory(str(error).splitlines()[0][:120])), ErrorKind.MEMORY)
        raise


def _out_of_memory(got: str) -> AlbertError:
    return AlbertError(
        ErrorKind.MEMORY,
        "out of memory",
        got=got or None,
        hint="use a smaller --set max_tokens=…, --max-length or --size",
    )


def _fail(message: str, kind: ErrorKind) -> None:
    print(message, file=sys.stderr)
    sys.exit(kind.exit_code)
