"""Shapes in signatures are checked while tests run, and only they."""

from __future__ import annotations

import jaxtyping
import numpy as np
import pytest

from albert.predict.rank import cosines
from albert.text.normalize import Normalizer


def test_an_array_of_another_shape_is_an_error() -> None:
    with pytest.raises(jaxtyping.TypeCheckError, match="query"):
        cosines(np.ones((4, 2)), np.ones((3, 4)))  # numpy multiplies them


def test_functions_without_shapes_are_left_as_they_are() -> None:
    assert hasattr(cosines, "__wrapped__")
    assert not hasattr(Normalizer.__call__, "__wrapped__")
