"""`albert summarize`: the sentences that stand for a text."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

Text = Annotated[str, typer.Argument(help="A text, Markdown, HTML, PDF or Word file, or - for standard input.")]


def summarize(
    file: Text,
    count: Annotated[int | None, typer.Option("--sentences", min=1, help="Sentences at most; else 3.")] = None,
    share: Annotated[float | None, typer.Option(min=0, max=1, help="Share of the sentences instead.")] = None,
    focus: Annotated[str, typer.Option(help="Words that the summary is to be about.")] = "",
    model: Annotated[str, typer.Option(help="Model whose vectors compare sentences.")] = "starter",
    json: Annotated[bool, typer.Option("--json", help="Sentences with their places and scores, as JSON.")] = False,
) -> None:
    """Print the sentences that stand for a text, in its order."""
    from albert.documents.files import extract
    from albert.documents.summaries import summary
    from albert.documents.vectors import Encoder
    from albert.errors import AlbertError, ErrorKind

    if count is not None and share is not None:
        raise AlbertError(ErrorKind.USAGE, "how long", expected="--sentences or --share", got="both")
    text = sys.stdin.read() if file == "-" else "\n\n".join(document.text for document in extract(Path(file)))
    chosen = summary(text, Encoder(model), count=count or 3, share=share, focus=focus)
    if json:
        import dataclasses
        from json import dumps

        print(dumps([dataclasses.asdict(sentence) for sentence in chosen], ensure_ascii=False))
    else:
        print(" ".join(" ".join(sentence.text.split()) for sentence in chosen))
