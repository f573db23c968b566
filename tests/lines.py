"""Texts of all sorts for tokenizers, and WordPiece vocabularies made of texts."""

from __future__ import annotations

import random
from collections import Counter
from collections.abc import Sequence
from importlib import resources
from pathlib import Path

from albert.text.wordpiece import WordPieceTokenizer, build_pipeline

SPECIALS = [
    "[PAD]",
    *(f"[unused{number}]" for number in range(99)),
    "[UNK]",
    "[CLS]",
    "[SEP]",
    "[MASK]",
]  # as published


def varied_lines(count: int) -> list[str]:
    """Sentences and mixtures of scripts, marks, digits, commas, spaces and special-token spellings."""
    rng = random.Random(20261121)
    messages = (resources.files("albert") / "assets" / "messages.csv").read_text(encoding="utf-8").splitlines()
    words = " ".join(messages).split()
    # fmt: off
    ranges = [(0x20, 0x7E), (0xA0, 0x24F), (0x300, 0x36F), (0x370, 0x5FF), (0x900, 0x97F), (0xAC00, 0xAFFF),
              (0x1100, 0x11FF), (0x2000, 0x206F), (0x2460, 0x24FF), (0x3040, 0x30FF), (0x4E00, 0x4FFF),
              (0xFB00, 0xFB06), (0xFE00, 0xFE0F), (0xFF00, 0xFFEF), (0x1D400, 0x1D4FF), (0x1F600, 0x1F64F)]
    odd = ["92,000,", "1,2,3,", "9,", ",", "[CLS]", "[MASK]", "<pad>", "<unk>", "▁", "–", "£5", "€", "``", "''",
           "\t", "\u00a0", "\u3000", "\u200b", "\u00ad", "\ufeff", "İ", "ΣΑΣ", "ß", "e\u0301", "İ,", "½,", "²,"]
    # fmt: on
    lines = list(messages)
    while len(lines) < count:
        parts = []
        for _ in range(rng.randint(1, 12)):
            kind = rng.random()
            if kind < 0.4:
                parts.append(rng.choice(words))
            elif kind < 0.55:
                parts.append(f"{rng.randint(0, 10 ** rng.randint(1, 9)):,}" + rng.choice(["", ",", ".", ", "]))
            elif kind < 0.7:
                parts.append(rng.choice(odd))
            else:
                low, high = rng.choice(ranges)
                parts.append("".join(chr(rng.randint(low, high)) for _ in range(rng.randint(1, 5))))
        lines.append(rng.choice(["", " ", "  "]).join(parts) if rng.random() < 0.3 else " ".join(parts))
    return lines[:count]


def word_pieces(lines: Sequence[str], *, lower: bool = True) -> list[str]:
    """A vocabulary with the ids of the published ones: frequent words, beginnings and endings, most characters."""
    reader = build_pipeline(SPECIALS, lower=lower)
    words: Counter[str] = Counter()
    for line in lines:
        text = reader.normalizer.normalize_str(line)
        words.update(word for word, _ in reader.pre_tokenizer.pre_tokenize_str(text))
    chars = sorted(char for char, count in Counter("".join(words)).items() if count > 1)
    ends = Counter(f"##{word[at:]}" for word in words for at in range(1, len(word)))
    frequent = [piece for piece, _ in (*words.most_common(1000), *ends.most_common(1000))]
    return list(dict.fromkeys([*SPECIALS, *chars, *(f"##{char}" for char in chars), *sorted(frequent)]))


def write_vocabulary(folder: Path, lines: Sequence[str], *, lower: bool = True) -> WordPieceTokenizer:
    """A folder with `vocab.txt` and `tokenizer_config.json` alone, and its tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / "vocab.txt").write_text(
        "".join(f"{piece}\n" for piece in word_pieces(lines, lower=lower)), encoding="utf-8"
    )
    (folder / "tokenizer_config.json").write_text(f'{{"do_lower_case": {str(lower).lower()}}}', encoding="utf-8")
    return WordPieceTokenizer.from_pretrained(folder)
