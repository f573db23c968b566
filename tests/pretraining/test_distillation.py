"""A teacher beside masked words: the same words on both sides, terms that say what they mean, a start from it."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from albert.config import AlbertConfig
from albert.errors import AlbertError
from albert.model import AlbertForTask
from albert.model.network import AlbertModel, initialize
from albert.pretraining.alignment import Words, word_vectors
from albert.pretraining.distillation import Comparison, DistillationConfig, Teacher, group_ends
from albert.pretraining.full_objective import FullRowObjective, FullRowSource, comparison_of
from albert.pretraining.full_rows import Draws, Stream, full_rows
from albert.pretraining.instances import InstanceConfig
from albert.pretraining.source import MaskingConfig
from albert.pretraining.start import start_from_teacher
from albert.text.encodings import Tokenizer
from albert.text.tokenizer import AlbertTokenizer
from albert.text.wordpiece import WordPieceTokenizer, build_pipeline
from albert.text.words import word_starts
from corpora import make_corpus

CPU = torch.device("cpu")
TEXT = [
    "The quick brown fox jumps over the lazy dog, doesn't it?",
    "It cost 92,000 euros (about $100k) in 1999 - so they say.",
    "An unbelievably long-winded sentence; nobody reads it anyway!",
    'She sells sea-shells. He "buys" them.',
]
LETTERS = "abcdefghijklmnopqrstuvwxyz0123456789"
WORDS = ["the", "quick", "fox", "dog", "it", "does", "say", "they", "sea", "shells", "sentence", "read"]


def bert_pieces() -> WordPieceTokenizer:
    marks = list(".,;!?()$-'\"")
    pieces = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *marks, *WORDS, "##s", "##ing", "##ly"]
    pieces += [*LETTERS, *(f"##{letter}" for letter in LETTERS if letter != "s")]
    return WordPieceTokenizer(build_pipeline(pieces))


@pytest.fixture(scope="module")
def ours() -> AlbertTokenizer:
    return AlbertTokenizer.english()


@pytest.fixture
def stream(tmp_path: Path, ours: AlbertTokenizer) -> Stream:
    ids = [list(map(int, row)) for row in ours.ids(TEXT)]
    corpus = make_corpus(tmp_path, [ids * 4, ids[::-1] * 4], shards=1)
    return Stream.of(corpus, word_starts(ours.vocabulary), 0.0, CPU)


def network(pieces: int, **changes: object) -> AlbertConfig:
    shape = {
        "vocab_size": pieces, "embedding_size": 16, "hidden_size": 32, "num_attention_heads": 4,
        "intermediate_size": 48, "num_hidden_layers": 4, "num_hidden_groups": 2, "max_position_embeddings": 64,
        "hidden_act": "gelu",
    }  # fmt: skip
    return AlbertConfig(**{**shape, **changes})  # type: ignore[arg-type]


def teacher_model(pieces: int) -> AlbertModel:
    config = network(
        pieces, sharing="none", num_hidden_groups=4, embedding_projection=False, embedding_size=32, hidden_act="gelu"
    )
    model = AlbertModel(config, pooler=False)
    initialize(model, config, torch.Generator().manual_seed(3))
    return model


def taught(stream: Stream, ours: AlbertTokenizer, **changes: object) -> tuple[AlbertForTask, FullRowObjective]:
    pieces = bert_pieces()
    teacher = teacher_model(pieces.vocab_size)
    model = AlbertForTask(
        network(ours.vocab_size, **changes), "pretraining", generator=torch.Generator().manual_seed(0)
    )
    model.comparison = Comparison(model.config.hidden_size, 32, 2, torch.Generator().manual_seed(0))
    words = Words.of(stream, ours.vocabulary, pieces)
    asked = Teacher(teacher, pieces, words, 2, torch.float32, compiled=False)
    config = InstanceConfig(max_length=24, rows="full", row_lengths=(16, 24))
    objective = FullRowObjective(
        stream, config, MaskingConfig(), dtype=torch.float32, compiled=False, teacher=asked,
        distillation=DistillationConfig(),
    )  # fmt: skip
    return model, objective


def source_of(stream: Stream, **changes: object) -> FullRowSource:
    config = InstanceConfig(max_length=24, rows="full", row_lengths=(16, 24))
    options = {"batch_size": 8, "max_tokens": 96, "seed": 0, **changes}
    return FullRowSource(stream, config, MaskingConfig(), **options)  # type: ignore[arg-type]


@pytest.mark.parametrize("kind", ["bert", "albert"])
def test_both_sides_of_a_word_spell_the_same(stream: Stream, ours: AlbertTokenizer, kind: str) -> None:
    theirs: Tokenizer = bert_pieces() if kind == "bert" else ours
    words = Words.of(stream, ours.vocabulary, theirs)
    teacher = Teacher(teacher_model(theirs.vocab_size), theirs, words, 2, torch.float32, compiled=False)
    rows = full_rows(
        stream, stream.candidates(30), Draws(0, 0, 60, CPU), 32, InstanceConfig(rows="full", comparisons=0.2)
    )
    aligned = teacher.align(rows)

    def spelling(vocabulary: list[str], ids: torch.Tensor) -> str:
        return "".join(vocabulary[piece] for piece in ids.tolist()).replace("##", "").replace("▁", "")

    compared = 0
    for row in range(60):
        for word in range(32):
            own, other = rows.ids[row][aligned.ours[row] == word], aligned.ids[row][aligned.theirs[row] == word]
            if aligned.known[row, word] and len(other):
                compared += 1
                assert spelling(ours.vocabulary, own) == spelling(theirs.vocabulary, other)
    assert compared > 600
    if kind == "albert":  # the same vocabulary gives the same pieces, in whole segments at least
        for row in torch.nonzero(rows.second_length == 0).flatten()[:20].tolist():
            known = (aligned.known[row][aligned.ours[row].clamp(min=0)] & (aligned.ours[row] >= 0)).nonzero().flatten()
            for place in known.tolist():
                number = aligned.ours[row, place]
                own = rows.ids[row][aligned.ours[row] == number].tolist()
                other = aligned.ids[row][aligned.theirs[row] == number].tolist()
                assert other == own or ours.vocabulary[own[0]] == "▁"


def test_word_vectors_are_means() -> None:
    hidden = torch.arange(10.0).view(1, 5, 2)
    vectors, present = word_vectors(hidden, torch.tensor([[-1, 0, 0, 1, -1]]), 3)
    assert vectors[0].tolist() == [[3.0, 4.0], [6.0, 7.0], [0.0, 0.0]]
    assert present.tolist() == [[True, True, False]]


@pytest.mark.parametrize(
    ("groups", "loops", "ends"), [(1, 6, [5]), (3, 6, [1, 3, 5]), (3, 3, [0, 1, 2]), (2, 5, [2, 4])]
)
def test_group_ends(groups: int, loops: int, ends: list[int]) -> None:
    assert group_ends(groups, loops) == ends


def test_a_student_that_is_its_teacher_is_not_told_to_change(stream: Stream, ours: AlbertTokenizer) -> None:
    """With the teacher's own weights and vocabulary every term of words and means is 0 where nothing is hidden."""
    config = network(
        ours.vocab_size, num_hidden_groups=4, sharing="none", embedding_size=32, embedding_projection=False
    )
    student = AlbertForTask(config, "pretraining", generator=torch.Generator().manual_seed(0))
    teacher = AlbertModel(config, pooler=False)
    teacher.load_state_dict(
        {k: v.clone() for k, v in student.albert.state_dict().items() if not k.startswith("pooler")}
    )
    student.comparison = Comparison(32, 32, 4, torch.Generator().manual_seed(0))
    words = Words.of(stream, ours.vocabulary, ours)
    asked = Teacher(teacher, ours, words, 4, torch.float32, compiled=False)
    rows = InstanceConfig(max_length=24, rows="full", paired=0.0)
    objective = FullRowObjective(
        stream, rows, MaskingConfig(), dtype=torch.float32, compiled=False, teacher=asked,
        distillation=DistillationConfig(unmasked=0.9),
    )  # fmt: skip
    step = FullRowSource(stream, rows, MaskingConfig(), batch_size=40, max_tokens=10_000, seed=0).micro_batches(0)[0]
    objective.standardise(student, step)
    close = objective.sums(student, step)
    counts = objective.counts(step)
    # A tenth of the rows is masked, and a last word that is cut for the student is whole for the teacher.
    assert close["words"] / counts["words"] < 0.2
    assert close["mean"] / counts["mean"] < 0.1
    initialize(student.albert, config, torch.Generator().manual_seed(9))
    assert objective.sums(student, step)["words"] > 4 * close["words"]


def test_micro_batches_add_up_to_the_step(stream: Stream, ours: AlbertTokenizer) -> None:
    model, objective = taught(stream, ours)
    model.eval()  # the order's head has dropout
    objective.unmasked = 0.0
    whole = source_of(stream, max_tokens=10_000)
    objective.standardise(model, whole.micro_batches(0)[0])
    for step in range(4):
        (one,) = whole.micro_batches(step)
        parts = source_of(stream).micro_batches(step)
        assert len(parts) > 1
        assert sum(part.pieces for part in parts) == one.pieces
        expected = objective.sums(model, one)
        assert expected.keys() == objective.counts(one).keys() == {"mlm", "sop", "words", "depths", "mean", "pooled"}
        sums = [objective.sums(model, part) for part in parts]
        for name, value in expected.items():
            torch.testing.assert_close(sum(part[name] for part in sums), value, rtol=1e-4, atol=1e-4)
    dealt = [source_of(stream, rank=rank, ranks=2).micro_batches(1) for rank in (0, 1)]
    assert sorted(part.first for parts in dealt for part in parts) == [
        p.first for p in source_of(stream).micro_batches(1)
    ]


def test_the_terms_fall_when_they_are_learned_from(stream: Stream, ours: AlbertTokenizer) -> None:
    model, objective = taught(stream, ours)
    step = source_of(stream, max_tokens=10_000).micro_batches(0)[0]
    objective.standardise(model, step)
    optimizer = torch.optim.Adam(model.parameters(), 3e-3)
    first: dict[str, float] = {}
    for _ in range(60):
        optimizer.zero_grad()
        sums = {name: value / objective.counts(step)[name] for name, value in objective.sums(model, step).items()}
        first = first or {name: value.item() for name, value in sums.items()}
        sum(sums.values()).backward()
        optimizer.step()
    assert all(sums[name] < 0.7 * first[name] for name in ("mlm", "words", "depths", "mean", "pooled"))


def test_widths_that_differ_are_mapped(stream: Stream, ours: AlbertTokenizer) -> None:
    model, objective = taught(stream, ours, hidden_size=24, num_attention_heads=2)
    step = source_of(stream).micro_batches(0)[0]
    objective.standardise(model, step)
    sum(objective.sums(model, step).values()).backward()
    assert comparison_of(model).maps[0].weight.grad.abs().sum() > 0


def test_a_start_from_the_teachers_blocks(stream: Stream, ours: AlbertTokenizer) -> None:
    pieces = bert_pieces()
    teacher = teacher_model(pieces.vocab_size)
    student = AlbertForTask(network(ours.vocab_size), "pretraining", generator=torch.Generator().manual_seed(0))
    counts = torch.bincount(stream.tokens.long(), minlength=ours.vocab_size)
    start_from_teacher(student, teacher, ours.vocabulary, pieces, counts, [1, 3])
    blocks = list(teacher.encoder.layers())
    for group, block in enumerate((1, 3)):
        for own, other in zip(
            student.albert.encoder.groups[group][0].parameters(), blocks[block].parameters(), strict=True
        ):  # type: ignore[index]
            assert torch.equal(own, other)
    ids = torch.tensor([[ours.id_of("▁fox"), ours.id_of("▁dog")]])
    theirs = torch.tensor([[pieces.vocabulary.index("fox"), pieces.vocabulary.index("dog")]])
    types = torch.zeros_like(ids)
    near = student.albert.encoder.mapping(student.albert.embeddings(ids, types))
    far = near.flip(1)
    wanted = teacher.embeddings(theirs, types)
    cosine = torch.nn.functional.cosine_similarity
    assert (cosine(near, wanted, dim=2) > cosine(far, wanted, dim=2) + 0.2).all()
    other = AlbertForTask(network(ours.vocab_size, hidden_size=24, num_attention_heads=2), "pretraining")
    with pytest.raises(AlbertError, match="hidden_size"):
        start_from_teacher(other, teacher, ours.vocabulary, pieces, counts, [1, 3])
    with pytest.raises(AlbertError, match="teacher_blocks"):
        start_from_teacher(student, teacher, ours.vocabulary, pieces, counts, [1, 4])
