"""Words with letters of more than one script, and the words that they imitate.

The script of a letter is the first word of its Unicode name. Names never change (Unicode's stability policy),
`unicodedata` has them, and units (MICRO SIGN, OHM SIGN) have no script by this rule. More in docs/decisions/005.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from enum import Enum, IntEnum
from functools import cache, lru_cache
from itertools import groupby

from albert.text.hardening.lookalike_table import LOOKALIKES

LATIN = "LATIN"
_SMALL, _ONE_STOREY = "SMALL CAPITALS", "ONE STOREY"  # Latin letters that mix like those of another script
# Small capitals of phonetic transcription (U+0250 to 02AF) count only in words made entirely of them.
_PHONETIC = dict(zip("ʙɢʜɪʟɴʀʏ", "BGHILNRY", strict=True))
_SMALL_CAPITALS = dict(zip("ᴀᴄᴅᴇꜰᴊᴋᴍᴏᴘꜱᴛᴜᴠᴡᴢꞯ", "ACDEFJKMOPSTUVWZQ", strict=True))
_ONE_STOREY_LETTERS = {"ɑ": "a", "ɡ": "g"}  # phonetic, too
_STAND_INS = "sxqǫ"  # s, x and q drawn small are these
_GREEK_SYMBOLS = frozenset("αγινρσυϱϳ")  # letters of formulas and names (TNFα): look-alikes only in longer words
_ENOUGH_SMALL = 3
_SHORT, _LONG = 3, 4  # letters of a word in which a Greek minuscule may be a look-alike, and is one
_I_OR_L = str.maketrans("ӀӏΙІⲒꓲ", "llllll")  # the table folds these to i, but they may stand for l
_CACHED, _LONGEST = 1 << 15, 64  # cached judgements, and the longest cached word: hostile ones may be long

_PROTOTYPES = {script: dict(zip(letters, looks, strict=True)) for script, (letters, looks) in LOOKALIKES.items()} | {
    _SMALL: _SMALL_CAPITALS,
    _ONE_STOREY: _ONE_STOREY_LETTERS,
}
_TO_LATIN = {letter: look for letters in _PROTOTYPES.values() for letter, look in letters.items()}
_SMALL_WORD = str.maketrans({**_SMALL_CAPITALS, **_PHONETIC, "ǫ": "q"})
SMALL = re.compile("[" + "".join(_SMALL_CAPITALS) + "".join(_PHONETIC) + "]")
LOOKALIKE = re.compile("[" + "".join(char for char in _TO_LATIN if char <= "\uffff") + "\U000118a0-\U000118df]")
ASCII_LETTER = re.compile("[A-Za-z]")
# Latin next to a script with look-alikes, with digits or marks between allowed. Every mixed word has this.
_SCRIPTS = (
    "\u0370-\u052f\u0531-\u058f\u13a0-\u167f\u1c80-\u1c8f\u1f00-\u1fff\u2c80-\u2cff\ua4d0-\ua4ff\ua640-\ua69f\uab70-\uabbf"
    "\U000118a0-\U000118df" + "".join((*_SMALL_CAPITALS, *_ONE_STOREY_LETTERS))
)
OTHER = re.compile(f"[{_SCRIPTS}]")
_LATIN_LETTERS, _BETWEEN = "[A-Za-z\u00c0-\u024f]", "[0-9\u0300-\u036f]{0,8}"
MEETING = re.compile(f"{_LATIN_LETTERS}{_BETWEEN}{OTHER.pattern}|{OTHER.pattern}{_BETWEEN}{_LATIN_LETTERS}")

Spell = Callable[[str], tuple[int, int]]  # a word -> its number of pieces, and how many of them are unknown


@cache
def _word_pattern() -> re.Pattern[str]:
    marks = "".join(char for char in map(chr, range(0x300, 0x10000)) if unicodedata.category(char) in ("Mn", "Me"))
    return re.compile(rf"(?:[^\W_][{marks}]*)+")


def words(text: str) -> list[re.Match[str]]:
    """Runs of letters and digits, each with its marks."""
    return list(_word_pattern().finditer(text))


@lru_cache(_CACHED)
def script_of(char: str) -> str:
    """The script of a letter; "" for other characters: digits, marks, symbols, units."""
    if "A" <= char <= "Z" or "a" <= char <= "z":
        return LATIN
    if not char.isalpha():
        return ""
    if char in _SMALL_CAPITALS:
        return _SMALL
    if char in _ONE_STOREY_LETTERS:
        return _ONE_STOREY
    first = unicodedata.name(char, "").split(" ", 1)[0]
    if first in _NO_SCRIPTS or (first != LATIN and unicodedata.normalize("NFKD", char)[0].isascii()):
        return ""  # units are not letters, and NFKD folds FULLWIDTH, MATHEMATICAL and the like
    return first


_NO_SCRIPTS = {"MICRO", "OHM", "KELVIN", "ANGSTROM", "MODIFIER", ""}


class Share(IntEnum):
    """How much of a text's letters is Latin."""

    LESS = 0
    HALF = 1  # or more
    NEARLY_ALL = 2  # 90 %

    @classmethod
    def of(cls, text: str) -> Share:
        """The share of Latin letters in a text."""
        letters = max(sum(map(str.isalpha, text)), 1)
        share = len(ASCII_LETTER.findall(text)) / letters
        return cls((share >= 0.5) + (share >= 0.9))


@dataclass(frozen=True)
class Judgement:
    """The result for a word: its folded form, or the word itself. `mixed`: the word looks like a trick but was not
    changed.
    """

    word: str
    mixed: bool = False


class Demand(Enum):
    """What the vocabulary must say of a folded form."""

    NO_MORE = "no more pieces than before"
    FEWER = "fewer pieces"
    A_WORD = "one piece"


class Judge:
    """Decides word by word, with the help of a vocabulary's `spell`.

    A word is folded if Latin meets another script in it, all its foreign letters look like ASCII letters, and the
    folded form has no more pieces and no more unknown pieces. More is required of words that may be genuine (`demand`).
    Without `spell`, these words stay as they are.
    """

    def __init__(self, spell: Spell | None = None, *, whole_words: bool = False) -> None:
        self.spell = spell
        self.whole_words = whole_words
        self._remembered = lru_cache(_CACHED)(self._judge)

    def judge(self, word: str, share: Share) -> Judgement:
        """The judgement on one word of a text with this share of Latin letters."""
        return (self._remembered if len(word) <= _LONGEST else self._judge)(word, share)

    def _judge(self, word: str, share: Share) -> Judgement:
        blocks = [(script, len(list(run))) for script, run in groupby(filter(None, map(script_of, word)))]
        if _all_small(word):
            return Judgement(word.translate(_SMALL_WORD))
        foreign = sum(count for script, count in blocks if script != LATIN)
        latin = sum(count for script, count in blocks if script == LATIN)
        if not foreign:
            return Judgement(word)
        if not latin:
            spoof = self.whole_words and share is Share.NEARLY_ALL
            return Judgement(self._accepted(word, _to_latin(word), Demand.FEWER) or word if spoof else word)
        to_latin = latin > foreign or share is Share.NEARLY_ALL
        forms = _to_latin(word) if to_latin else _to_script(word, blocks)
        if not forms:
            return Judgement(word, mixed=len(blocks) > 2 and bool(_to_latin(word)))
        if (demand := _demand(word, blocks, share)) is None:
            return Judgement(word)
        new = self._accepted(word, forms, demand)
        return Judgement(new or word, mixed=new is None and demand is not Demand.A_WORD)

    def _accepted(self, word: str, forms: Sequence[str], demand: Demand) -> str | None:
        """The form with the fewest pieces, if it meets the demand and has no more unknown pieces."""
        if self.spell is None or not forms:
            return forms[0] if forms and demand is Demand.NO_MORE else None
        (pieces, unknown), spelt = self.spell(word), [self.spell(form) for form in forms]
        best = min(range(len(forms)), key=lambda index: spelt[index])
        most = {Demand.NO_MORE: pieces, Demand.FEWER: pieces - 1, Demand.A_WORD: 1}[demand]
        return forms[best] if spelt[best][0] <= most and spelt[best][1] <= unknown else None


def _demand(word: str, blocks: Sequence[tuple[str, int]], share: Share) -> Demand | None:
    """What is required before this word is folded. None: it stays as it is.

    Two letters after a Latin stem are an ending (SMSки). One letter is an ending if the text is less than half Latin.
    Greek minuscules stand for quantities and name proteins. ɑ and ɡ are phonetic. In a nearly Latin text, other letters
    are suspicious at a word's edge.
    """
    letters = sum(count for _, count in blocks)
    if len(blocks) == 2 and blocks[0][0] == LATIN and (blocks[1][1] > 1 or share is Share.LESS):
        return None
    phonetic = not _ONE_STOREY_LETTERS.keys().isdisjoint(word)
    if _GREEK_SYMBOLS.isdisjoint(word) and not phonetic:
        return Demand.FEWER if len(blocks) == 2 and share is not Share.NEARLY_ALL else Demand.NO_MORE
    if len(blocks) > 2 and letters >= _LONG and not phonetic:
        return Demand.FEWER
    return Demand.A_WORD if letters >= _SHORT and share is Share.NEARLY_ALL else None


def mixed_words(text: str) -> Sequence[str]:
    """Words that mix look-alikes of other scripts into Latin ones, for a report: the words that
    folding would consider.
    """
    if text.isascii() or not MEETING.search(text):
        return []
    judge = Judge()
    found = []
    share = Share.of(text)
    for word in (match[0] for match in words(text)):
        judgement = Judgement(word) if word.isascii() else judge.judge(word, share)
        if judgement.mixed or judgement.word != word:
            found.append(word)
    return found


def _all_small(word: str) -> bool:
    small = sum(char in _SMALL_CAPITALS or char in _PHONETIC for char in word)
    return small >= _ENOUGH_SMALL and all(
        char in _SMALL_CAPITALS or char in _PHONETIC or char in _STAND_INS or not char.isalpha() for char in word
    )


def _to_latin(word: str) -> list[str]:
    """The word in ASCII, in two forms if i and l look the same; none if a foreign letter looks like no ASCII letter."""
    if not all(script_of(char) in ("", LATIN) or char in _TO_LATIN for char in word):
        return []
    forms = (word, word.translate(_I_OR_L))
    return list(dict.fromkeys("".join(_TO_LATIN.get(char, char) for char in form) for form in forms))


def _to_script(word: str, blocks: Sequence[tuple[str, int]]) -> list[str]:
    """The word in its one other script; none if it has two, or if a Latin letter looks like no letter of the script.

    The script must have the majority of the letters. With equal numbers, either script may be meant.
    """
    scripts = {script for script, _ in blocks} - {LATIN}
    counts = [sum(count for script, count in blocks if (script == LATIN) is latin) for latin in (True, False)]
    if len(scripts) > 1 or counts[0] >= counts[1]:
        return []
    looks = _from_latin(next(iter(scripts)))
    if all(script_of(char) != LATIN or char in looks for char in word):
        return ["".join(looks.get(char, char) for char in word)]
    return []


@cache
def _from_latin(script: str) -> dict[str, str]:
    """ASCII letters -> the look-alike of the same case in the script.

    If there are several, the most common one, which has the lowest code from U+0391 or U+0410 on.
    """
    found: dict[str, str] = {}
    letters = _PROTOTYPES.get(script, {})
    common = {"CYRILLIC": "\u0410", "GREEK": "\u0391"}.get(script, "")
    for letter, look in sorted(letters.items(), key=lambda pair: (pair[0] < common, pair[0])):
        if script != _SMALL and letter.isupper() == look.isupper():
            found.setdefault(look, letter)
    return found
