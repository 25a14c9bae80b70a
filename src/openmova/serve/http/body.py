"""The body of a request, JSON or multipart, within limits of size and time."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator

from starlette.datastructures import UploadFile
from starlette.formparsers import MultiPartException, MultiPartParser
from starlette.requests import Request

from openmova.serve.http.protocol import BadRequest, ChatRequest, read_request

SECONDS = 60.0
"""A body that takes longer is not waited for."""
TEXT_FIELD, IMAGE_FIELD = "request", "image"


class RequestTooLarge(BadRequest):
    """A body over the limit, which is answered with 413."""


async def read_chat(request: Request, most: int) -> tuple[ChatRequest, bytes | None]:
    """The request, and the picture that came as a file beside it.

    most: bytes of the body. Raises BadRequest, RequestTooLarge, TimeoutError, or ClientDisconnect.
    """
    body = await _read(request, most)
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind == "multipart/form-data":
        return await _parse_form(request, body)
    if kind != "application/json":
        raise BadRequest(
            "the body is application/json or multipart/form-data: say so in Content-Type"
        )
    return read_request(body), None


async def _read(request: Request, most: int) -> bytes:
    body = bytearray()
    async with asyncio.timeout(SECONDS):
        async for chunk in request.stream():
            body += chunk
            if len(body) > most:
                raise RequestTooLarge(
                    f"the request is over {most / 1e6:g} MB: send a smaller image"
                )
    return bytes(body)


async def _parse_form(request: Request, body: bytes) -> tuple[ChatRequest, bytes]:
    async def chunks() -> AsyncGenerator[bytes, None]:
        yield body

    parser = MultiPartParser(
        request.headers, chunks(), max_files=1, max_fields=1, max_part_size=len(body)
    )
    try:
        form = await parser.parse()
    except (MultiPartException, KeyError, ValueError) as error:
        raise BadRequest(f"the form cannot be read: give a file {IMAGE_FIELD!r}") from error
    try:
        text, image = form.get(TEXT_FIELD), form.get(IMAGE_FIELD)
        if not isinstance(text, str) or not isinstance(image, UploadFile):
            raise BadRequest(
                f"a form has a field {TEXT_FIELD!r} with the JSON text and a file {IMAGE_FIELD!r}"
            )
        return read_request(text), await image.read()
    finally:
        await form.close()
