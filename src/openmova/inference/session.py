"""A conversation about one picture: what was said, and what is asked next.

Python's `Mova.chat`, the terminal, the page and the server all keep their conversations in one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any

from PIL import Image

from openmova.errors import UserError
from openmova.images.boxes import Size
from openmova.images.opening import DEFAULT_LIMITS, ImageLimits, ImageSource, load_image
from openmova.inference.limits import check_question
from openmova.model.processing_mova import MovaProcessor

Message = dict[str, Any]
"""A turn, as chat templates take it; the picture stands in the first one as a part without data."""


def user_turn(question: str, *, has_image: bool = False) -> Message:
    """A user's message, with the picture in front of the text if there is one."""
    parts = [{"type": "image"}] if has_image else []
    return {"role": "user", "content": [*parts, {"type": "text", "text": question}]}


def assistant_turn(text: str) -> Message:
    """The model's message."""
    return {"role": "assistant", "content": [{"type": "text", "text": text}]}


@dataclass(kw_only=True)
class Picture:
    """A picture that is talked about, opened once."""

    image: Image.Image
    """RGB, upright, as large as the model takes it"""
    size: Size
    """as it was given"""

    @cached_property
    def fingerprint(self) -> bytes:
        """The same for pictures of the same pixels."""
        about = f"{self.image.mode} {self.image.width}x{self.image.height} ".encode()
        return blake2b(about + self.image.tobytes(), digest_size=32).digest()

    @classmethod
    def of(
        cls, source: ImageSource, processor: MovaProcessor, limits: ImageLimits = DEFAULT_LIMITS
    ) -> Picture:
        """Raises UserError for what is no picture, or one beyond the limits."""
        image = load_image(source, limits)
        return cls(image=processor.image_processor.picture(image), size=image.size)


class Session:
    """Questions about one picture, one after the other."""

    def __init__(self) -> None:
        self.picture: Picture | None = None
        self.messages: list[Message] = []

    def open(self, picture: Picture) -> None:
        """A new conversation, about this picture."""
        self.picture = picture
        self.reset()

    def reset(self) -> None:
        """A new conversation about the same picture."""
        self.messages = []

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Role ("user" or "assistant") and text of each turn."""
        return [(turn["role"], turn["content"][-1]["text"]) for turn in self.messages]

    def ask(self, question: str) -> tuple[Picture, list[Message]]:
        """The picture and the conversation up to the next question; nothing is kept of it yet.

        Raises UserError for a question that does not do, or if there is no picture.
        """
        text = check_question(question)
        if self.picture is None:
            raise UserError("a conversation is about a picture: give one with the first question")
        return self.picture, [*self.messages, user_turn(text, has_image=not self.messages)]

    def add(self, messages: Sequence[Message], answer: str) -> None:
        """Keep a question, asked by `ask`, with its answer."""
        self.messages = [*messages, assistant_turn(answer)]
