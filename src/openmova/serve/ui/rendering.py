"""What the page says of an answer: routing, gates, attention, boxes; and answers side by side."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from PIL import Image

from openmova.analysis.report import attention_pictures, data_url, environment
from openmova.images.boxes import Box, Polygon, Size
from openmova.images.drawing import Region, draw_regions
from openmova.inference.answer import Answer
from openmova.inference.engine import Reply, RoutingEvent
from openmova.inference.mova import Mova
from openmova.inference.session import Picture
from openmova.routing import expert_letters

PREVIEW = 960
"""Pixels of the longer side of the pictures on the page, at most."""
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#f0e442")
"""Of the experts in the gates' picture, by Okabe and Ito: told apart with any colour vision."""
DARK = ("#0072b2", "#d55e00", "#009e73")
"""Those on which white is read."""


@dataclass(frozen=True)
class Card:
    """One of the answers side by side; reply: None while it is being written."""

    title: str
    reply: Reply | None = None


def answer_html(
    mova: Mova,
    picture: Picture | None,
    question: str,
    event: RoutingEvent,
    answer: Answer | None = None,
) -> str:
    """HTML on how the answer comes about. picture: the last, if any; answer: once it is whole."""
    routing = event.routing
    if picture is None:
        return _render("answer.html", question=question, looked=False, answer=answer, boxes=None)
    preview = picture.image.copy()
    preview.thumbnail((PREVIEW, PREVIEW))
    experts, letters = mova.model.model.experts, expert_letters(len(mova.experts))
    frames = {name: experts.get(mova.experts.index(name)).frame for name in routing.experts}
    return _render(
        "answer.html",
        question=question,
        looked=True,
        routing=routing,
        pool=zip(letters, mova.experts, mova.model.config.descriptions, strict=True),
        gates=event.gates.tolist(),
        bars=[_bar(mova, routing.experts, block) for block in event.gates.tolist()],
        attention=attention_pictures(preview, event.attention, frames),
        answer=answer,
        boxes=answer and _boxes(preview, picture.size, question, answer),
    )


def comparison_html(question: str, cards: Sequence[Card]) -> str:
    """HTML of the same question's answers; the first card is what the others are held against."""
    return _render("comparison.html", question=question, cards=cards)


def empty_html(text: str) -> str:
    """HTML of an empty place on the page."""
    return _render("empty.html", text=text)


def _bar(mova: Mova, names: Sequence[str], weights: Sequence[float]) -> list[dict[str, Any]]:
    """The segments of a block's bar: where they begin, how long they are (0 to 1), the colour."""
    segments: list[dict[str, Any]] = []
    start = 0.0
    for name, weight in zip(names, weights, strict=True):
        colour = COLOURS[mova.experts.index(name) % len(COLOURS)]
        ink = "#ffffff" if colour in DARK else "#000000"
        segments.append({"name": name, "x": start, "share": weight, "colour": colour, "ink": ink})
        start += weight
    return segments


def _boxes(
    picture: Image.Image, size: Size, question: str, answer: Answer
) -> dict[str, str] | None:
    """The picture with what the answer gives as coordinates, and the same in words."""
    regions: list[Region] = [*answer.boxes, *answer.polygons]
    if not regions:
        return None
    across, down = picture.width / size[0], picture.height / size[1]
    scaled = [_scale(region, across, down) for region in regions]
    texts = [
        *(f"a box from ({b.x1:.0f}, {b.y1:.0f}) to ({b.x2:.0f}, {b.y2:.0f})" for b in answer.boxes),
        *(f"a polygon of {len(p.points)} points" for p in answer.polygons),
    ]
    return {
        "picture": data_url(draw_regions(picture, [(question, scaled)])),
        "text": f"{'; '.join(texts)}, in {size[0]} × {size[1]} pixels",
    }


def _scale(region: Region, across: float, down: float) -> Region:
    if isinstance(region, Polygon):
        return Polygon(tuple((x * across, y * down) for x, y in region.points))
    return Box(region.x1 * across, region.y1 * down, region.x2 * across, region.y2 * down)


def _render(template: str, **values: Any) -> str:
    return environment("openmova.serve.ui").get_template(template).render(**values)
