"""Makes the table of letters that look like an ASCII letter, from the skeletons of Unicode's UTS #39.

    python recipes/lookalikes.py SKELETONS.tsv > src/albert/text/hardening/lookalike_table.py        a second

SKELETONS has a line `source_hex, target_hex, source, target` for each code point whose skeleton is not its NFD form
(ICU's uspoof_getSkeleton). The table keeps single letters whose skeleton is that of one ASCII letter, from scripts with
at least a dozen of them, which is enough to write words. Letters that NFKD changes are left to NFKD, except variants of
another letter of their script (the lunate sigma, which looks like c). The skeletons of I and l are the same; capitals
get I.
"""

from __future__ import annotations

import argparse
import sys
import unicodedata
from collections import defaultdict
from pathlib import Path

UNICODE = "15.0"  # the Unicode version of ICU 72
ENOUGH = 12  # the fewest letters of a script

parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("skeletons", type=Path)
arguments = parser.parse_args()

scripts: dict[str, list[tuple[str, str]]] = defaultdict(list)
for line in arguments.skeletons.read_text(encoding="utf-8").splitlines():
    if line.startswith("#"):
        continue
    source, target = ("".join(chr(int(code, 16)) for code in part.split()) for part in line.split("\t")[:2])
    if len(source) > 1 or source.isascii() or not source.isalpha():
        continue
    folded = unicodedata.normalize("NFKD", source)
    if folded != source and not (unicodedata.decomposition(source).startswith("<compat>") and len(folded) == 1):
        continue
    if len(target) != 1 or not target.isascii() or not target.isalpha():
        continue
    capital = unicodedata.category(source) == "Lu"
    script = unicodedata.name(source).split()[0]
    if script != "LATIN":
        scripts[script].append((source, "I" if capital and target == "l" else target))

sys.stdout.write(f'''"""Letters that look like an ASCII letter, by script: made by recipes/lookalikes.py."""

UNICODE = "{UNICODE}"

# script: letters, and what each looks like
LOOKALIKES = {{
''')
for script, pairs in sorted(scripts.items()):
    if len(pairs) >= ENOUGH:
        letters, looks = ("".join(part) for part in zip(*pairs, strict=True))
        sys.stdout.write(f'    "{script}": (\n        "{letters}",\n        "{looks}",\n    ),\n')
sys.stdout.write("}\n")
