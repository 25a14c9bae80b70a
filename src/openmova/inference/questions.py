"""What may be asked: one text that is not empty, not endless, and text."""

from __future__ import annotations

from openmova.errors import UserError

MAX_CHARACTERS = 4000


def check_question(question: str) -> str:
    """The question without white space around it.

    Raises UserError if it is empty, over MAX_CHARACTERS, or holds bytes that are no text.
    """
    question = question.strip()
    if not question:
        raise UserError("the question is empty: ask something about the image")
    if len(question) > MAX_CHARACTERS:
        raise UserError(
            f"the question has {len(question):,} characters: ask in at most {MAX_CHARACTERS:,}"
        )
    try:
        question.encode()
    except UnicodeEncodeError as error:
        raise UserError("the question holds bytes that are no UTF-8 text: retype it") from error
    return question
