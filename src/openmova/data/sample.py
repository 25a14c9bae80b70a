"""One training sample: a picture, a conversation about it, and the experts it was annotated with.

A `Sample` that exists is well-formed: user and assistant take turns, the user begins, the assistant
ends. Its picture is only a reference until `open` reads it.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Literal

from PIL import Image

from openmova.data.bad_samples import BadSample
from openmova.errors import UserError, nearest
from openmova.images.opening import load_image

Role = Literal["user", "assistant"]
RATING_BOUNDS = (0.1, 0.3, 0.5, 0.7)
"""Of the dependency, between the ratings 1 to 5."""


@dataclass(frozen=True, kw_only=True)
class Turn:
    """What one side says; the picture's marker is not part of the text."""

    role: Role
    text: str


@dataclass(frozen=True, kw_only=True)
class Sample:
    """A conversation about at most one picture, which belongs to the first user's turn.

    id: unique within its source, as far as the data has ids. experts: names of the annotated ones;
    () is "none helps", None is "not annotated". domain: what the statistics are kept by. source:
    the file or dataset it is from. routing: its prompt is the routing prompt and its answer names
    experts, so the picture goes in as the pooled tokens of the routing pass. dependency: how far
    the answer depends on the picture, -1 to 1 (annotate/dependency.py); None where nobody knows.
    evidence: words that an answer which rests on it names.

    Raises BadSample if the turns make no conversation.
    """

    id: str
    image: Path | bytes | Image.Image | None = None
    turns: tuple[Turn, ...]
    experts: tuple[str, ...] | None = None
    domain: str = ""
    source: str = ""
    routing: bool = False
    dependency: float | None = None
    evidence: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        turns = self.turns
        if not turns:
            raise BadSample("no turns: a sample has a question and an answer")
        for number, turn in enumerate(turns):
            expected = ("user", "assistant")[number % 2]
            if turn.role != expected:
                raise BadSample(
                    f"turn {number + 1} is of {turn.role!r}, not of {expected!r}: user and "
                    "assistant take turns, the user begins"
                )
            if turn.role == "assistant" and not turn.text.strip():
                raise BadSample(f"the answer in turn {number + 1} is empty")
            try:
                turn.text.encode()
            except UnicodeEncodeError:
                raise BadSample(f"turn {number + 1} holds what is no UTF-8 text") from None
        if turns[-1].role != "assistant":
            raise BadSample("the last turn is the user's: there is no answer to learn")
        if self.experts is not None and len(set(self.experts)) < len(self.experts):
            raise BadSample(f"an expert is named twice: {', '.join(self.experts)}")

    @property
    def question(self) -> str:
        """The first user's text, which the routing is decided by."""
        return self.turns[0].text

    @property
    def solution(self) -> str:
        """The last answer, which one that is learned by reward is compared with."""
        return self.turns[-1].text

    def open(self) -> Sample:
        """The same sample with its picture decoded, upright and RGB. Raises BadSample."""
        if self.image is None:
            return self
        try:
            return replace(self, image=load_image(self.image))
        except UserError as error:
            raise BadSample(str(error), id=self.id, source=self.source) from error


def dependency_rating(dependency: float | None) -> str:
    """From "1", the picture hardly matters, to "5"; "unknown"."""
    if dependency is None:
        return "unknown"
    return str(1 + sum(dependency >= bound for bound in RATING_BOUNDS))


def check_experts(sample: Sample, experts: Collection[str]) -> None:
    """Raises BadSample, with the nearest names, for an annotation that is not in the pool."""
    for name in sample.experts or ():
        if name not in experts:
            reason = f"unknown expert {name!r}: {nearest(name, experts)}"
            raise BadSample(reason, id=sample.id, source=sample.source)
