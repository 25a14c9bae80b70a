"""A chat request to a question for the engine: which turns are possible, and where pictures are.

What `Mova.chat` does is what the server does: a system message in front, if any; questions, with
pictures or without, and answers in turn; the last word is the user's.
"""

import base64
import binascii
import re
from collections.abc import Sequence

from openmova.errors import UserError
from openmova.inference.engine import Question
from openmova.inference.limits import (
    GenerationLimits,
    check_pictures,
    check_question,
    check_system,
)
from openmova.inference.sampling import Sampling
from openmova.inference.schemas import SchemaGuide
from openmova.inference.session import Message, Picture, assistant_turn, system_turn, user_turn
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
SYSTEM = ("system", "developer")
ALTERNATE = (
    "after a system message, if any, messages alternate between user and assistant, and the user "
    "has the first and the last"
)


def make_question(
    request: ChatRequest,
    pictures: Sequence[Sequence[Picture]],
    options: ServerOptions,
    pool: Sequence[str],
    guide: SchemaGuide | None,
) -> Question:
    """What the engine is asked; pictures: of each message. Raises BadRequest, other UserError."""
    if request.top_logprobs and not request.logprobs:
        raise BadRequest("top_logprobs needs logprobs: set it to true", "top_logprobs")
    tokens = request.max_completion_tokens or request.max_tokens or options.default_tokens
    if tokens > options.max_tokens:
        raise BadRequest(f"max_tokens is {tokens}: give at most {options.max_tokens}", "max_tokens")
    answers = request.n or 1
    if answers > options.max_batch_size:
        raise BadRequest(f"n is {answers}: give at most {options.max_batch_size}", "n")
    return Question(
        messages=_conversation(request.messages, pictures),
        selection=(request.mova or MovaOptions()).selection(pool),
        limits=GenerationLimits(max_new_tokens=tokens, max_seconds=options.max_seconds),
        sampling=Sampling(
            temperature=request.temperature or 0.0,
            top_p=1.0 if request.top_p is None else request.top_p,
            seed=request.seed,
        ),
        stops=tuple(request.stop or ()),
        answers=answers,
        stream=bool(request.stream),
        scored=(request.top_logprobs or 0) if request.logprobs else None,
        guide=guide,
    )


def image_sources(turns: Sequence[Turn], upload: bytes | None) -> list[list[str | bytes]]:
    """The URLs of each message's pictures; what was uploaded goes with the first of the user."""
    if turns[-1].role != "user":
        raise BadRequest(f"the last message is of the {turns[-1].role}: {ALTERNATE}", "messages")
    sources: list[list[str | bytes]] = [
        [part.image_url.url for part in turn.content if isinstance(part, ImagePart)]
        for turn in turns
    ]
    for number, turn in enumerate(turns):
        if sources[number] and turn.role != "user":
            where = f"messages.{number}"
            raise BadRequest(f"{where} has an image: only the user shows images", where)
    if upload is not None:
        first = next(number for number, turn in enumerate(turns) if turn.role == "user")
        sources[first].insert(0, upload)
    check_pictures(sum(map(len, sources)))
    return sources


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


def _conversation(turns: Sequence[Turn], pictures: Sequence[Sequence[Picture]]) -> list[Message]:
    """Raises BadRequest for a message out of turn, or one whose text does not do."""
    begin = next(number for number, turn in enumerate(turns) if turn.role not in SYSTEM)
    told = check_system("\n\n".join(map(_text, turns[:begin])))
    messages = [system_turn(told)] if told else []
    for number, turn in enumerate(turns[begin:], start=begin):
        where = f"messages.{number}"
        if turn.role != ("user", "assistant")[(number - begin) % 2]:
            raise BadRequest(f"{where} is of the {turn.role}: {ALTERNATE}", where)
        text = _text(turn)
        if turn.role == "assistant":
            messages.append(assistant_turn(text.strip()))
            continue
        try:
            messages.append(user_turn(check_question(text), pictures[number]))
        except UserError as error:
            raise BadRequest(f"{where}: {error}", where) from error
    return messages


def _text(turn: Turn) -> str:
    return "\n".join(part.text for part in turn.content if isinstance(part, TextPart))
