"""The paper's claims, held against what was measured: holds, does not hold, or undecided.

A claim is made of differences between two sides on the same questions, in points of accuracy with
a 95% interval over seeds and questions. "Above" holds where the whole interval is above zero;
"matches or beats" where it is above -MATCH. Either does not hold where the interval is below zero,
and is undecided otherwise. A claim of several parts holds if all do, and does not if one does not.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from openmova.checkpoints.nano_spec import EXPERTS
from openmova.evaluate.intervals import Mean

HOLDS, FAILS, UNDECIDED, NOT_RUN = "holds", "does not hold", "undecided", "not run"
MATCH = 0.05
Outcomes = Mapping[int, Sequence[bool]]
"""Of each seed, whether each question was answered rightly."""
ENCODERS = ("base", *EXPERTS)


@dataclass(frozen=True, kw_only=True)
class Part:
    """One difference of a claim."""

    what: str
    difference: Mean
    margin: float = 0.0

    @property
    def verdict(self) -> str:
        if self.difference.low > -self.margin:
            return HOLDS
        return FAILS if self.difference.high < 0 else UNDECIDED


@dataclass(frozen=True, kw_only=True)
class Claim:
    """One claim of the paper, as far as it was measured."""

    text: str
    parts: tuple[Part, ...]
    reason: str = "its variants are not trained"
    """Why it was not run, if it was not."""

    @property
    def verdict(self) -> str:
        verdicts = {part.verdict for part in self.parts}
        if not verdicts:
            return NOT_RUN
        return next(v for v in (FAILS, UNDECIDED, HOLDS) if v in verdicts)


class Results:
    """The outcomes of all sides, by (variant, choice), and the group of each question."""

    def __init__(self, outcomes: Mapping[tuple[str, str], Outcomes], groups: Sequence[str]) -> None:
        self.outcomes = outcomes
        self.groups = np.array(groups)

    def has(self, *variants: str) -> bool:
        return all((variant, "dynamic") in self.outcomes for variant in variants)

    def mean(self, side: tuple[str, str], group: str | None = None) -> Mean:
        """Of one side, in a group or in all."""
        found = self.outcomes[side]
        return Mean.of(self._kept(np.array([found[seed] for seed in found], float), group))

    def difference(
        self, one: tuple[str, str], other: tuple[str, str], group: str | None = None
    ) -> Mean:
        """How much better one side is than the other, seed by seed and question by question."""
        first, second = self.outcomes[one], self.outcomes[other]
        seeds = [seed for seed in first if seed in second]
        gaps = [np.array(first[s], float) - np.array(second[s], float) for s in seeds]
        return Mean.of_differences(self._kept(np.array(gaps), group))

    def _kept(self, outcomes: NDArray[np.float64], group: str | None) -> NDArray[np.float64]:
        return outcomes if group is None else outcomes[:, self.groups == group]


def claims(results: Results) -> list[Claim]:
    """The claims of tables 1, 7, 8 and 11."""
    return [
        Claim(
            text="No single encoder wins everywhere (table 1)",
            parts=_no_encoder_wins(results) if results.has(*ENCODERS) else (),
        ),
        Claim(
            text="Plain fusion is below the best single encoder in that one's own domain (table 1)",
            parts=_against_best(results, "plain-fusion", below=True),
        ),
        Claim(
            text="MoVA matches or beats the best single encoder in every domain (table 1)",
            parts=_against_best(results, "mova", below=False),
        ),
        *(
            Claim(text=text, parts=_above(results, other))
            for text, other in (
                ("MoVA is above random routing (table 7)", ("mova", "random")),
                ("MoVA is above all experts without routing (table 7)", ("all-experts", "dynamic")),
                ("The MoV-Adapter is above linear layers (table 7)", ("linear", "dynamic")),
            )
        ),
        *(
            Claim(
                text=f"A dynamic K is above K = {k} (table 8)",
                parts=_above(results, ("mova", f"best-{k}")),
            )
            for k in (1, 2, 3)
        ),
        Claim(
            text="3 blocks are above 2 and 4 (table 11)",
            parts=tuple(
                Part(what=f"3 blocks against {name}", difference=gap)
                for name, side in (("2", "mova"), ("4", "blocks-4"))
                if results.has("blocks-3", side)
                for gap in [results.difference(_routed("blocks-3"), _routed(side))]
            ),
        ),
        Claim(
            text="Dynamic gating is above uniform gating, where two experts are needed (table 11)",
            parts=_above(results, ("uniform", "dynamic"), "text+chart"),
        ),
    ]


LANGUAGE_MODEL, MINILM, MLP = "language model", "MiniLM", "MLP"
AUGMENTED, PLAIN = "with-augmentation", "without-augmentation"
Rights = Mapping[str, NDArray[np.float64]]
"""Of each router, whether it was right: [seeds, questions], or [1, questions]."""


def router_claims(own: Rights, unseen: Rights) -> list[Claim]:
    """The claims of tables 10, 14 and 16. own: over nano's pool; unseen: over the open world's."""
    return [
        Claim(
            text="Routing over experts never seen needs the augmentation (table 10)",
            parts=_router_parts(unseen, AUGMENTED, [PLAIN]),
            reason="needs checkpoints trained with and without it",
        ),
        Claim(
            text="Over experts never seen the language model is above MiniLM and an MLP (table 14)",
            parts=_router_parts(unseen, LANGUAGE_MODEL, [MINILM, MLP]),
        ),
        Claim(
            text="Over its own pool the language model is above MiniLM and an MLP (table 14)",
            parts=_router_parts(own, LANGUAGE_MODEL, [MINILM, MLP]),
        ),
        Claim(
            text="Few routing tokens are as good as many (table 16)",
            parts=(),
            reason="needs a language model finetuned for each number; the table shows nano's own, "
            "finetuned for one",
        ),
    ]


def _router_parts(rights: Rights, one: str, others: Sequence[str]) -> tuple[Part, ...]:
    return tuple(
        Part(
            what=f"{one} against {other}",
            difference=Mean.of_differences(rights[one] - rights[other]),
        )
        for other in others
        if one in rights and other in rights
    )


def _routed(variant: str) -> tuple[str, str]:
    return variant, "dynamic"


def _above(results: Results, other: tuple[str, str], group: str | None = None) -> tuple[Part, ...]:
    mova = _routed("mova")
    if not (mova in results.outcomes and other in results.outcomes):
        return ()
    where = f"in {group}" if group else "over all groups"
    return (Part(what=where, difference=results.difference(mova, other, group)),)


def _best(results: Results, group: str) -> str:
    """The encoder that alone answers most of a group."""
    return max(ENCODERS, key=lambda name: results.mean(_routed(name), group).value)


def _no_encoder_wins(results: Results) -> tuple[Part, ...]:
    """For every encoder, the domain in which another one is most above it."""
    parts = []
    for name in ENCODERS:
        gaps = {
            (group, other): results.difference(_routed(other), _routed(name), group)
            for group in EXPERTS
            for other in ENCODERS
            if other != name
        }
        group, other = max(gaps, key=lambda key: gaps[key].low)
        parts.append(Part(what=f"{other} against {name} in {group}", difference=gaps[group, other]))
    return tuple(parts)


def _against_best(results: Results, variant: str, *, below: bool) -> tuple[Part, ...]:
    """A variant against the best single encoder of every domain."""
    if not results.has(variant, *ENCODERS):
        return ()
    parts = []
    for group in EXPERTS:
        best = _best(results, group)
        sides = (_routed(best), _routed(variant)) if below else (_routed(variant), _routed(best))
        what = f"{sides[0][0]} against {sides[1][0]} in {group}"
        gap = results.difference(*sides, group)
        parts.append(Part(what=what, difference=gap, margin=0.0 if below else MATCH))
    return tuple(parts)
