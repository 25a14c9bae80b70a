"""One question, looked at from all sides: how it was routed, where the experts were looked at, what
each of them is worth to the answer.

Shapes: H x W the base map's grid.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any

from PIL import Image
from torch import Tensor

from openmova.analysis.ablation import Names, ask_ablated, without
from openmova.analysis.lens import Words, token_words
from openmova.images.opening import ImageSource, load_image
from openmova.inference.answer import Answer
from openmova.inference.attention import watched
from openmova.inference.limits import check_question
from openmova.inference.mova import Mova


@dataclass(frozen=True, kw_only=True)
class Alternative:
    """The answer with other experts than the router's."""

    what: str
    """Such as "without chart"."""
    experts: Names
    text: str


@dataclass(frozen=True, kw_only=True)
class Inspection:
    """What is known of one answer."""

    picture: Image.Image
    question: str
    prompt: str
    """What the router read, special tokens included."""
    pool: dict[str, str]
    """The experts' names, and what the router read of each."""
    answer: Answer
    attention: dict[str, list[Tensor]]
    """Of each chosen expert, for each block: how the attention lies on its map, float [H, W]."""
    frames: dict[str, str]
    """Of each chosen expert: how the picture lies in its map."""
    alternatives: tuple[Alternative, ...]
    words: dict[str, Words]
    """What the image tokens are nearest to: "as routed", and without each chosen expert."""

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON types: those of the answer, and what the page shows beside them."""
        return {
            "question": self.question,
            "routing_prompt": self.prompt,
            **self.answer.to_dict(),
            "attention": {
                name: [[[round(v, 6) for v in row] for row in block.tolist()] for block in blocks]
                for name, blocks in self.attention.items()
            },
            "switched": [
                {
                    "what": other.what,
                    "experts": list(other.experts),
                    "answer": other.text,
                    "changed": other.text != self.answer.text,
                }
                for other in self.alternatives
            ],
            "words": self.words,
        }


def inspect(
    mova: Mova, image: ImageSource, question: str, *, max_new_tokens: int = 128
) -> Inspection:
    """Ask one question, watch the adapter, and ask again with each chosen expert switched off, with
    none and with all; read the image tokens. Raises UserError as `Mova.ask` does."""
    question = check_question(question)
    picture = load_image(image)
    # First of all, because this reads the experts' weights, which no question should be timed with.
    with watched(mova.model.model.adapter) as seen:
        mova.ask(picture, question, max_new_tokens=1)
    ((answer, texts),) = ask_ablated(mova, [(picture, question)], max_new_tokens=max_new_tokens)
    chosen = answer.routing.experts
    switched = {f"without {name}": without(chosen, name) for name in chosen}
    asked = {**switched, "no expert, the base encoder alone": (), "all experts": mova.experts}
    sets = {"as routed": chosen, **switched}
    words = token_words(mova, picture, question, list(sets.values()))
    places = {name: mova.experts.index(name) for name in chosen}
    blocks = range(len(mova.model.model.adapter.blocks))
    experts = mova.model.model.experts
    return Inspection(
        picture=picture,
        question=question,
        prompt=_prompt(mova, picture, question),
        pool=dict(zip(mova.experts, mova.model.config.descriptions, strict=True)),
        answer=answer,
        attention={name: [seen[i, j][0] for i in blocks] for name, j in places.items()},
        frames={name: experts.get(j).frame for name, j in places.items()},
        alternatives=tuple(
            Alternative(what=what, experts=names, text=texts[names])
            for what, names in asked.items()
        ),
        words=dict(zip(sets, words, strict=True)),
    )


def _prompt(mova: Mova, picture: Image.Image, question: str) -> str:
    """The routing prompt out of its ids; the tokens of the picture are counted, not repeated."""
    processor = mova.processor
    ids = processor(images=[picture], questions=[question])["routing_input_ids"][0]
    token = processor.image_token
    run = re.compile(rf"(?:{re.escape(token)}\s*)+")
    text = processor.tokenizer.decode(ids)
    return run.sub(lambda found: f"{token} × {found[0].count(token)}\n", text)
