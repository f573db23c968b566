"""The objective against transformers' loss, with padding, unlabelled rows and a split batch."""

from __future__ import annotations

from dataclasses import fields, replace
from pathlib import Path

import torch
import transformers

from albert.model import AlbertForTask, save_model
from albert.pretraining.instances import NO_PAIR
from albert.pretraining.objective import PretrainingBatch, PretrainingObjective
from conftest import random_ids, small_config

OBJECTIVE = PretrainingObjective()


def random_batch(rows: int = 4, seq: int = 12, *, seed: int = 0) -> PretrainingBatch:
    generator = torch.Generator().manual_seed(seed)
    inputs = random_ids((rows, seq), seed=seed)
    chosen = (torch.rand(rows, seq, generator=generator) < 0.3) & inputs["attention_mask"].bool()
    positions = chosen.flatten().nonzero().flatten()
    return PretrainingBatch(
        **inputs,
        masked_positions=positions,
        masked_ids=torch.randint(5, 61, positions.shape, generator=generator),
        order=torch.tensor([0, 1, NO_PAIR, 1])[:rows],
    )


def random_model(**overrides: object) -> AlbertForTask:
    generator = torch.Generator().manual_seed(0)
    model = AlbertForTask(small_config(**overrides), "pretraining", generator=generator)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn(parameter.shape, generator=generator))
    return model.eval()


def test_the_loss_and_its_gradients_are_those_of_transformers(tmp_path: Path) -> None:
    model, batch = random_model(), random_batch()
    save_model(model, tmp_path)
    oracle = transformers.AlbertForPreTraining.from_pretrained(tmp_path).eval()
    labels = torch.full_like(batch.input_ids, -100)
    labels.view(-1)[batch.masked_positions] = batch.masked_ids
    theirs = oracle(
        input_ids=batch.input_ids, token_type_ids=batch.token_type_ids, attention_mask=batch.attention_mask,
        labels=labels, sentence_order_label=batch.order,
    ).loss  # fmt: skip
    counts, sums = OBJECTIVE.counts(batch), OBJECTIVE.sums(model, batch)
    ours = sum(sums[term] / counts[term] for term in sums)
    assert abs(ours.item() - theirs.item()) < 1e-5
    ours.backward()
    theirs.backward()
    for mine, other in (
        (model.albert.embeddings.word, oracle.albert.embeddings.word_embeddings),
        (model.albert.encoder.groups[0][0].attention.query,
         oracle.albert.encoder.albert_layer_groups[0].albert_layers[0].attention.query),
        (model.head.sop.linear, oracle.sop_classifier.classifier),
    ):  # fmt: skip
        assert (mine.weight.grad - other.weight.grad).abs().max() < 1e-5


def test_micro_batches_add_up() -> None:
    model, batch = random_model(), random_batch()
    halves = [slice_rows(batch, slice(0, 1)), slice_rows(batch, slice(1, 4))]
    whole = OBJECTIVE.sums(model, batch)
    for term in whole:
        parts = sum(OBJECTIVE.sums(model, half)[term] for half in halves)
        assert torch.allclose(whole[term], parts, rtol=1e-5)
        assert OBJECTIVE.counts(batch)[term] == sum(OBJECTIVE.counts(half)[term] for half in halves)


def slice_rows(batch: PretrainingBatch, rows: slice) -> PretrainingBatch:
    seq = batch.input_ids.shape[1]
    row = batch.masked_positions // seq
    kept = (row >= rows.start) & (row < rows.stop)
    cut = {f.name: getattr(batch, f.name)[rows] for f in fields(batch) if not f.name.startswith("masked")}
    return PretrainingBatch(
        **cut,
        masked_positions=batch.masked_positions[kept] - rows.start * seq,
        masked_ids=batch.masked_ids[kept],
    )


def test_a_batch_without_labels_has_a_loss_of_zero() -> None:
    batch = random_batch()
    nothing = batch.masked_ids[:0]
    batch = replace(batch, masked_positions=nothing, masked_ids=nothing, order=torch.full_like(batch.order, NO_PAIR))
    sums = OBJECTIVE.sums(random_model(), batch)
    assert OBJECTIVE.counts(batch) == {"mlm": 0, "sop": 0}
    assert {term: value.item() for term, value in sums.items()} == {"mlm": 0.0, "sop": 0.0}


def test_correct_counts_right_answers_and_no_unlabelled_rows() -> None:
    model, batch = random_model(), random_batch()
    assert OBJECTIVE.correct(model, batch)["sop"] <= 3
    mlm, sop = model(batch.input_ids, attention_mask=batch.attention_mask, token_type_ids=batch.token_type_ids)
    told = mlm.flatten(0, 1).argmax(1)[batch.masked_positions]
    batch = replace(batch, masked_ids=told, order=torch.where(batch.order < 0, batch.order, sop.argmax(1)))
    assert OBJECTIVE.correct(model, batch) == OBJECTIVE.counts(batch) == {"mlm": len(told), "sop": 3}
