"""Help and version come at once: the command line imports what a verb needs when the verb runs."""

from __future__ import annotations

import subprocess
import sys

import pytest

HEAVY = ("torch", "numpy", "tokenizers", "sentencepiece", "transformers", "sklearn", "fastapi", "huggingface_hub")


@pytest.mark.parametrize(
    "arguments", [["--help"], ["--version"], ["train", "--help"], ["check", "-h"], ["tokenizer", "train", "--help"]]
)
def test_help_imports_nothing_heavy(arguments: list[str]) -> None:
    code = (
        "import sys; from albert.cli import main\n"
        f"sys.argv = ['albert', *{arguments!r}]\n"
        "try: main()\n"
        "except SystemExit as left: assert not left.code\n"
        f"print([name for name in {HEAVY!r} if name in sys.modules], file=sys.stderr)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stderr.strip() == "[]"
