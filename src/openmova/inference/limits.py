"""What may be asked, and how long an answer may become."""

import math
from dataclasses import dataclass

from openmova.errors import UserError

MAX_CHARACTERS = 4000
MAX_SYSTEM = 20_000
"""Characters of a system message."""
MAX_PICTURES = 8
"""Of a conversation."""


@dataclass(frozen=True, kw_only=True)
class GenerationLimits:
    """How long an answer may become: tokens, and seconds. Raises UserError for less than any."""

    max_new_tokens: int = 128
    max_seconds: float | None = None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UserError(f"max_new_tokens is {self.max_new_tokens}: give 1 or more")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise UserError(f"max_seconds is {self.max_seconds}: give more than 0")

    def deadline(self, start: float) -> float:
        """When an answer that was begun then is cut short."""
        return math.inf if self.max_seconds is None else start + self.max_seconds


def check_question(question: str) -> str:
    """The question without white space around it."""
    if not isinstance(question, str):
        raise UserError(f"a question is a text, not {type(question).__name__}: ask one at a time")
    question = question.strip()
    if not question:
        raise UserError("the question is empty: ask something about the image")
    return _check_text(question, "question", MAX_CHARACTERS)


def check_system(text: str) -> str:
    """A system message without white space around it. Raises UserError as `check_question`, but for
    an empty one."""
    return _check_text(text.strip(), "system message", MAX_SYSTEM)


def check_pictures(count: int) -> None:
    """Raises UserError for more than a conversation may have."""
    if count > MAX_PICTURES:
        raise UserError(f"the conversation has {count} images: show at most {MAX_PICTURES}")


def _check_text(text: str, name: str, most: int) -> str:
    if len(text) > most:
        raise UserError(f"the {name} has {len(text):,} characters: ask in at most {most:,}")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise UserError(f"the {name} holds bytes that are no UTF-8 text: retype it") from error
    return text
