"""The pages of `openmova inspect`: one HTML file each, with everything in it.

No scripts, nothing fetched from anywhere (the page itself forbids it), tables for everything that
is drawn, and a description of every picture.
"""

from __future__ import annotations

import base64
from collections.abc import Mapping, Sequence
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


def points(value: Mapping[str, Any]) -> str:
    """A difference of shares in points with its interval."""
    low, high = value["ci95"]
    return f"{100 * value['value']:+.1f} ({100 * low:+.0f} to {100 * high:+.0f})"


def environment(*packages: str) -> Environment:
    """What renders the templates of these packages, and those of this one."""
    made = Environment(
        loader=ChoiceLoader([PackageLoader(name) for name in (*packages, "openmova.analysis")]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    made.filters |= {"share": percent, "points": points, "zip": zip}
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


def _render(template: str, **values: Any) -> str:
    return environment().get_template(template).render(version=version("openmova"), **values)


def data_url(picture: Image.Image) -> str:
    """The picture as a data URL."""
    data = BytesIO()
    picture.save(data, "JPEG", quality=85)
    return f"data:image/jpeg;base64,{base64.b64encode(data.getvalue()).decode()}"
