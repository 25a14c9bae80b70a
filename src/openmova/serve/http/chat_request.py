"""A chat request to a question for the engine: which turns are possible, and where its picture is.

What `Mova.chat` does is what the server does: one picture, with the first message; questions and
answers in turn; the last word is the user's.
"""

from __future__ import annotations

import base64
import binascii
import re
from collections.abc import Sequence

from openmova.errors import UserError
from openmova.inference.engine import Question
from openmova.inference.limits import GenerationLimits, check_question
from openmova.inference.sampling import Sampling
from openmova.inference.session import Picture, assistant_turn, user_turn
from openmova.routing.selection import Experts, ExpertSelection
from openmova.serve.http.protocol import (
    BadRequest,
    ChatRequest,
    ImagePart,
    MovaOptions,
    TextPart,
    Turn,
)
from openmova.serve.http.remote_images import fetch
from openmova.serve.http.server_options import ServerOptions

DATA_URL = re.compile(r"data:image/[a-z0-9.+-]+;base64,", re.IGNORECASE)
ALTERNATE = "messages alternate between user and assistant, and the user has the first and the last"


def make_question(
    request: ChatRequest, picture: Picture, options: ServerOptions, pool: Sequence[str]
) -> Question:
    """What the engine is asked. Raises BadRequest, or another UserError."""
    tokens = request.max_completion_tokens or request.max_tokens or options.default_tokens
    if tokens > options.max_tokens:
        raise BadRequest(f"max_tokens is {tokens}: give at most {options.max_tokens}", "max_tokens")
    answers = request.n or 1
    if answers > options.max_batch_size:
        raise BadRequest(f"n is {answers}: give at most {options.max_batch_size}", "n")
    texts = [_text(number, turn) for number, turn in enumerate(request.messages)]
    mova = request.mova or MovaOptions()
    experts: Experts = mova.experts
    if experts is not None and len(experts) == 1:
        (experts,) = experts  # "all" and "none" are words only where they stand alone
    return Question(
        messages=[
            user_turn(text, has_image=number == 0) if number % 2 == 0 else assistant_turn(text)
            for number, text in enumerate(texts)
        ],
        picture=picture,
        selection=ExpertSelection.of(experts, mova.max_experts, pool, mova.budget),
        limits=GenerationLimits(max_new_tokens=tokens, max_seconds=options.max_seconds),
        sampling=Sampling(
            temperature=request.temperature or 0.0,
            top_p=1.0 if request.top_p is None else request.top_p,
            seed=request.seed,
        ),
        stops=tuple(request.stop or ()),
        answers=answers,
        stream=bool(request.stream),
    )


def image_url(turns: Sequence[Turn], upload: bytes | None) -> str:
    """Where the one picture is; empty if it was uploaded. Raises BadRequest."""
    if turns[-1].role != "user":
        raise BadRequest(f"the last message is of the assistant: {ALTERNATE}", "messages")
    urls = [
        (number, part.image_url.url)
        for number, turn in enumerate(turns)
        for part in turn.content
        if isinstance(part, ImagePart)
    ]
    for number, _ in urls:
        if number:
            raise BadRequest(
                f"messages.{number} has an image: a conversation is about the image of its "
                "first message; start a new one",
                f"messages.{number}",
            )
    count = len(urls) + (upload is not None)
    if count != 1:
        raise BadRequest(
            f"the first message has {count} images: MoVA talks about exactly one", "messages.0"
        )
    return urls[0][1] if urls else ""


async def read_image(url: str, options: ServerOptions) -> bytes:
    """The picture's file. Raises BadRequest for a URL that is not read."""
    if head := DATA_URL.match(url[:100]):
        try:
            return base64.b64decode(url[head.end() :], validate=True)
        except (binascii.Error, ValueError) as error:
            raise BadRequest("the image's data URL is not base64: encode it again") from error
    if not options.remote_images:
        raise BadRequest(
            "an image's URL is data:image/...;base64,...: this server reads no others; send the "
            "image itself"
        )
    return await fetch(url, options.images.file_bytes)


def _text(number: int, turn: Turn) -> str:
    """What a message says. Raises BadRequest for one out of turn, too."""
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
