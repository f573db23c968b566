"""Every option of a training command is an argument of the function with its name."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import pytest

import albert
from albert.cli.distill import distill
from albert.cli.train import train

RENAMED = {"teacher": "teachers"}
ALONE = {"json", "seeds"}  # what only a terminal needs, and several trainings


@pytest.mark.parametrize(("command", "function"), [(train, albert.train), (distill, albert.distill)])
def test_python_takes_what_the_command_line_takes(command: Callable[..., Any], function: Callable[..., Any]) -> None:
    told = {RENAMED.get(name, name): part.default for name, part in inspect.signature(command).parameters.items()}
    taken = {name: part.default for name, part in inspect.signature(function).parameters.items()}
    assert told.keys() - ALONE == taken.keys()
    required = inspect.Parameter.empty
    assert {n: d for n, d in told.items() if n not in ALONE and d is not required} == {
        n: d for n, d in taken.items() if d is not required
    }
