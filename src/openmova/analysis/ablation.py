"""The same questions with experts switched off: what each of them is worth to the answer."""

from __future__ import annotations

from collections.abc import Sequence

from openmova.images.opening import ImageSource
from openmova.inference.answer import Answer
from openmova.inference.mova import Mova

Names = tuple[str, ...]
"""Of experts, in the order of the pool."""


def without(chosen: Sequence[str], expert: str) -> Names:
    """The chosen experts but for one."""
    return tuple(name for name in chosen if name != expert)


def masks(chosen: Names, pool: Names) -> list[Names]:
    """The sets that a question is asked with beside the router's own: none, all, and the chosen
    ones without each of them. No set twice."""
    sets = [(), pool, *(without(chosen, name) for name in chosen)]
    return [names for names in dict.fromkeys(sets) if names != chosen]


def ask_ablated(
    mova: Mova,
    pairs: Sequence[tuple[ImageSource, str]],
    *,
    max_new_tokens: int,
    batch: int = 8,
) -> list[tuple[Answer, dict[Names, str]]]:
    """Ask (picture, question) pairs as routed and with every set of `masks`; those of one set are
    answered together.

    Returns of each the answer with the router's own choice, and what is said with every set, the
    router's too. Raises UserError as `Mova.ask` does.
    """
    routed = mova.ask_batch(pairs, max_new_tokens=max_new_tokens, batch_size=batch)
    texts = [{answer.routing.experts: answer.text} for answer in routed]
    rows_of: dict[Names, list[int]] = {}
    for row, answer in enumerate(routed):
        for names in masks(answer.routing.experts, mova.experts):
            rows_of.setdefault(names, []).append(row)
    for names, rows in rows_of.items():
        answers = mova.ask_batch(
            [pairs[row] for row in rows],
            experts=names,
            max_new_tokens=max_new_tokens,
            batch_size=batch,
        )
        for row, answer in zip(rows, answers, strict=True):
            texts[row][names] = answer.text
    return list(zip(routed, texts, strict=True))
