"""An index of documents in one file: searched by words and vectors, asked questions, answered with the place or not."""

from albert.documents.answers import Answer
from albert.documents.index import Index
from albert.documents.search import Hit

__all__ = ["Answer", "Hit", "Index"]
