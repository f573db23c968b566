"""`albert settings`: what `--set` takes, read off the dataclasses that own the settings."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import MISSING
from typing import Annotated, Any

import typer

from albert.cli.options import AsJson
from albert.errors import AlbertError, ErrorKind

_VERBS = ("train", "text2text", "pretrain")


def settings(
    verb: Annotated[str, typer.Argument(help="train, text2text (train --task text2text) or pretrain.")] = "train",
    json: AsJson = False,
) -> None:
    """List the settings that `--set name=value` takes in a training, with their defaults."""
    found = list(_found(verb))
    if json:
        from json import dumps

        print(dumps(found, ensure_ascii=False))
        return
    component = None
    for each in found:
        if each["component"] != component:
            print(f"{'' if component is None else chr(10)}{each['component']}")
            component = each["component"]
        others = "; ".join(f"{_word(value)} {start}" for start, value in each["starts"].items())
        print(f"  {each['name']:30} {others or _word(each['default'])}")


def _found(verb: str) -> Iterator[dict[str, Any]]:
    """Each setting with its component, its default, and other defaults by what training starts from."""
    from albert.training.settings import settable

    match verb:
        case "train":
            from albert.finetuning.finetune import COMPONENTS, DEFAULTS
        case "text2text":
            from albert.finetuning.text2text import COMPONENTS, DEFAULTS
        case "pretrain":
            from albert.pretraining.pretrain import COMPONENTS, DEFAULTS
        case _:
            raise AlbertError(ErrorKind.USAGE, f"settings of {verb!r}", expected=" or ".join(_VERBS))
    for component in COMPONENTS:
        for field in settable(component):
            default = field.default if field.default is not MISSING else None
            starts = {start: values.get(field.name, default) for start, values in DEFAULTS.items()}
            yield {
                "component": component.__name__,
                "name": field.name,
                "default": default,
                "starts": starts if len({str(value) for value in starts.values()} | {str(default)}) > 1 else {},
            }


def _word(value: Any) -> str:
    """A value as `--set` takes it."""
    if isinstance(value, (list, tuple)):
        return ",".join(map(_word, value)) or "(none)"
    return str(value).lower() if isinstance(value, bool) else str(value)
