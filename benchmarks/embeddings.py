"""Vectors of sentences: their speed, and the correlation of their cosines with people's judgement (STS-B).

    python benchmarks/embeddings.py MODEL STS-B        a few minutes; on a quiet machine

MODEL is a folder that sentence-transformers wrote, such as all-MiniLM-L6-v2, or a similarity model of ours. STS-B is
GLUE's folder; its dev.tsv is read. Every arm starts from the same texts and ends with vectors of length 1, so
tokenisation is part of the time. The arms are our engine in each precision of this machine, sentence-transformers if it
is installed, and transformers with the mean over the pieces. Peers sort texts by length and take 32 at a time, the
default of sentence-transformers. Rounds of all arms alternate; the rate is that of the median round.
"""

from __future__ import annotations

import argparse
import csv
import importlib.util
import platform
import statistics
import time
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import torch
from scipy.stats import pearsonr, spearmanr

import albert
from albert.compute.precision import has_int8
from albert.data.batches import Features
from albert.engine import Engine, calibrate
from albert.predict.predictor import Predictor

Embed = Callable[[Sequence[str]], np.ndarray]  # -> [texts, hidden], of length 1
BATCH = 32


def read_pairs(path: Path) -> tuple[list[str], list[str], np.ndarray]:
    """Both sides of every pair, and its score."""
    with path.open(encoding="utf-8", newline="") as file:
        rows = list(csv.DictReader(file, delimiter="\t", quoting=csv.QUOTE_NONE))
    scores = np.asarray([float(row["score"]) for row in rows])
    return [row["sentence1"] for row in rows], [row["sentence2"] for row in rows], scores


def of_ours(folder: Path, precision: str, texts: Sequence[str]) -> Embed:
    """int8 is calibrated on the first 256 texts."""
    model = albert.load(folder, precision="fp32" if precision == "int8" else precision)  # type: ignore[arg-type]
    assert isinstance(model, Predictor)
    if precision == "int8":
        encodings = model.tokenizer.encode_batch(texts[:256], max_length=model.lengths.max_length)
        features = Features.build(encodings)
        model.engine = Engine(model.model, calibration=calibrate(model.model, features))
    return model.embed


def of_sentence_transformers(folder: Path) -> Embed:
    from sentence_transformers import SentenceTransformer

    model = SentenceTransformer(str(folder), device="cpu")
    return lambda texts: np.asarray(model.encode(list(texts), batch_size=BATCH, normalize_embeddings=True))


def of_transformers(folder: Path, length: int, dtype: torch.dtype) -> Embed:
    import transformers

    tokenizer = transformers.AutoTokenizer.from_pretrained(folder)
    model = transformers.AutoModel.from_pretrained(folder, dtype=dtype).eval()

    @torch.inference_mode()
    def embed(texts: Sequence[str]) -> np.ndarray:
        order = np.argsort([-len(text) for text in texts], kind="stable")
        vectors = np.zeros((len(texts), model.config.hidden_size), np.float32)
        for start in range(0, len(texts), BATCH):
            own = order[start : start + BATCH]
            some = [texts[index] for index in own]
            inputs = tokenizer(some, padding=True, truncation=True, max_length=length, return_tensors="pt")
            mask = inputs["attention_mask"].unsqueeze(-1)
            hidden = model(**inputs).last_hidden_state.float()
            mean = (hidden * mask).sum(1) / mask.sum(1)
            vectors[own] = torch.nn.functional.normalize(mean).numpy()
        return vectors

    return embed


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("model", type=Path)
    parser.add_argument("stsb", type=Path, help="GLUE's folder of the task, with dev.tsv")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--pairs", type=int, help="how many are read; all unless given")
    arguments = parser.parse_args()
    first, second, gold = (part[: arguments.pairs] for part in read_pairs(arguments.stsb / "dev.tsv"))
    texts = [*first, *second]
    length = Predictor.load(arguments.model).lengths.max_length
    able = torch.cpu.get_capabilities()
    precisions = ["fp32", *["bf16"] * bool(able.get("avx512_bf16")), *["int8"] * has_int8()]
    arms = {f"albert {precision}": of_ours(arguments.model, precision, texts) for precision in precisions}
    if importlib.util.find_spec("sentence_transformers"):
        arms["sentence-transformers fp32"] = of_sentence_transformers(arguments.model)
    if importlib.util.find_spec("transformers"):
        arms["transformers fp32"] = of_transformers(arguments.model, length, torch.float32)
        if "bf16" in precisions:
            arms["transformers bf16"] = of_transformers(arguments.model, length, torch.bfloat16)
    vectors = {name: embed(texts) for name, embed in arms.items()}  # a round to warm up
    seconds: dict[str, list[float]] = {name: [] for name in arms}
    for _ in range(arguments.rounds):
        for name, embed in arms.items():
            start = time.perf_counter()
            embed(texts)
            seconds[name].append(time.perf_counter() - start)
    exact = vectors.get("transformers fp32", vectors["albert fp32"])
    machine = platform.processor() or platform.machine()
    print(f"{len(texts):,} sentences, {torch.get_num_threads()} threads, {machine}\n")
    print("| arm | vectors/s | Pearson | Spearman | most that a number differs |\n|---|---|---|---|---|")
    for name, found in vectors.items():
        cosines = (found[: len(first)] * found[len(first) :]).sum(1)
        rate = len(texts) / statistics.median(seconds[name])
        told = f"{pearsonr(cosines, gold)[0]:.4f} | {spearmanr(cosines, gold)[0]:.4f}"
        print(f"| {name} | {rate:,.0f} | {told} | {np.abs(found - exact).max():.1e} |")


if __name__ == "__main__":
    main()
