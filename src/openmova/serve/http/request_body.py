"""The body of a request, JSON or multipart, within limits of size and time."""

import asyncio

from starlette.datastructures import UploadFile
from starlette.exceptions import HTTPException
from starlette.requests import Request
from starlette.types import Message

from openmova.serve.http.protocol import BadRequest, ChatRequest, read_request

SECONDS = 60.0
"""A body that takes longer is not waited for."""
TEXT_FIELD, IMAGE_FIELD = "request", "image"


async def read_body(request: Request, max_bytes: int) -> tuple[ChatRequest, bytes | None]:
    """The chat request, and the picture that came as a file beside it."""
    size = 0

    async def receive() -> Message:
        nonlocal size
        message = await request.receive()
        size += len(message.get("body", b""))
        if size > max_bytes:
            raise HTTPException(
                413, f"the request is over {max_bytes / 1e6:g} MB: send a smaller image"
            )
        return message

    bounded = Request(request.scope, receive)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    async with asyncio.timeout(SECONDS):
        if kind == "multipart/form-data":
            return await _read_form(bounded, max_bytes)
        body = await bounded.body()
    if kind != "application/json":
        raise BadRequest(
            "the body is application/json or multipart/form-data: say so in Content-Type"
        )
    return read_request(body), None


async def _read_form(request: Request, max_bytes: int) -> tuple[ChatRequest, bytes]:
    try:
        async with request.form(max_files=1, max_fields=1, max_part_size=max_bytes) as form:
            text, image = form.get(TEXT_FIELD), form.get(IMAGE_FIELD)
            if isinstance(text, str) and isinstance(image, UploadFile):
                return read_request(text), await image.read()
    except (KeyError, ValueError) as error:  # no boundary, or no text
        raise BadRequest(f"the form cannot be read: give a file {IMAGE_FIELD!r}") from error
    raise BadRequest(
        f"a form has a field {TEXT_FIELD!r} with the JSON text and a file {IMAGE_FIELD!r}"
    )
