"""A terminal assistant over an index: rules, not a generator. What it tells of the documents is quoted with place."""

from __future__ import annotations

import re
from dataclasses import dataclass
from enum import Enum

from albert.documents.answers import THRESHOLD, Answer
from albert.documents.index import Index
from albert.documents.search import telling
from albert.predict.predictor import Predictor

_GREETING = re.compile(r"^(hi|hello|hey|good (morning|day|afternoon|evening))\b[ ,.!\w]{0,20}$", re.IGNORECASE)
_THANKS = re.compile(r"^(thanks?|thank you|thx|cheers|great|perfect)\b[^?]{0,40}$", re.IGNORECASE)
_BYE = re.compile(r"^(bye|goodbye|see you|that is all|that's all)\b[^?]{0,40}$", re.IGNORECASE)
_PERSON = re.compile(r"\b(human|person|someone|somebody|agent|operator|support|staff)\b", re.IGNORECASE)
_ASKED = re.compile(r"\b(speak|talk|chat|connect|transfer|call|reach)\b", re.IGNORECASE)
# What a question begins with, or stands for something said before, when it needs the words of the last one.
_FOLLOWING = re.compile(
    r"^(and|but|or|also|what about|how about|for|in|to|at|on|with|without|from)\b|\b(it|they|them|those|these)\b",
    re.IGNORECASE,
)


class Kind(Enum):
    """What a reply is."""

    GREETING = "greeting"
    THANKS = "thanks"
    GOODBYE = "goodbye"
    INTENT = "intent"
    ANSWER = "answer"
    SILENCE = "silence"
    HAND_OVER = "hand-over"


@dataclass(frozen=True)
class Reply:
    """What the assistant says. `answer` is where it comes from, `intent` what a classifier made of the text."""

    kind: Kind
    text: str
    answer: Answer | None = None
    intent: str | None = None


class Assistant:
    """Remembers the last question, so that "and for shoes?" is understood.

    `intents` is a classifier of what people want. Its label is the reply; where it gives its fallback
    (`albert train --fallback`), the documents are asked.
    """

    def __init__(
        self, kb: Index, *, reader: Predictor | None = None, intents: Predictor | None = None,
        threshold: float = THRESHOLD,
    ) -> None:  # fmt: skip
        self.kb = kb
        self.reader = reader
        self.intents = intents
        self.threshold = threshold
        self._asked = ""

    def __call__(self, text: str) -> Reply:
        """The reply to a person's message."""
        text = " ".join(text.split())
        for pattern, kind, words in (
            (_GREETING, Kind.GREETING, "Hello. Ask me something about the documents."),
            (_THANKS, Kind.THANKS, "You are welcome."),
            (_BYE, Kind.GOODBYE, "Goodbye."),
        ):
            if pattern.match(text):
                return Reply(kind, words)
        if intent := self._intent(text):
            return Reply(Kind.INTENT, intent, intent=intent)
        answer = self._answer(text)
        if answer.found:
            return Reply(Kind.ANSWER, answer.text, answer)
        if _PERSON.search(text) and _ASKED.search(text):
            return Reply(Kind.HAND_OVER, "I pass you on to a person.")
        return Reply(Kind.SILENCE, "I do not know: the documents do not say it.", answer)

    def _intent(self, text: str) -> str | None:
        if self.intents is None:
            return None
        label: str = self.intents(text)[0]["label"]
        return None if label == getattr(self.intents.task, "fallback", None) else label

    def _answer(self, text: str) -> Answer:
        """The answer to the question, completed with the words of the last one where it goes on from that."""
        follows = bool(self._asked) and _FOLLOWING.search(text) is not None
        question = f"{text} {self._asked}" if follows else text
        answer = self.kb.ask(question, reader=self.reader, threshold=self.threshold)
        if not follows:
            self._asked = " ".join(telling(text))
        return answer
