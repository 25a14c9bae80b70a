"""The pages of `openmova inspect` and `openmova roles`: one HTML file each, with everything in it.

No scripts, nothing fetched from anywhere (the page itself forbids it), tables for everything that
is drawn, and a description of every picture.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
from functools import cache
from importlib.metadata import version
from io import BytesIO
from typing import Any

from jinja2 import ChoiceLoader, Environment, PackageLoader, StrictUndefined
from PIL import Image
from torch import Tensor

from openmova.analysis.answer_inspection import Inspection
from openmova.evaluate.intervals import percent
from openmova.images.heatmap import LONGEST, describe_heatmap, draw_heatmap
from openmova.routing import expert_letters


def question_page(inspection: Inspection, *, image: str, model: str) -> str:
    """The page of one question; image and model: what the user called them."""
    picture, answer = inspection.picture, inspection.answer
    small = picture.copy()
    small.thumbnail((LONGEST, LONGEST))
    return _render(
        "question.html",
        inspection=inspection,
        answer=answer,
        gates=answer.gates.tolist(),
        letters=expert_letters(len(inspection.pool)),
        image=image,
        model=model,
        picture=data_url(small),
        attention=attention_pictures(picture, inspection.attention, inspection.frames),
    )


def data_page(found: Mapping[str, Any], *, data: str, model: str) -> str:
    """The page of a data set's summary; data and model: what the user called them."""
    return _render("data.html", found=found, data=data, model=model)


def roles_page(found: Mapping[str, Any], *, model: str) -> str:
    """The page of what `roles` found; model: what the user called it, empty of retrained sides."""
    encoders, ranks = found["overall"]["encoders"], found["ranks"]["encoders"]
    worth = [
        (name, of["capacity"]["value"], of["necessity"]["value"]) for name, of in encoders.items()
    ]
    explained = [
        (name, of["alone"]["before"]["rank"], of["residual"])
        for name, of in ranks.items()
        if of["alone"]["before"] is not None
    ]
    return _render(
        "roles.html",
        command="roles",
        found=found,
        model=model,
        worth=scatter(worth),
        explained=scatter([point for point in explained if None not in point]),
    )


def scatter(points: Sequence[tuple[str, float, float]]) -> dict[str, Any]:
    """Named points with the ranges of their axes, a tenth wider than the points are."""
    ranges = []
    for values in ([x for _, x, _ in points], [y for *_, y in points]):
        low, high = min(values, default=0.0), max(values, default=1.0)
        room = 0.1 * (high - low) or 0.5
        ranges.append((low - room, high + room))
    return {"points": points, "x": ranges[0], "y": ranges[1]}


def number(value: float | None, form: str = "%.2f") -> str:
    """A number as people read it, or that there is none."""
    return "not known" if value is None else form % value


def points(value: Mapping[str, Any]) -> str:
    """A difference of shares in points with its interval; a share of it, in per cent."""
    if value["value"] is None or None in value["ci95"]:
        return number(value["value"])
    low, high = value["ci95"]
    return f"{100 * value['value']:+.1f} ({100 * low:+.0f} to {100 * high:+.0f})"


@cache
def environment(*packages: str) -> Environment:
    """What renders the templates of these packages, and those of this one."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "openmova.analysis")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"share": percent, "points": points, "number": number, "zip": zip}
    return made


def attention_pictures(
    picture: Image.Image, attention: Mapping[str, Sequence[Tensor]], frames: Mapping[str, str]
) -> dict[str, list[dict[str, str]]]:
    """Of each expert, for each block: the heat map as a data URL (`picture`) and in words (`text`).

    attention: float [H, W] each; frames: how the picture lies in the experts' maps.
    """
    return {
        name: [
            {
                "picture": data_url(draw_heatmap(picture, weights, frames[name])),
                "text": describe_heatmap(weights, frames[name], picture.size),
            }
            for weights in blocks
        ]
        for name, blocks in attention.items()
    }


def _render(template: str, *, command: str = "inspect", **values: Any) -> str:
    made = environment().get_template(template)
    return made.render(command=command, version=version("openmova"), **values)


def data_url(picture: Image.Image) -> str:
    """The picture as a data URL."""
    data = BytesIO()
    picture.save(data, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
