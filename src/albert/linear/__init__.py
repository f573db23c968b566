"""A linear model on the words and characters of texts: its terms, its weights, its file, and how it is fitted."""

from albert.linear.fit import fit
from albert.linear.model import NAME, LinearModel

__all__ = ["NAME", "LinearModel", "fit"]
