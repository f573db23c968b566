"""`albert fill-mask`: what a pre-trained model expects at [MASK]."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from albert.cli.options import AsJson, Model, Precision

if TYPE_CHECKING:
    from albert.predict.pretrained import PretrainedModel

_PORTION = 256  # texts filled together


def fill_mask(
    model: Model,
    texts: Annotated[list[str], typer.Argument(help="Texts with [MASK]; - reads one a line from stdin.")],
    top_k: Annotated[
        int, typer.Option(min=1, max=1_000_000, help="Pieces for each mask. With --steps each mask gets one.")
    ] = 5,
    steps: Annotated[
        int,
        typer.Option(min=0, max=1000, help="Fill all masks of a text together, in up to so many steps; 0: one by one."),
    ] = 0,
    precision: Precision = "auto",
    json: AsJson = False,
) -> None:
    """Fill the masks of texts with the likeliest pieces, as /fill-mask does."""
    from albert.predict.pretrained import PretrainedModel

    filler = PretrainedModel.load(model, precision=precision)  # type: ignore[arg-type]
    given = _texts(texts)
    while portion := list(islice(given, _PORTION)):
        _require_masks(filler, portion)
        asked = [text for _, text in portion]
        found = filler.fill_together(asked, steps=steps) if steps else filler.fill_mask(asked, top_k=top_k)
        for text, filled in zip(asked, found, strict=True):
            _print(text, filled, as_json=json)
        sys.stdout.flush()


def _texts(texts: list[str]) -> Iterator[tuple[str, str]]:
    """(what to call it in an error, text)."""
    from albert.data.reading import DataSource
    from albert.data.tables import Table

    if texts != ["-"]:
        yield from ((f"text {number}", text) for number, text in enumerate(texts, 1))
        return
    for row in Table(DataSource("-", format="lines", header=False)):
        if text := row.values["text"].strip():
            yield f"-:{row.number}", text


def _require_masks(filler: PretrainedModel, portion: list[tuple[str, str]]) -> None:
    """Raises `AlbertError` (bad-data) that names the first text that cannot be filled."""
    from albert.errors import AlbertError
    from albert.text.hardening.hardener import SURROGATE, invalid_unicode

    for place, text in portion:
        try:
            if SURROGATE.search(text):
                raise invalid_unicode(text)
            filler.masked(text)
        except AlbertError as error:
            raise AlbertError(
                error.kind, f"{place}: {error.what}", expected=error.expected, got=error.got, hint=error.hint
            ) from None


def _print(text: str, filled: Any, *, as_json: bool) -> None:
    """A line of JSON, as the endpoint answers; or for people the whole text, or the text and each mask's pieces."""
    if as_json:
        from json import dumps

        print(dumps(filled, ensure_ascii=False))
    elif isinstance(filled, dict):
        print(f"{filled['score']:.4f}  {filled['sequence']}")
    else:
        _print_pieces(text, filled)


def _print_pieces(text: str, masks: list[Any]) -> None:
    print(text)
    for number, pieces in enumerate(masks if isinstance(masks[0], list) else [masks], 1):
        for piece in pieces:
            mask = f"{number}  " if isinstance(masks[0], list) else ""
            print(f"  {mask}{piece['score']:.4f}  {piece['token_str']}")
