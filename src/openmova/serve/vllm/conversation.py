"""A chat completion's messages for vLLM: images in front of their texts, opened once, and the
question that each of them is looked at for."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import islice
from typing import Any

from openmova.errors import UserError
from openmova.inference.session import Picture
from openmova.model.processing_mova import MovaProcessor

TEXTS = ("text", "input_text", "output_text", "refusal", "thinking")
"""Types of parts that show no image."""
Message = Mapping[str, Any]


def picture_messages(
    messages: Sequence[Message], pictures: Sequence[Picture], processor: MovaProcessor
) -> list[dict[str, Any]]:
    """The messages as vLLM's chat code takes them, with these pictures, in order, for the images.

    A user's texts become one, and in no text does anything stand for a picture. Raises UserError
    if another than the user shows one.
    """
    left = iter(pictures)
    return [_with_pictures(message, left, processor.image_token) for message in messages]


def picture_questions(messages: Sequence[Message], processor: MovaProcessor) -> list[str]:
    """What is asked about each picture of such messages: see `MovaProcessor.picture_questions`."""
    users = (message["content"] for message in messages if message["role"] == "user")
    return processor.picture_questions(
        [{"role": "user", "content": _named_parts(content)} for content in users]
    )


def _with_pictures(message: Message, left: Iterator[Picture], image_token: str) -> dict[str, Any]:
    content = message.get("content")
    if content is None:
        return dict(message)
    if isinstance(content, str):
        return {**message, "content": content.replace(image_token, "")}
    parts = [{"type": "text", "text": part} if isinstance(part, str) else part for part in content]
    texts = [
        {**part, "text": str(part["text"]).replace(image_token, "")} if "text" in part else part
        for part in parts
        if part.get("type") in TEXTS or "text" in part
    ]
    images = len(parts) - len(texts)
    if message["role"] != "user":
        if images:
            raise UserError(f"a message of the {message['role']} has an image: only the user shows")
        return {**message, "content": texts}
    shown = [{"type": "image_pil", "image_pil": one.image} for one in islice(left, images)]
    text = "\n".join(part["text"] for part in texts if "text" in part)
    return {**message, "content": [*shown, {"type": "text", "text": text}]}


def _named_parts(content: str | Sequence[Message]) -> str | list[Message]:
    """With pictures as the processor knows them."""
    if isinstance(content, str):
        return content
    return [{"type": "image"} if part["type"] == "image_pil" else part for part in content]
