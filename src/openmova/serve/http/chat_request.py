"""A request to a question for the engine: which turns are possible, and where its picture is.

What `Mova.chat` does is what the server does: one picture, with the first message; questions and
answers in turn; the last word is the user's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import Any

from openmova.errors import UserError
from openmova.images.opening import ImageLimits
from openmova.inference.engine import Question
from openmova.inference.limits import GenerationLimits, check_question
from openmova.inference.mova import Mova
from openmova.inference.sampling import Sampling
from openmova.inference.session import Picture, assistant_turn, user_turn
from openmova.routing.selection import ExpertSelection
from openmova.serve.http.protocol import (
    BadRequest,
    ChatRequest,
    ImagePart,
    MovaOptions,
    TextPart,
    Turn,
)
from openmova.serve.http.remote_images import RemoteLimits, fetch

DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
ALTERNATE = "messages alternate between user and assistant, and the user has the first and the last"


IMAGES = ImageLimits(file_bytes=20_000_000, pixels=40_000_000)


@dataclass(frozen=True, kw_only=True)
class Rules:
    """What the operator allows a request."""

    images: ImageLimits = IMAGES
    remote_images: bool = False
    max_tokens: int = 1024
    default_tokens: int = 128
    max_seconds: float = 120.0


def question_of(
    request: ChatRequest,
    upload: bytes | None,
    mova: Mova,
    rules: Rules,
    max_answers: int,
    opening: AbstractContextManager[Any],
) -> Question:
    """What the engine is asked. upload: a picture that came beside the request.

    Fetches the picture if it is elsewhere, and opens it while it holds `opening`, as its pixels may
    take a thousand times the memory of its file. Raises BadRequest, or another UserError.
    """
    wish = request.mova or MovaOptions()
    tokens = request.max_completion_tokens or request.max_tokens or rules.default_tokens
    if tokens > rules.max_tokens:
        raise BadRequest(f"max_tokens is {tokens}: give at most {rules.max_tokens}", "max_tokens")
    answers = request.n or 1
    if answers > max_answers:
        raise BadRequest(f"n is {answers}: give at most {max_answers}", "n")
    selection = ExpertSelection.of(_experts(wish.experts), wish.max_experts, mova.experts)
    sampling = Sampling(
        temperature=request.temperature or 0.0,
        top_p=1.0 if request.top_p is None else request.top_p,
        seed=request.seed,
    )
    url = _picture_url(request.messages, upload is not None)
    texts = [_text(number, turn) for number, turn in enumerate(request.messages)]
    data = _bytes_of(url, rules) if upload is None else upload
    with opening:
        picture = Picture.of(data, mova.processor, rules.images)
    messages = [
        user_turn(text, has_image=number == 0) if turn.role == "user" else assistant_turn(text)
        for number, (turn, text) in enumerate(zip(request.messages, texts, strict=True))
    ]
    return Question(
        messages=messages,
        picture=picture,
        selection=selection,
        limits=GenerationLimits(max_new_tokens=tokens, max_seconds=rules.max_seconds),
        sampling=sampling,
        stops=tuple(request.stop or ()),
        answers=answers,
        stream=bool(request.stream),
    )


def _experts(names: Sequence[str] | None) -> str | Sequence[str] | None:
    """ "all" and "none" are words only where they stand alone."""
    return names[0] if names is not None and len(names) == 1 else names


def _text(number: int, turn: Turn) -> str:
    """What a message says, checked. Raises BadRequest for a message out of turn, too."""
    where = f"messages.{number}"
    if turn.role != ("user", "assistant")[number % 2]:
        raise BadRequest(f"{where} is of the {turn.role}: {ALTERNATE}", where)
    text = "\n".join(part.text for part in turn.content if isinstance(part, TextPart))
    if turn.role == "assistant":
        return text.strip()
    try:
        return check_question(text)
    except UserError as error:
        raise BadRequest(f"{where}: {error}", where) from error


def _picture_url(turns: Sequence[Turn], uploaded: bool) -> str:
    """Where the one picture is; empty if it was uploaded."""
    if turns[-1].role != "user":
        raise BadRequest(f"the last message is of the assistant: {ALTERNATE}", "messages")
    urls: list[str] = []
    for number, turn in enumerate(turns):
        for part in turn.content:
            if isinstance(part, ImagePart):
                if number:
                    raise BadRequest(
                        f"messages.{number} has an image: a conversation is about the image of its "
                        "first message; start a new one",
                        f"messages.{number}",
                    )
                urls.append(part.image_url.url)
    if len(urls) + uploaded != 1:
        raise BadRequest(
            f"the first message has {len(urls) + uploaded} images: MoVA talks about exactly one",
            "messages.0",
        )
    return urls[0] if urls else ""


def _bytes_of(url: str, rules: Rules) -> bytes:
    """The picture's file. Raises BadRequest for a URL that is not read."""
    if head := DATA_URL.match(url[:100]):
        try:
            return base64.b64decode(url[head.end() :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest("the image's data URL is not base64: encode it again") from error
    if not rules.remote_images:
        raise BadRequest(
            "an image's URL is data:image/...;base64,...: this server reads no others; send the "
            "image itself"
        )
    return fetch(url, RemoteLimits(file_bytes=rules.images.file_bytes))
