"""A chart's data in words: how many marks, the largest and the smallest, then label by label."""

from __future__ import annotations

import math
from collections.abc import Sequence


def chart_text(
    labels: Sequence[str], series: Sequence[str], values: Sequence[Sequence[float]], span: float
) -> str:
    """The words for values of labels, a sequence for each series; span: of the value axis.

    "4 labels" and with several series their number; "largest B 81, smallest A 11"; then a line for
    each label: "A 11", or "A: white 11, black 81". A value is rounded to a hundredth of the span.
    """
    digits = max(0, 2 - math.floor(math.log10(span))) if span > 0 else 0
    rounded = [[_number(value, digits) for value in one] for one in values]
    names = [f"{name} " for name in series] or [""]
    places = [
        (value, f"{label} {name}{told}")
        for name, one, texts in zip(names, values, rounded, strict=False)
        for label, value, told in zip(labels, one, texts, strict=False)
    ]
    if not places:
        return ""
    counted = f"{len(labels)} labels" + (f", {len(series)} series" if series else "")
    lines = [counted, f"largest {max(places)[1]}", f"smallest {min(places)[1]}"]
    for label, *told in zip(labels, *rounded, strict=False):
        if series:
            parts = ", ".join(f"{name} {value}" for name, value in zip(series, told, strict=False))
            lines.append(f"{label}: {parts}")
        else:
            lines.append(f"{label} {told[0]}")
    return "\n".join(lines)


def _number(value: float, digits: int) -> str:
    """Rounded to so many digits behind the point, without zeros at the end."""
    text = f"{value:.{digits}f}"
    text = text.rstrip("0").rstrip(".") if "." in text else text
    return "0" if text == "-0" else text
