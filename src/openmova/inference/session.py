"""A conversation: what was said, which pictures were shown, and what is asked next.

Python's `Mova.chat`, the terminal, the page and the server all keep their conversations in one.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from hashlib import blake2b
from typing import Any, Self

from PIL import Image

from openmova.images.boxes import Size
from openmova.images.opening import DEFAULT_LIMITS, ImageLimits, ImageSource, load_image
from openmova.inference.limits import check_pictures, check_question, check_system
from openmova.model.processing_mova import MovaProcessor

Message = dict[str, Any]
"""A turn, as chat templates take it: role, and parts of which a picture's holds its `Picture`."""


def system_turn(text: str) -> Message:
    """What the model is told before a conversation."""
    return {"role": "system", "content": [{"type": "text", "text": text}]}


def user_turn(question: str, pictures: Sequence[object] = ()) -> Message:
    """A user's message, with the pictures (`Picture`) in front of the text."""
    shown = [{"type": "image", "image": picture} for picture in pictures]
    return {"role": "user", "content": [*shown, {"type": "text", "text": question}]}


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
    ) -> Self:
        """Raises UserError for what is no picture, or one beyond the limits."""
        image = load_image(source, limits)
        return cls(image=processor.image_processor.picture(image), size=image.size)


def pictures_in(messages: Sequence[Message]) -> list[Picture]:
    """The pictures of a conversation, in order."""
    parts = [part for message in messages for part in message["content"]]
    return [part["image"] for part in parts if part["type"] == "image"]


class Session:
    """Questions, one after the other, about the pictures that were shown, or about none.

    system: what the model is told before every conversation, if anything.
    """

    def __init__(self, system: str | None = None) -> None:
        self.messages: list[Message] = []
        self._opening: list[Picture] = []
        self._new: list[Picture] = []  # what the next question shows
        self.instruct(system)

    @property
    def picture(self) -> Picture | None:
        """The one that was shown last."""
        shown = [*pictures_in(self.messages), *self._new]
        return shown[-1] if shown else None

    def instruct(self, system: str | None) -> None:
        """A new conversation about the same picture, in front of which the model is told this."""
        told = check_system(system or "")
        self._system = [system_turn(told)] if told else []
        self.reset()

    def open(self, picture: Picture) -> None:
        """A new conversation, about this picture."""
        self._opening = [picture]
        self.reset()

    def show(self, *pictures: Picture) -> None:
        """The next question comes with these pictures, too. Raises UserError for too many."""
        check_pictures(len([*pictures_in(self.messages), *self._new, *pictures]))
        self._new += pictures

    def reset(self) -> None:
        """A new conversation, about the picture that the last one was opened with."""
        self.messages = []
        self._new = list(self._opening)

    @property
    def turns(self) -> list[tuple[str, str]]:
        """Role ("user" or "assistant") and text of each turn."""
        said = [turn for turn in self.messages if turn["role"] != "system"]
        return [(turn["role"], turn["content"][-1]["text"]) for turn in said]

    def ask(self, question: str) -> list[Message]:
        """The conversation up to the next question; nothing is kept of it yet."""
        turn = user_turn(check_question(question), self._new)
        return [*(self.messages or self._system), turn]

    def add(self, messages: Sequence[Message], answer: str) -> None:
        """Keep a question, asked by `ask`, with its answer."""
        self.messages = [*messages, assistant_turn(answer)]
        self._new = []
