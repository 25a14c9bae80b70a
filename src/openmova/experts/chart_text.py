"""A chart in words: titles, how many marks, the ends, label by label, what else is written."""

import math
from collections.abc import Mapping, Sequence
from types import MappingProxyType
from typing import NamedTuple

TOLD = {"x axis": "x axis (horizontal)", "y axis": "y axis (vertical)"}
"""Of what titles stand at: people ask for an axis by either name."""


class Chart(NamedTuple):
    """What was read off; values: for each series one for each label, None where there is none."""

    labels: Sequence[str]
    series: Sequence[str]
    """Their names; () if there is one without a name."""
    values: Sequence[Sequence[float | None]]
    span: float
    """Of the value axis, from its first number to its last; of an axis of powers, what the smallest
    value is rounded by; of a pie's values, such that they keep their digits."""
    titles: Mapping[str, str] = MappingProxyType({})
    """What `read_titles` found."""
    notes: Sequence[str] = ()
    """What else is written, of which nothing above tells."""

    main: int | None = None
    """The series that tells the largest and the smallest: of bars in parts the whole, of boxes the
    median."""

    @property
    def text(self) -> str:
        """In words: the titles, a line each, as in "x axis (horizontal): Month". Then "4 labels",
        with several series their number; "largest 81 at B", "smallest 11 at A"; for each of several
        series its ends, "white: largest 47 at C, smallest 11 at A"; then a line for each value,
        "A: 11" or "A, white: 11". A value is rounded to a hundredth of the span. The notes come
        last.
        """
        labels, series, values, span, titles, notes, main = self
        lines = [f"{TOLD.get(place, place)}: {text}" for place, text in titles.items()]
        digits = precision(span)
        told: list[list[str]] = [[] for _ in labels]
        places = []
        named = [f", {name}" for name in series] or [""]
        for i, (name, one) in enumerate(zip(named, values, strict=False)):
            for label, parts, value in zip(labels, told, one, strict=False):
                if value is not None:
                    written = number(value, digits)
                    parts.append(f"{label}{name}: {written}")
                    if main in (None, i):
                        whose = name if main is None else ""
                        places.append((value, f"{written} at {label}{whose}"))
        if not places:
            return "\n".join([*lines, *notes])
        counted = f"{len(labels)} labels" + (f", {len(series)} series" if series else "")
        lines += [counted, f"largest {max(places)[1]}", f"smallest {min(places)[1]}"]
        for name, one in zip(series, values, strict=False):
            own = [
                (value, f"{number(value, digits)} at {label}")
                for label, value in zip(labels, one, strict=False)
                if value is not None
            ]
            if own:
                lines.append(f"{name}: largest {max(own)[1]}, smallest {min(own)[1]}")
        return "\n".join([*lines, *(part for parts in told for part in parts), *notes])


def precision(span: float) -> int:
    """Digits behind the point that tell a hundredth of an axis's span."""
    return max(0, 2 - math.floor(math.log10(span))) if span > 0 else 0


def number(value: float, digits: int) -> str:
    """Rounded to so many digits behind the point, without zeros at the end."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
