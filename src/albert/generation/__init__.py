"""Writing with a decoder: greedy, by beam search, or drawn at random; tensors in, hypotheses out."""

from albert.generation.options import GenerationOptions
from albert.generation.rules import Alphabet
from albert.generation.search import Hypothesis, Search, begin
from albert.generation.writing import Network

__all__ = ["Alphabet", "GenerationOptions", "Hypothesis", "Network", "Search", "begin"]
