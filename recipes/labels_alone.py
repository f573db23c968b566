"""Labels without rows: how often the nearest label name or description is right (`albert classify`).

    python recipes/labels_alone.py TASKS --work runs/results/data

AG News: 1,000 test rows. CLINC150: every fourth test row that is in scope.
"""

from __future__ import annotations

import argparse
from collections.abc import Mapping
from pathlib import Path

from baselines import examples_of
from tasksets import SETS

from albert.data.examples import Example
from albert.predict.labelling import label_texts, named_labels
from albert.predict.open import open_model

DESCRIBED = {
    "World": "World: international politics, governments and wars",
    "Sports": "Sports: games, teams and players",
    "Business": "Business: companies, markets and the economy",
    "Sci/Tech": "Sci/Tech: science, technology, computers and the internet",
}


def accuracy(examples: list[Example], labels: Mapping[str, str]) -> float:
    """The share of right labels."""
    said = label_texts(starter, [example.text for example in examples], labels)
    return sum(one["label"] == example.gold for one, example in zip(said, examples, strict=True)) / len(examples)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("tasks", type=Path)
    parser.add_argument("--work", type=Path, default=Path("runs/results/data"))
    arguments = parser.parse_args()
    starter = open_model("starter")
    news = examples_of(SETS["AG News"], SETS["AG News"].files(arguments.tasks, arguments.work))[2][:1000]
    print(f"AG News, names: {accuracy(news, named_labels(list(DESCRIBED))):.3f}")
    print(f"AG News, descriptions: {accuracy(news, DESCRIBED):.3f}")
    asked = examples_of(SETS["CLINC150"], SETS["CLINC150"].files(arguments.tasks, arguments.work))[2]
    asked = [example for example in asked if example.gold != "oos"][::4]
    names = sorted({example.gold for example in asked})
    print(f"CLINC150, names as they are: {accuracy(asked, {name: name for name in names}):.3f}")
    print(f"CLINC150, names in words: {accuracy(asked, named_labels(names)):.3f}")
