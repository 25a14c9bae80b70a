"""What nano is: its pool, the sizes of its adapter, and what its router reads.

The assembly and the training take it from here.
"""

from __future__ import annotations

from typing import Any

from openmova.model.adapter import AdapterConfig

GRID = (38, 38)
SUMMARY_GRID = (5, 5)
ROUTING_GRID = (3, 3)
"""Of the summary, for the router: as good as all of it, and a third of the tokens to read."""
CODE_WIDTH = 576
"""Of the codes of tokens: the language model's, so that words arrive whole."""
WIDTH = 704
LORA_RANK = 32
LORA_SCALE = 2.0
ROWS = {
    "text": (0, 21),
    "image_type": (21, 22),
    "chart": (22, 31),
    "object": (31, 33),
    "layout": (33, 36),
    "location": (36, 38),
}
"""Which rows of the map each expert fills, so that no two write into one cell."""
DESCRIPTIONS: dict[str, tuple[str, ...]] = {
    "text": (
        "This model reads what is written: words, names and numbers on pages, signs and screens.",
    ),
    "chart": ("This model reads charts: the value of each bar, point or line.",),
    "object": ("This model names the thing, animal, plant or food in a photo.",),
    "layout": ("This model sees how a page is built: titles, tables, figures, captions.",),
    "location": ("This model finds people and things, counts them and tells where they are.",),
    "image_type": ("This model tells the kind of image: photo, painting, map, logo, invoice.",),
}
CHAT_TEMPLATE = (
    "{% for message in messages %}{% set content = message['content'] %}"
    "<|im_start|>{{ message['role'] }}\n"
    "{% if content.startswith('<image>\n') %}{{ content.split('<image>\n')[-1] }}\n{% endif %}"
    "{{ content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
"""What is asked stands before the image, too: so the image's words are read with it in mind."""
INSTRUCTION = (
    "Select the experts that help to answer. Answer with their letters, or 'none' if the question "
    "is about the whole image."
)
"""With the pool 148 tokens: vLLM on a processor shares keys and values in blocks of 128."""

TEXT_PRIOR = 20.0
"""Weight of the texts' likeness for experts that the router never learned (docs/routing.md)."""


EXPERTS = tuple(DESCRIPTIONS)
"""The pool, in the order of the letters A to F."""
IMAGE_TYPES = (
    *("photo", "painting", "drawing", "logo", "flag", "map", "diagram", "medical scan"),
    *("screenshot", "document", "table", "receipt", "invoice", "form", "letter", "ticket"),
    *("label", "poster", "bar chart", "line chart", "pie chart", "scatter plot", "area chart"),
    *("histogram", "box plot", "heat map"),
)
"""What the image type expert tells apart."""


def adapter_config() -> AdapterConfig:
    """One block over the 38 x 38 map, a token for each cell in which an expert says something."""
    return AdapterConfig(
        width=WIDTH,
        expert_channels=(CODE_WIDTH,) * len(ROWS),
        text_width=384,
        output_width=576,
        grid=GRID,
        token_grid=GRID,
        summary_grid=SUMMARY_GRID,
        blocks=1,
        top_k=3,
        head_dim=64,
        rope_theta=100.0,
    )


def base_spec() -> dict[str, Any]:
    """EfficientNet-Lite2 with a fixed projection."""
    return {
        "kind": "lite2",
        "name": "base",
        "descriptions": ["This model sees the image as a whole."],
        "size": 448,
        "stages": [5, 7],
        "neck": WIDTH,
        "grid": list(GRID),
    }


THRESHOLD = 0.45
"""Score from which the location expert counts a thing."""


OWN_KEYWORDS: dict[str, dict[str, Any]] = {
    "location": {"threshold": THRESHOLD},
    "object": {"detector": "experts/nanodet.onnx"},
    "image_type": {"types": list(IMAGE_TYPES)},
}
"""Of experts beside those of all."""


def expert_specs() -> list[dict[str, Any]]:
    """The pool, in the order of the letters A to F."""
    return [
        {
            "kind": name,
            "name": name,
            "descriptions": list(texts),
            "tokenizer": "tokenizer.json",
            "width": CODE_WIDTH,
            "grid": list(GRID),
            "rows": list(ROWS[name]),
            **OWN_KEYWORDS.get(name, {}),
        }
        for name, texts in DESCRIPTIONS.items()
    ]
