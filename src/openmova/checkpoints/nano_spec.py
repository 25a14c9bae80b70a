"""What nano is: its pool, the sizes of its adapter, and what its router reads.

The assembly and the training take it from here.
"""

from __future__ import annotations

from typing import Any

from openmova.model.adapter import AdapterConfig

GRID = (14, 14)
TOKEN_GRID = (7, 14)
ROUTING_GRID = (2, 4)
WIDTH = 256
LORA_RANK = 16
LORA_SCALE = 2.0

INSTRUCTION = (
    "Select the experts that help to answer the question about the image. Answer with their "
    "letters from the pool. If the question is about the image as a whole, answer 'none'."
)

# The router reads the first of each; the others augment its training.
DESCRIPTIONS: dict[str, tuple[str, ...]] = {
    "text": (
        "This model reads written text, letters and numbers on forms and labels.",
        "A reader of printed words, characters and digits.",
        "Strong at text recognition: it finds what is written on a page or label.",
        "It recognises letters, words and written values in documents.",
        "This expert handles writing: names, codes and numbers in forms, and lettered labels.",
        "Optical character recognition of short texts.",
    ),
    "chart": (
        "This model understands bar charts: heights, values and colours of bars.",
        "A specialist for plots that reads off how high bars are.",
        "It compares the bars of a chart and knows their values.",
        "Chart understanding: the tallest and shortest bar, and the number each one shows.",
        "This expert measures bars in diagrams.",
        "Reads the data behind a bar chart.",
    ),
    "location": (
        "This model locates and counts shapes and tells their colours.",
        "A detector that knows where things are and how many there are.",
        "It finds the position and the number of shapes such as stars or circles.",
        "Localisation and counting of simple figures.",
        "This expert tells where a figure lies, which colour it has, and counts figures.",
        "Spots scattered shapes, their places, colours and counts.",
    ),
    "object": (
        "This model recognises what object or creature a picture or drawing shows.",
        "An encoder for pictures that names the class of the thing shown.",
        "It identifies animals, food, vehicles and other objects in drawings.",
        "Object recognition in photos and clip art.",
        "This expert tells what kind of thing is pictured.",
        "Classifies the main object of a drawing.",
    ),
}

EXPERTS = tuple(DESCRIPTIONS)
"""The pool, in the order of the letters A, B, C, D."""


def adapter_config() -> AdapterConfig:
    """Two blocks of width 256 over the 14 x 14 map; 7 x 14 tokens for the language model."""
    return AdapterConfig(
        width=WIDTH,
        expert_channels=(128, 128, 128, 320),
        text_width=384,
        output_width=576,
        grid=GRID,
        token_grid=TOKEN_GRID,
        blocks=2,
        top_k=3,
        head_dim=64,
        rope_theta=100.0,
    )


def base_spec() -> dict[str, Any]:
    """EfficientNet-Lite0 with a trained projection."""
    description = "This model sees the image as a whole."
    return {
        "kind": "lite0",
        "name": "base",
        "descriptions": [description],
        "neck": WIDTH,
        "grid": list(GRID),
    }


def expert_specs() -> list[dict[str, Any]]:
    """Three encoders trained from nothing and one that was tuned."""
    kinds = {"object": "lite0"}
    return [
        {"kind": kinds.get(name, "cell"), "name": name, "descriptions": list(texts)}
        for name, texts in DESCRIPTIONS.items()
    ]
