"""Offline suites, found by name through the entry-point group `openmova.suites`.

A suite is a module with what `Suite` lists. This project's own live in `studies/`, which are part
of the repository and not of the wheel.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib.metadata import entry_points
from typing import TYPE_CHECKING, Any, Protocol, cast

from openmova.errors import UserError
from openmova.runtime.run_store import Journal

if TYPE_CHECKING:
    from rich.console import Console

    from openmova.inference.mova import Mova

GROUP = "openmova.suites"
Load = Callable[[], "Mova"]
"""Gives the model to measure; called only if the journal lacks rows."""


@dataclass(frozen=True, kw_only=True)
class SuiteOptions:
    """What the user asked for: seed of all draws, questions a group, questions at once."""

    seed: int
    n: int | None
    batch: int


class Suite(Protocol):
    """A module that measures a model."""

    DEFAULT_N: int | None
    """Questions for each group; None: the suite always asks all of its questions."""

    def measure(self, load: Load, journal: Journal, options: SuiteOptions) -> dict[str, Any]:
        """The report, plain JSON. Raises UserError for options that do not fit."""

    def show(self, console: Console, report: Mapping[str, Any]) -> None:
        """Print the report."""


def suite_names() -> tuple[str, ...]:
    """Every suite that an installed package names."""
    return tuple(sorted(entry_points(group=GROUP).names))


def find_suite(name: str) -> Suite:
    """The suite of a name. Raises UserError for an unknown one, or one that is not installed."""
    points = list(entry_points(group=GROUP, name=name))
    if not points:
        raise UserError(f"unknown suite {name!r}: the suites are {', '.join(suite_names())}")
    try:
        return cast(Suite, points[0].load())
    except ModuleNotFoundError as error:
        raise UserError(
            f"the suite {name} is {points[0].value}, which is not installed: run it from a clone "
            "of openmova's repository"
        ) from error
