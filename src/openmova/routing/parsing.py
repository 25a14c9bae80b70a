"""The router's answer: experts are letters in it, read by the rule of the released model.

Released rule (paper, section 3.1; the released evaluation code): take the first three
comma-separated pieces, and choose every expert whose letter occurs anywhere in them. So
"The Answer is D." chooses A and D, and lower case or "none" choose nothing.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from string import ascii_uppercase

NO_EXPERT = "none"
PIECES = 3
"""How many comma-separated pieces of an answer are read."""


def expert_letters(experts: int) -> tuple[str, ...]:
    """The letters of a pool in its order: A to Z, and from the 27th expert on AA, AB, ... ZZ, AAA.

    Raises ValueError for a negative number.
    """
    if experts < 0:
        raise ValueError(f"a pool can't have {experts} experts")
    return tuple(_letter(index) for index in range(experts))


def parse_routing(text: str, letters: Sequence[str]) -> set[int]:
    """The indices of the experts that an answer names; any text gives an answer, maybe empty.

    Where every letter is one character (up to 26 experts) this is the released rule. In a larger
    pool letters contain each other, so there a word of capitals counts only as a whole: "A, AB"
    chooses A and AB, not B, and "The Answer is D." only D.
    """
    read = ",".join(text.split(",")[:PIECES])
    if all(len(letter) == 1 for letter in letters):
        return {index for index, letter in enumerate(letters) if letter in read}
    words = set(re.findall(r"\b[A-Z]+\b", read))
    return {index for index, letter in enumerate(letters) if letter in words}


def format_routing(experts: Iterable[int], letters: Sequence[str]) -> str:
    """The answer that names these experts: letters in ascending order such as "A, D", or "none"."""
    return ", ".join(letters[index] for index in sorted(set(experts))) or NO_EXPERT


def _letter(index: int) -> str:
    higher, lowest = divmod(index, len(ascii_uppercase))
    return (_letter(higher - 1) if higher else "") + ascii_uppercase[lowest]
