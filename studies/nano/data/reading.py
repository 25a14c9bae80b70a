"""Words in reading order, as lines: those that stand on one height and near each other."""

from __future__ import annotations

from collections.abc import Sequence

from studies.nano.data.record import Word


def lines(words: Sequence[Word]) -> list[str]:
    """The text of words that are in reading order; a new line begins further down or far away."""
    return [" ".join(word.text for word in line) for line in grouped(words)]


def grouped(words: Sequence[Word]) -> list[list[Word]]:
    """Consecutive words that overlap in height and lie less than two heights apart."""
    found: list[list[Word]] = []
    for word in words:
        if found and _continues(found[-1][-1], word):
            found[-1].append(word)
        else:
            found.append([word])
    return found


def _continues(before: Word, word: Word) -> bool:
    _, top, right, bottom = before.box
    left, upper, _, lower = word.box
    overlap = min(bottom, lower) - max(top, upper)
    height = min(bottom - top, lower - upper)
    return overlap > 0.5 * height and -height < left - right < 2 * height
