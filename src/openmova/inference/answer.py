"""Answer: what the model said to one question, and how it came to it."""

from collections.abc import Sequence
from dataclasses import astuple, dataclass
from typing import Any, Self

import torch
from torch import Tensor

from openmova.images.boxes import Box, Polygon, Size, boxes_in, polygons_in
from openmova.model.configuration_mova import MovaConfig
from openmova.routing import Routing


@dataclass(frozen=True)
class Look:
    """How one picture was looked at."""

    routing: Routing
    gates: Tensor
    """float32 [blocks, chosen experts]: the adapter's weights, columns as `routing.experts`."""

    @classmethod
    def none(cls, config: MovaConfig) -> Self:
        """Where there is no picture."""
        return cls(Routing.given((), ()), torch.zeros(config.adapter.blocks, 0))

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; the gates as one {expert: weight} for each block."""
        names = self.routing.experts
        return {
            "routing": self.routing.to_dict(),
            "gates": [dict(zip(names, block, strict=True)) for block in self.gates.tolist()],
        }


@dataclass(frozen=True, kw_only=True)
class Answer:
    """What `Mova` says to one question, and how it came to it."""

    text: str
    confidence: float | None = None
    """The probability that it is right, 0 to 1; None where the model was never calibrated."""
    is_unsure: bool = False
    """Whether the confidence is below what the model's calibration calls unsure."""
    log_probs: tuple[float, ...]
    """Of each token that was written, its end too, the natural logarithm of its probability."""
    boxes: tuple[Box, ...] = ()
    """The boxes that the text gives, in pixels of the picture as `load_image` opens it."""
    polygons: tuple[Polygon, ...] = ()
    """The polygons that the text gives, likewise."""
    looks: tuple[Look, ...] = ()
    """At each picture of the conversation, in order."""
    routing: Routing
    """For the last picture."""
    gates: Tensor
    """float32 [blocks, chosen experts]: the adapter's weights, columns as `routing.experts`."""
    timings: dict[str, float]
    """Seconds of each stage (of the whole batch, if there was one) and in total."""

    @classmethod
    def of(
        cls,
        text: str,
        size: Size | None,
        config: MovaConfig,
        *,
        log_probs: Sequence[float],
        looks: Sequence[Look],
        timings: dict[str, float],
    ) -> Self:
        """size: of the last picture as it was given, if there is one; config: the model's."""
        calibration = config.confidence if looks else None
        last = looks[-1] if looks else Look.none(config)
        sure, is_unsure = None, False
        if calibration:
            sure = calibration.confidence(text, log_probs, last.routing)
            is_unsure = sure < calibration.unsure_below
        return cls(
            text=text,
            confidence=sure,
            is_unsure=is_unsure,
            log_probs=tuple(log_probs),
            boxes=boxes_in(text, size, config.box_frame) if size else (),
            polygons=polygons_in(text, size, config.box_frame) if size else (),
            looks=tuple(looks),
            routing=last.routing,
            gates=last.gates,
            timings=timings,
        )

    def __str__(self) -> str:
        """The text as people are shown it, with a word beside it where the model is unsure."""
        return f"{self.text} (unsure)" if self.is_unsure else self.text

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types; the gates as one {expert: weight} for each block.

        A box is [x1, y1, x2, y2], a polygon a list of [x, y]. Confidence and "unsure" are there
        where the model is calibrated.
        """
        sure = {"confidence": self.confidence, "unsure": self.is_unsure}
        return {
            "answer": self.text,
            **({} if self.confidence is None else sure),
            "boxes": [list(astuple(box)) for box in self.boxes],
            "polygons": [[list(point) for point in shape.points] for shape in self.polygons],
            **Look(self.routing, self.gates).to_dict(),
            "timings": self.timings,
        }


def matches(answer: str, expected: str) -> bool:
    """Exact match, but for case, surrounding space and a final full stop."""
    answer, expected = (text.strip().rstrip(".").lower() for text in (answer, expected))
    return answer == expected
