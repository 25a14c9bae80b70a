"""What a chart shows, and what a library gives back when it has drawn it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

from PIL import Image

from studies.nano.data.record import Word


@dataclass(frozen=True, kw_only=True)
class ChartSpec:
    """kind: bar, barh, line, pie, scatter, grouped (bars) or lines. values: a row for each series,
    or one row. label_axis and value_axis: their labels, "" for none. shown: values are written at
    the marks."""

    kind: str
    labels: tuple[str, ...]
    series: tuple[str, ...]
    values: tuple[tuple[float, ...], ...]
    title: str
    label_axis: str
    value_axis: str
    digits: int
    shown: bool

    def written(self, value: float) -> str:
        """The value as text."""
        return f"{value:.{self.digits}f}"


@dataclass(frozen=True, kw_only=True)
class Drawn:
    """The picture; geometry: the plot's box, marks with pixels; words where they are known."""

    image: Image.Image
    geometry: dict[str, Any] = field(default_factory=dict)
    words: tuple[Word, ...] | None = None


def mark(series: int, place: int, value: float, **pixels: float) -> dict[str, Any]:
    """A mark: which series and label it belongs to, its value, and its pixels rounded to tenths."""
    rounded = {name: round(float(at), 1) for name, at in pixels.items()}
    return {"series": series, "place": place, "value": value, **rounded}
