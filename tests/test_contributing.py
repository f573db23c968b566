"""The worked examples of CONTRIBUTING.md, put into a copy of the package and used."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

from conftest import ROOT

BLOCK = re.compile(r"```python\n# (src/\S+?\.py)(?:, (in|before) (\w+))?\n(.*?)```", re.DOTALL)
USES = r"""
import json, sys
from pathlib import Path
import numpy as np
import torch
import albert
from albert.cli import main
from albert.config import AlbertConfig
from albert.engine import Engine
from albert.model import AlbertForTask, load_model, save_model
from rows import features

def run(*arguments):
    sys.argv = ["albert", *map(str, arguments)]
    try:
        code = main()
    except SystemExit as end:
        code = end.code
    assert not code, arguments

data, folder = Path(sys.argv[1]), Path(sys.argv[2])
tiny = ["--size", "tiny", "--set", "epochs=1", "--quiet"]
run("train", data, "--label", "stars", "--text", "text", "--task", "stars", "-o", folder / "stars", *tiny)
score = albert.load(folder / "stars")("a lovely lamp")[0]["score"]
assert score in (1, 2, 3, 4, 5), score
run("export", folder / "stars", "--to", "half", "--dev", data, "--force")
assert (folder / "stars" / "half.safetensors").is_file()
run("size", folder / "stars")

config = AlbertConfig.named("tiny", vocab_size=60, id2label=("a", "b"), initializer_range=0.2)
model = AlbertForTask(config, "strongest", generator=torch.Generator().manual_seed(0)).eval()
(folder / "head").mkdir()
save_model(model, folder / "head")
rows, again = features([3, 9, 4]), load_model(folder / "head")
assert again.head_name == "strongest"
found = np.stack(Engine(again, "fp32").logits(rows))
with torch.inference_mode():
    for row in range(3):
        one = rows.batch([row])
        wanted = model(one.input_ids, token_type_ids=one.token_type_ids)[0].numpy()
        np.testing.assert_allclose(found[row], wanted, atol=1e-5)
"""


def apply(source: Path, place: str, how: str, name: str, code: str) -> None:
    """Puts a block where its first line says."""
    path = source / place.removeprefix("src/")
    if not how:
        assert not path.exists(), place
        path.write_text(code, encoding="utf-8")
        return
    text = path.read_text(encoding="utf-8")
    start = re.search(rf"^{name}\b.*? = [{{(](.*?)[}})]\n", text, re.MULTILINE | re.DOTALL)
    assert start is not None, f"{place} has no {name}"
    if how == "before":
        text = text[: start.start()] + code + "\n\n" + text[start.start() :]
    else:
        lead = "" if text[start.end(1) - 1] in "\n," else ", "
        text = text[: start.end(1)] + lead + code.strip() + text[start.end(1) :]
    path.write_text(text, encoding="utf-8")


@pytest.mark.ci
def test_the_worked_examples_work(tmp_path: Path) -> None:
    source = tmp_path / "src"
    shutil.copytree(ROOT / "src" / "albert", source / "albert", ignore=shutil.ignore_patterns("__pycache__"))
    blocks = BLOCK.findall((ROOT / "CONTRIBUTING.md").read_text(encoding="utf-8"))
    assert len(blocks) == 9
    for block in blocks:
        apply(source, *block)
    things = [f"a {thing} with {n} parts" for n, thing in enumerate(("lamp", "chair", "coat", "phone") * 15)]
    data = tmp_path / "stars.csv"
    data.write_text(
        "text,stars\n" + "".join(f"{text},{1 + n % 5}\n" for n, text in enumerate(things)), encoding="utf-8"
    )
    env = {**os.environ, "PYTHONPATH": os.pathsep.join([str(source), str(ROOT / "tests")])}
    done = subprocess.run(
        [sys.executable, "-c", USES, str(data), str(tmp_path)], env=env, capture_output=True, text=True, cwd=tmp_path
    )
    assert done.returncode == 0, done.stderr
    assert re.search(r"^[\d,]+$", done.stdout, re.MULTILINE), done.stdout
