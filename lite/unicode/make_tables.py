"""Makes the Unicode tables of albert-lite from Python's `unicodedata` and the package's own rules.

    python lite/unicode/make_tables.py > lite/src/unicode_tables.h        seconds

Python 3.11 has Unicode 14. `tests/lite/test_unicode.py` compares every code point with Python.
"""

from __future__ import annotations

import unicodedata
from collections.abc import Iterable

from albert.text.hardening import lookalikes
from albert.text.hardening.hardener import _floods
from albert.text.hardening.lookalike_table import LOOKALIKES

FLAGS = ("Space", "Alpha", "Word", "Digit", "Combining", "Cased", "Ignorable", "Mark", "Accent", "Flood")
# fmt: off
BIDI = ("L", "R", "AL", "EN", "ES", "ET", "AN", "CS", "NSM", "BN", "B", "S", "WS", "ON", "LRE", "RLE", "LRO", "RLO",
        "PDF", "LRI", "RLI", "FSI", "PDI", "")
# fmt: on
SCRIPTS = ["", lookalikes.LATIN, lookalikes._SMALL, lookalikes._ONE_STOREY, *LOOKALIKES]  # others follow
HANGUL = range(0xAC00, 0xD7A4)  # decomposed by arithmetic
CODES = [code for code in range(0x110000) if not 0xD800 <= code < 0xE000]


def flags_of(char: str) -> int:
    """The flags of a character, one bit each."""
    category = unicodedata.category(char)
    ends = (char + "Σ").lower().endswith("ς")
    found = (
        char.isspace(),
        char.isalpha(),
        char.isalnum() or char == "_",
        char.isdigit(),
        unicodedata.combining(char) != 0,
        ends,
        not ends and ("A" + char + "Σ").lower().endswith("ς"),
        "\x80" <= char <= "\uffff" and category in ("Mn", "Mc", "Me", "Cf"),
        "\u0300" <= char <= "\uffff" and category in ("Mn", "Me"),
        _floods()[1].search("\u0301" * 30 + char) is not None,
    )
    return sum(bit << place for place, bit in enumerate(found))


def script(char: str) -> int:
    """The number of a letter's script."""
    name = lookalikes.script_of(char)
    if name not in SCRIPTS:
        SCRIPTS.append(name)
    return SCRIPTS.index(name)


def record(char: str) -> int:
    """All properties of a character in one number: flags, direction, script."""
    direction = BIDI.index(unicodedata.bidirectional(char))
    return flags_of(char) | direction << len(FLAGS) | script(char) << len(FLAGS) + 5


def array(kind: str, name: str, values: Iterable[object]) -> None:
    """Prints a C++ array."""
    print(f"constexpr {kind} {name}[] = {{")
    line = "   "
    for value in values:
        if len(line) + len(str(value)) > 117:
            print(line)
            line = "   "
        line += f" {value},"
    print(f"{line}\n}};")


def decompositions() -> None:
    """Prints NFKD: code points, where the form of each begins in a pool, and the pool."""
    codes, places, pool = [], [], ""
    seen: dict[str, int] = {}
    for code in CODES:
        form = unicodedata.normalize("NFKD", chr(code))
        if form == chr(code) or code in HANGUL:
            continue
        if form not in seen:
            seen[form] = len(pool)
            pool += form
        codes.append(code)
        places.append(seen[form] << 5 | len(form))
    assert max(place & 31 for place in places) < 31
    array("char32_t", "kDecomposed", codes)
    array("uint32_t", "kForms", places)
    array("char32_t", "kPool", map(ord, pool))


def lookalike_tables() -> None:
    """Prints what letters look like, and the letters of each script that look like ASCII letters."""
    pairs = sorted(lookalikes._TO_LATIN.items())
    array("char32_t", "kLookalikes", (ord(letter) for letter, _ in pairs))
    array("char", "kLooks", (ord(look) for _, look in pairs))
    rows = [(number, look, letter) for number, name in enumerate(SCRIPTS)
            for look, letter in sorted(lookalikes._from_latin(name).items())]  # fmt: skip
    array("uint16_t", "kImitators", (number for number, _, _ in rows))
    array("char", "kImitated", (ord(look) for _, look, _ in rows))
    array("char32_t", "kImitations", (ord(letter) for _, _, letter in rows))
    for name, table in (("kSmallCapitals", lookalikes._SMALL_CAPITALS), ("kPhonetic", lookalikes._PHONETIC)):
        array("char32_t", name, (ord(part) for pair in table.items() for part in pair))


def main() -> None:
    """Prints the header."""
    starts: list[int] = []
    rows: list[int] = []
    for code in range(0x110000):
        found = 0 if 0xD800 <= code < 0xE000 else record(chr(code))
        if not rows or rows[-1] != found:
            starts.append(code)
            rows.append(found)
    records = sorted(set(rows))
    lowered = [(code, chr(code).lower()) for code in CODES if chr(code).lower() != chr(code)]
    print("// Made by lite/unicode/make_tables.py.\n#pragma once\n\n#include <cstdint>\n\nnamespace albert::lite {\n")
    print(f'constexpr char kUnicode[] = "{unicodedata.unidata_version}";')
    print("enum Flag : uint32_t {", ", ".join(f"k{name} = {1 << at}" for at, name in enumerate(FLAGS)), "};")
    print("enum Bidi : uint32_t {", ", ".join(f"k{name or 'NoDirection'}" for name in BIDI), "};")
    print(f"constexpr int kBidiShift = {len(FLAGS)}, kScriptShift = {len(FLAGS) + 5};")
    named = ("None", "Latin", "SmallCapitals", "OneStorey", *(name.capitalize() for name in LOOKALIKES))
    print("enum Script : uint32_t {", ", ".join(f"kScript{name}" for name in named), "};")
    array("uint32_t", "kRecords", records)
    array("char32_t", "kStarts", starts)
    array("uint16_t", "kRecordOf", map(records.index, rows))
    decompositions()
    array("char32_t", "kUpper", (code for code, form in lowered if len(form) == 1))
    array("char32_t", "kLower", (ord(form) for _, form in lowered if len(form) == 1))
    lookalike_tables()
    print("\n}  // namespace albert::lite")


main()
