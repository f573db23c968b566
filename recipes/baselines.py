"""Baselines of word counts and a linear model on a task set, by scikit-learn: the scores that a network has to beat."""

from __future__ import annotations

import re
from collections.abc import Callable, Sequence
from typing import Any

import numpy as np
from scipy import sparse
from sklearn.feature_extraction.text import TfidfVectorizer
from sklearn.linear_model import LogisticRegression, Ridge
from tasksets import Files, TaskSet

from albert.data.examples import Example, guess_columns, read_examples
from albert.data.sources import Problems
from albert.data.spans import spans_over, tags_over
from albert.data.tables import Table
from albert.tasks import Task, guess_task, task_named
from albert.tasks.metrics import classification_scores, entity_scores, ranking_scores, regression_scores
from albert.tasks.squad_metrics import squad_scores

Examples = Sequence[Example]
PENALTIES = (0.1, 1.0, 10.0, 100.0)  # scikit-learn's C, an inverse: 1 is its default


def examples_of(wanted: TaskSet, files: Files) -> tuple[Task, list[Example], list[Example]]:
    """The task of a set with its training and its test rows."""
    table = Table(wanted.source(files.train))
    columns = guess_columns(table)
    values = [row.values.get(columns.label or "") for row in table.sample()]
    task = task_named(wanted.options["task"]) if "task" in wanted.options else guess_task(values, columns)
    train, test = (
        list(read_examples(Table(path), columns, task.parse_gold, Problems(str(path))))
        for path in (files.train, files.test)
    )
    return task, train, test


def chosen_penalty(
    x: np.ndarray,
    gold: np.ndarray,
    fit: Callable[[float, np.ndarray, np.ndarray], Any],
    score: Callable[[np.ndarray, np.ndarray], float],
    *,
    penalties: Sequence[float] = PENALTIES,
) -> float:
    """The penalty with the best score on a tenth of the training rows, drawn by seed 0; of equal ones the stronger.

    `fit(c, x, gold)` gives a model; `score(predicted, gold)` gives its score.
    """
    order = np.random.default_rng(0).permutation(len(x))
    held, rest = order[: len(x) // 10], order[len(x) // 10 :]
    return max(penalties, key=lambda c: score(fit(c, x[rest], gold[rest]).predict(x[held]), gold[held]))


def _vectorizer() -> TfidfVectorizer:
    return TfidfVectorizer(ngram_range=(1, 2), sublinear_tf=True, min_df=1, token_pattern=r"\w+|[^\w\s]")


def _features(train: Examples, test: Examples) -> tuple[Any, Any]:
    """A text's TF-IDF. For a pair: both texts' TF-IDF, their common and different parts, and their cosine."""
    vectors = _vectorizer().fit([t for e in train for t in (e.text, e.text_pair or "")])

    def one(examples: Examples) -> Any:
        first = vectors.transform([e.text for e in examples])
        if examples[0].text_pair is None:
            return first
        second = vectors.transform([e.text_pair or "" for e in examples])
        shared = first.multiply(second)
        cosine = sparse.csr_matrix(10 * np.asarray(shared.sum(1)))
        return sparse.hstack([first, second, shared, abs(first - second), cosine]).tocsr()

    return one(train), one(test)


def classification(train: Examples, test: Examples) -> dict[str, float]:
    """TF-IDF of words and bigrams, logistic regression."""
    x, y = _features(train, test)
    model = LogisticRegression(C=10.0, max_iter=200).fit(x, [e.gold for e in train])
    labels = sorted({e.gold for e in (*train, *test)})
    ids = {label: index for index, label in enumerate(labels)}
    predicted, gold = (np.array([ids[v] for v in values]) for values in (model.predict(y), [e.gold for e in test]))
    return classification_scores(predicted, gold, labels=len(labels))


def regression(train: Examples, test: Examples) -> dict[str, float]:
    """The same features, ridge regression."""
    x, y = _features(train, test)
    predicted = Ridge(alpha=1.0).fit(x, [e.gold for e in train]).predict(y)
    return regression_scores(predicted, np.array([e.gold for e in test]))


def ner(train: Examples, test: Examples) -> dict[str, float]:
    """A tag per word from character n-grams of the word and its neighbours, by logistic regression."""

    def described(example: Example) -> list[str]:
        found = ["<s>", *(example.text[a:b] for a, b in example.word_places), "</s>"]
        shapes = [re.sub(r"[a-z]+", "a", re.sub(r"[A-Z]+", "A", re.sub(r"\d+", "0", word))) for word in found]
        return [
            f"w={found[i]} s={shapes[i]} p={found[i - 1]} n={found[i + 1]} ps={shapes[i - 1]} ns={shapes[i + 1]} "
            + " ".join(f"e{k}={found[i][-k:]} b{k}={found[i][:k]}" for k in (2, 3))
            for i in range(1, len(found) - 1)
        ]

    lines = [line for e in train for line in described(e)]
    tags = [tag for e in train for tag in tags_over(e.gold, e.word_places)[0]]
    vectors = TfidfVectorizer(token_pattern=r"\S+", lowercase=False, norm=None, use_idf=False, min_df=2)
    model = LogisticRegression(C=1.0, max_iter=100).fit(vectors.fit_transform(lines), tags)
    predicted = []
    for e in test:
        mine = described(e)
        said = model.predict(vectors.transform(mine)) if mine else []
        predicted.append(spans_over(list(said), e.word_places))
    return entity_scores(predicted, [e.gold for e in test])


def qa(train: Examples, test: Examples) -> dict[str, float]:
    """In the sentence most like the question, the longest run of capitalised or numeric words that are not in the
    question.
    """
    vectors = _vectorizer().fit([e.text_pair or "" for e in train[:20_000]])
    texts = []
    for e in test:
        sentences = re.split(r"(?<=[.!?])\s+", e.text_pair or "")
        scores = (vectors.transform(sentences) @ vectors.transform([e.text]).T).toarray()[:, 0]
        best = sentences[int(scores.argmax())]
        runs = [run.strip() for run in re.findall(r"(?:\b(?:[A-Z][\w'-]*|\d[\d,.]*)\b ?)+", best)]
        runs = [run for run in runs if run and run.lower() not in e.text.lower()]
        texts.append(max(runs, key=len) if runs else best)
    return squad_scores(texts, [[answer.text for answer in e.gold] for e in test])


def choice(train: Examples, test: Examples) -> dict[str, float]:
    """The choice whose words are most like the text's and the question's."""
    vectors = _vectorizer().fit([e.text for e in train])
    hits = []
    for e in test:
        told = vectors.transform([f"{e.text} {e.text_pair or ''}"])
        scores = (vectors.transform(e.choices) @ told.T).toarray()[:, 0]
        hits.append(int(scores.argmax()) == e.gold)
    return {"accuracy": float(np.mean(hits))}


def retrieval(train: Examples, test: Examples) -> dict[str, float]:
    """Cosine of TF-IDF."""
    answers = list(dict.fromkeys(e.gold for e in test))
    vectors = _vectorizer().fit([*answers, *(e.gold for e in train)])
    table = (vectors.transform([e.text for e in test]) @ vectors.transform(answers).T).toarray()
    places = {text: place for place, text in enumerate(answers)}
    return ranking_scores(table, np.array([places[e.gold] for e in test]))


def ranked(scores: Sequence[float], examples: Examples, right: str) -> dict[str, float]:
    """Mean average precision and reciprocal rank of the right answers of each first text that has any.

    As in the literature on TREC-QA, texts whose answers are all right or all wrong are left out.
    """
    groups: dict[str, list[tuple[float, bool]]] = {}
    for score, example in zip(scores, examples, strict=True):
        groups.setdefault(example.text, []).append((score, example.gold == right))
    precisions, reciprocals = [], []
    for group in groups.values():
        hits = [hit for _, hit in sorted(group, key=lambda pair: -pair[0])]
        if not 0 < sum(hits) < len(hits):
            continue
        places = [place for place, hit in enumerate(hits, 1) if hit]
        precisions.append(float(np.mean([number / place for number, place in enumerate(places, 1)])))
        reciprocals.append(1 / places[0])
    return {"map": float(np.mean(precisions)), "mrr": float(np.mean(reciprocals))}


def ranking(train: Examples, test: Examples) -> dict[str, float]:
    """Cosine of TF-IDF."""
    vectors = _vectorizer().fit([t for e in train for t in (e.text, e.text_pair or "")])
    first, second = (vectors.transform(texts) for texts in ([e.text for e in test], [e.text_pair or "" for e in test]))
    return ranked(np.asarray(first.multiply(second).sum(1))[:, 0].tolist(), test, "1")


BASELINES: dict[str, Callable[[Examples, Examples], dict[str, float]]] = {
    "classification": classification, "regression": regression, "ner": ner, "qa": qa, "choice": choice,
    "retrieval": retrieval, "ranking": ranking, "similarity": regression,
}  # fmt: skip
