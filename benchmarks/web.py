"""The page of `albert export --to web` in headless Chromium: its size, the first answer, texts a second.

    python benchmarks/web.py [MODEL DEV]        two minutes

MODEL is a classifier and DEV a labelled file; without them a random model of the starter's shape is exported. CHROMIUM
names the browser; else it is the first on the path.
"""

from __future__ import annotations

import argparse
import csv
import functools
import os
import platform
import shutil
import statistics
import tempfile
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import date
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
import torch
from playwright.sync_api import Browser, sync_playwright

from albert.config import AlbertConfig
from albert.export.web import export_web
from albert.model import AlbertForTask, save_model
from albert.text.tokenizer import AlbertTokenizer

ROOT = Path(__file__).parents[1]
SHAPE: dict[str, Any] = {
    "hidden_size": 384, "num_hidden_layers": 6, "num_hidden_groups": 3, "intermediate_size": 1536,
    "num_attention_heads": 12, "hidden_act": "gelu", "embedding_size": 128,
}  # fmt: skip
CHROMIUM = os.environ.get("CHROMIUM") or shutil.which("chromium") or shutil.which("google-chrome")
ROUNDS, TEXTS = 8, 64

# Asks in the page's own batches, as the part for files does, and gives the seconds that they took.
_ASK = """async (texts) => {
  const { call } = await import("./page/api.js");
  const begun = performance.now();
  for (let at = 0; at < texts.length; at += 16)
    await call("/predict", { inputs: texts.slice(at, at + 16).map((text) => [text]) });
  return (performance.now() - begun) / 1000;
}"""


def texts() -> list[str]:
    """Short messages: random words, whose number is log-normal with a median of 12."""
    rng = np.random.default_rng(0)
    words = (ROOT / "src" / "albert" / "assets" / "messages.csv").read_text(encoding="utf-8").split()
    lengths = np.clip(rng.lognormal(2.5, 0.6, TEXTS), 2, 110).astype(int)
    return [" ".join(rng.choice(words, length)) for length in lengths]


def write_model(folder: Path, given: list[str]) -> tuple[Path, Path]:
    """A random classifier, and a labelled file for its ranges."""
    tokenizer = AlbertTokenizer.english()
    config = AlbertConfig(vocab_size=tokenizer.vocab_size, id2label=("bad", "good"),
                          extra={"task": "classification", "max_length": 128}, **SHAPE)  # fmt: skip
    model, dev = folder / "model", folder / "dev.csv"
    model.mkdir()
    save_model(AlbertForTask(config, "sequence_classification", generator=torch.Generator().manual_seed(0)), model)
    tokenizer.save(model)
    with dev.open("w", encoding="utf-8", newline="") as file:
        csv.writer(file).writerows([("text", "label"), *((text, "good") for text in given)])
    return model, dev


class _Quiet(SimpleHTTPRequestHandler):
    def log_message(self, format: str, *args: Any) -> None:
        pass


@contextmanager
def served(folder: Path) -> Iterator[str]:
    """The address of a static web server."""
    with ThreadingHTTPServer(("127.0.0.1", 0), functools.partial(_Quiet, directory=str(folder))) as server:
        threading.Thread(target=server.serve_forever, daemon=True).start()
        yield f"http://127.0.0.1:{server.server_port}/"
        server.shutdown()


def processor(browser: Browser) -> float:
    """Seconds of processor time that all of Chromium has taken: on a busy machine less depends on others."""
    found = browser.new_browser_cdp_session().send("SystemInfo.getProcessInfo")
    return float(sum(process["cpuTime"] for process in found["processInfo"]))


def first_answer(browser: Browser, url: str) -> tuple[float, float]:
    """Seconds from the address to the first answer on the page, nothing cached: by the clock, of the processor."""
    context = browser.new_context()
    page = context.new_page()
    begun, before = time.perf_counter(), processor(browser)
    page.goto(url, wait_until="commit")
    page.get_by_role("button", name="Try an example").first.click()
    page.locator(".picture:not([aria-busy]) > *").first.wait_for()
    taken = time.perf_counter() - begun, processor(browser) - before
    context.close()
    return taken


def measure(site: Path, given: list[str]) -> None:
    """Prints everything about a page."""
    sizes = {path: path.stat().st_size for path in site.rglob("*") if path.is_file()}
    weights = sizes[site / "model" / "model.safetensors.gz"]
    pieces = statistics.mean(len(each) for each in AlbertTokenizer.english().pieces(given))
    print(f"size: {sum(sizes.values()):,} bytes in {len(sizes)} files, {weights:,} of them weights")
    with served(site) as url, sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=CHROMIUM, args=["--no-sandbox", "--disable-gpu"])
        print(f"Chromium {browser.version}, {platform.machine()}, load {os.getloadavg()[0]:.1f}, {date.today()}")
        firsts, own = zip(*(first_answer(browser, url) for _ in range(ROUNDS)), strict=True)
        print(f"first answer: {statistics.median(firsts):.2f} s (median of {ROUNDS}, best {min(firsts):.2f}), "
              f"{statistics.median(own):.2f} s of processor time")  # fmt: skip
        page = browser.new_page()
        page.goto(url)
        page.evaluate(_ASK, given)
        before = processor(browser)
        rates = [len(given) / page.evaluate(_ASK, given) for _ in range(ROUNDS)]
        rate = ROUNDS * len(given) / (processor(browser) - before)
        print(f"{len(given)} texts of {pieces:.0f} pieces each: {statistics.median(rates):.0f} texts/s (median of "
              f"{ROUNDS}, best {max(rates):.0f}), {rate:.0f} per second of processor time")  # fmt: skip
        browser.close()


def main() -> None:
    """Exports a model and prints what its page does."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("model", nargs="?", type=Path)
    parser.add_argument("dev", nargs="?", type=Path)
    arguments = parser.parse_args()
    given = texts()
    with tempfile.TemporaryDirectory() as temporary:
        folder = Path(temporary)
        model, dev = (arguments.model, arguments.dev) if arguments.dev else write_model(folder, given)
        done = export_web(model, dev, out=folder / "site", force=True)
        print(f"{done.metric}: {done.before:.4f} before, {done.after:.4f} on the page")
        measure(folder / "site", given)


main()
