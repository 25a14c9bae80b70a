"""What a question is asked with: how long its answer may become, and who decides on the experts."""

from __future__ import annotations

import difflib
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Self

from openmova.errors import UserError

Experts = str | Sequence[str] | None
"""Who decides: None the router; "all", "none", or names (a list, or "a,b") the user."""


@dataclass(frozen=True, kw_only=True)
class Limits:
    """How long an answer may become."""

    max_new_tokens: int
    max_seconds: float | None

    def __post_init__(self) -> None:
        if self.max_new_tokens < 1:
            raise UserError(f"max_new_tokens is {self.max_new_tokens}: give 1 or more")
        if self.max_seconds is not None and not self.max_seconds > 0:
            raise UserError(f"max_seconds is {self.max_seconds}: give more than 0")


@dataclass(frozen=True, kw_only=True)
class Choice:
    """Who decides on the experts: `fixed` (one bool for each of the pool), or the router.

    forced: run, whatever the router says, and beside the max_experts of its choice; forbidden:
    don't run.
    """

    fixed: tuple[bool, ...] | None
    max_experts: int | None
    forced: frozenset[str] = frozenset()
    forbidden: frozenset[str] = frozenset()

    @classmethod
    def of(cls, experts: Experts, max_experts: int | None, pool: Sequence[str]) -> Self:
        if max_experts is not None and max_experts < 0:
            raise UserError(f"max_experts is {max_experts}: give 0 or more")
        if experts is None:
            return cls(fixed=None, max_experts=max_experts)
        if max_experts is not None:
            raise UserError(
                "max_experts limits the router's choice and experts replaces it: give only one"
            )
        names = _names(experts, pool)
        return cls(fixed=tuple(name in names for name in pool), max_experts=None)


def _names(experts: str | Sequence[str], pool: Sequence[str]) -> set[str]:
    """The experts that a user named; "all" and "none" are words for everything and nothing."""
    if experts == "all":
        return set(pool)
    if experts == "none":
        return set()
    named = [name.strip() for name in experts.split(",")] if isinstance(experts, str) else experts
    for name in named:
        if name not in pool:
            near = difflib.get_close_matches(name.lower(), pool, n=3)
            hint = f"did you mean {' or '.join(near)}? " if near else ""
            raise UserError(
                f"there is no expert {name[:80]!r}: {hint}The pool is {', '.join(pool)}; "
                "'all' and 'none' do too"
            )
    return set(named)
