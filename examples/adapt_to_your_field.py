"""Domain adaptation: the starter goes on learning from your own texts, and the script measures the change.

    python examples/adapt_to_your_field.py TEXTS --out runs/adapted --steps 600        about 5 minutes on 2 cores

TEXTS are files or folders that `albert prepare` reads. Prints loss and accuracy of masked words, and accuracy of the
sentence order, before and after, on documents of yours that were not used for training. `albert train … --init
runs/adapted/model` then fine-tunes the adapted encoder.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from albert.corpus.job import PrepareConfig
from albert.corpus.prepare import prepare
from albert.corpus.shards import open_corpus
from albert.hub import model_folder
from albert.model.checkpoint import load_model
from albert.pretraining.instances import InstanceConfig
from albert.pretraining.pretrain import PretrainConfig, held_out_scores, pretrain
from albert.pretraining.source import MaskingConfig, PretrainingSource
from albert.text.tokenizer import AlbertTokenizer
from albert.text.words import word_starts
from albert.training.progress import ConsoleProgress


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("texts", type=Path, nargs="+")
    parser.add_argument("--out", type=Path, default=Path("runs/adapted"))
    parser.add_argument("--init", default="starter")
    parser.add_argument("--steps", type=int, default=600)
    arguments = parser.parse_args()

    shards, adapted = arguments.out / "shards", arguments.out / "model"
    prepare(
        PrepareConfig(tuple(arguments.texts), shards, vocabulary=str(model_folder(arguments.init)), deduplicate=True)
    )
    held_out = 0.02
    config = PretrainConfig(
        shards=shards, out=adapted, init=arguments.init,
        settings={"held_out": held_out, "steps": arguments.steps, "batch_size": 32, "lr": 3e-4, "evals_per_epoch": 1},
    )  # fmt: skip
    pretrain(config, resume=True, progress=ConsoleProgress())

    tokenizer = AlbertTokenizer.from_pretrained(shards)
    source = PretrainingSource(
        open_corpus(shards), word_starts(tokenizer.vocabulary), InstanceConfig(held_out=held_out), MaskingConfig(),
        batch_size=32, max_tokens=8192, seed=0,
    )  # fmt: skip
    batches = source.held_out(1024)
    print("| on held-out documents | MLM loss | MLM accuracy | SOP accuracy |\n|---|---|---|---|")
    for name, model in (("before", arguments.init), ("after", adapted)):
        scores = held_out_scores(load_model(model_folder(model)), batches)
        print(f"| {name} | {scores['mlm_loss']:.3f} | {scores['mlm_accuracy']:.3f} | {scores['sop_accuracy']:.3f} |")


if __name__ == "__main__":  # `prepare` starts processes that read this file, too
    main()
