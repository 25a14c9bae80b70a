"""The ASGI app: OpenAI's chat completions around an engine."""

from __future__ import annotations

import hmac
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from dataclasses import dataclass, field
from importlib.metadata import version
from threading import BoundedSemaphore
from typing import Annotated, Any

from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openmova.errors import UserError
from openmova.inference.engine import Engine, Unavailable
from openmova.inference.mova import Mova
from openmova.serve.http.api_errors import error_info, error_response
from openmova.serve.http.body import read_chat
from openmova.serve.http.chat_request import Rules, question_of
from openmova.serve.http.completion import Completion
from openmova.serve.http.metrics import Metrics
from openmova.serve.http.protocol import (
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ErrorAnswer,
    ModelInfo,
    ModelList,
)

MAX_OPEN_IMAGES = 4
"""Images that are opened at once; each takes its pixels' memory while it is."""
SCHEMAS = "#/components/schemas/"
FAILURES: dict[int | str, dict[str, Any]] = {
    400: {"model": ErrorAnswer, "description": "The request is not right; the message says why."},
    401: {"model": ErrorAnswer, "description": "No API key, or a wrong one."},
    404: {"model": ErrorAnswer, "description": "No such model."},
    408: {"model": ErrorAnswer, "description": "The body came too slowly."},
    413: {"model": ErrorAnswer, "description": "The body is too large."},
    429: {"model": ErrorAnswer, "description": "The queue is full; see Retry-After."},
    503: {"model": ErrorAnswer, "description": "No place was free in time; see Retry-After."},
}


@dataclass(frozen=True, kw_only=True)
class Options:
    """What the operator decides. model: the name that clients ask for."""

    model: str
    rules: Rules = field(default_factory=Rules)
    max_batch_size: int = 8
    max_queue: int = 64
    api_keys: Sequence[str] = ()
    origins: Sequence[str] = ()
    """Of the web pages that may ask (CORS)."""

    @property
    def body_bytes(self) -> int:
        """An image of the greatest size as base64, and a million bytes of text."""
        return self.rules.images.file_bytes * 4 // 3 + 1_000_000


class Server:
    """What the routes share."""

    def __init__(self, mova: Mova, options: Options) -> None:
        self.mova = mova
        self.options = options
        self.metrics = Metrics()
        self.engine = Engine(
            mova,
            max_batch_size=options.max_batch_size,
            max_queue=options.max_queue,
            on_batch=self.metrics.batch,
        )
        self.metrics.watch(self.engine, lambda: self.in_hand)
        self.info = ModelInfo(
            id=options.model, created=int(time.time()), experts=list(mova.experts)
        )
        self.closing = False
        """Set to take no more requests; those in hand are answered."""
        self.in_hand = 0
        self.opening = BoundedSemaphore(MAX_OPEN_IMAGES)

    @contextmanager
    def taken(self) -> Iterator[None]:
        """Counts a request from its first byte, so that pictures in memory are bounded, too."""
        most = self.options.max_batch_size + self.options.max_queue
        if self.closing:
            raise Unavailable("the server is closing: ask again", retry_after=1)
        if self.in_hand >= most:
            raise Unavailable(
                f"{most} requests are in hand: ask again later",
                retry_after=self.engine.retry_after,
                full=True,
            )
        self.in_hand += 1
        try:
            yield
        finally:
            self.in_hand -= 1

    def check_model(self, name: str) -> None:
        if name != self.options.model:
            raise HTTPException(
                404, f"there is no model {name[:80]!r}: this server has {self.options.model!r}"
            )

    def check_key(
        self,
        given: Annotated[
            HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))
        ],
    ) -> None:
        """Raises HTTPException without a right key, where keys are wanted."""
        key = given.credentials.encode() if given else b""
        right = [hmac.compare_digest(key, known.encode()) for known in self.options.api_keys]
        if right and not any(right):
            raise HTTPException(
                401,
                "no API key, or a wrong one: send Authorization: Bearer KEY",
                {"WWW-Authenticate": "Bearer"},
            )


def create_app(mova: Mova, options: Options) -> FastAPI:
    """The app; its engine runs at once, and ends, drained, with the app's lifespan."""
    server = Server(mova, options)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(server.engine.close)

    app = FastAPI(
        title="openmova",
        version=version("openmova"),
        summary="Questions about images, answered by a mixture of vision experts.",
        lifespan=lifespan,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.server = server
    for kind in (HTTPException, UserError, Unavailable, TimeoutError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, error_response)
    _add_chat(app, server)
    _add_state(app, server)
    app.openapi = lambda: _openapi(app)  # type: ignore[method-assign]
    if options.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(MetricsMiddleware, metrics=server.metrics)
    return app


def _add_chat(app: FastAPI, server: Server) -> None:
    options = server.options
    body = {
        "required": True,
        "content": {
            "application/json": {"schema": {"$ref": f"{SCHEMAS}ChatRequest"}},
            "multipart/form-data": {
                "schema": {
                    "type": "object",
                    "required": ["request", "image"],
                    "properties": {
                        "request": {
                            "type": "string",
                            "contentMediaType": "application/json",
                            "contentSchema": {"$ref": f"{SCHEMAS}ChatRequest"},
                        },
                        "image": {"type": "string", "format": "binary"},
                    },
                }
            },
        },
    }
    chunk = {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": {"$ref": f"{SCHEMAS}ChatChunk"},
    }
    data = {"anyOf": [{"const": "[DONE]", "description": "The last event."}, chunk]}
    event = {"type": "object", "required": ["data"], "properties": {"data": data}}
    stream = {"text/event-stream": {"itemSchema": event}}

    @app.post(
        "/v1/chat/completions",
        dependencies=[Depends(server.check_key)],
        responses={200: {"model": ChatCompletion, "content": stream}, **FAILURES},
        openapi_extra={"requestBody": body},
    )
    async def create_chat_completion(request: Request) -> Response:
        """Answer the last question of a conversation about an image."""
        async with AsyncExitStack() as held:
            held.enter_context(server.taken())
            wanted, upload = await read_chat(request, options.body_bytes)
            server.check_model(wanted.model)
            question = await run_in_threadpool(
                question_of,
                wanted,
                upload,
                server.mova,
                options.rules,
                options.max_batch_size,
                server.opening,
            )
            completion = Completion(request, server.engine, question, options.model, server.metrics)
            if not wanted.stream:
                return JSONResponse((await completion.whole()).model_dump())
            usage = bool(wanted.stream_options and wanted.stream_options.include_usage)
            chunks = await held.enter_async_context(aclosing(completion.stream(usage=usage)))
            first = await anext(chunks)  # until then an error has a status
            return EventStream(first, chunks, held.pop_all())

    @app.get("/v1/models", dependencies=[Depends(server.check_key)], responses={401: FAILURES[401]})
    async def list_models() -> ModelList:
        """The one model that this server has."""
        return ModelList(data=[server.info])

    @app.get(
        "/v1/models/{model:path}",
        dependencies=[Depends(server.check_key)],
        responses={401: FAILURES[401], 404: FAILURES[404]},
    )
    async def retrieve_model(model: str) -> ModelInfo:
        """The model, if this server has it."""
        server.check_model(model)
        return server.info


def _add_state(app: FastAPI, server: Server) -> None:
    @app.get("/health", response_class=PlainTextResponse)
    async def health() -> str:
        """Whether the server runs."""
        return "ok"

    @app.get("/ready", response_class=PlainTextResponse, responses={503: {}})
    async def ready() -> Response:
        """Whether it takes questions."""
        if server.engine.ready and not server.closing:
            return PlainTextResponse("ready")
        return PlainTextResponse("closing", 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return PlainTextResponse(server.metrics.text())


class EventStream(StreamingResponse):
    """Chunks as server-sent events; an error in the midst of them is the last one.

    held: what is let go at the end, also where the client has gone before the beginning.
    """

    def __init__(
        self, first: ChatChunk, rest: AsyncIterator[ChatChunk], held: AsyncExitStack
    ) -> None:
        headers = {"Cache-Control": "no-cache"}
        super().__init__(self._events(first, rest), headers=headers, media_type="text/event-stream")
        self._held = held

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._held:
            await super().__call__(scope, receive, send)

    async def _events(self, first: ChatChunk, rest: AsyncIterator[ChatChunk]) -> AsyncIterator[str]:
        try:
            yield f"data: {first.to_json()}\n\n"
            async for chunk in rest:
                yield f"data: {chunk.to_json()}\n\n"
            yield "data: [DONE]\n\n"
        except ClientDisconnect:
            return
        except Exception as error:  # noqa: BLE001 - the status is sent already
            _, info = error_info(error)
            yield f"data: {ErrorAnswer(error=info).model_dump_json()}\n\n"


def _openapi(app: FastAPI) -> dict[str, Any]:
    """The document, with the models that only the bodies name."""
    if app.openapi_schema is None:
        document = get_openapi(
            title=app.title, version=app.version, summary=app.summary, routes=app.routes
        )
        schemas = document.setdefault("components", {}).setdefault("schemas", {})
        for model in (ChatRequest, ChatChunk):
            made = model.model_json_schema(ref_template=SCHEMAS + "{model}")
            schemas |= made.pop("$defs", {})
            schemas[model.__name__] = made
        schemas["ChatRequest"]["properties"]["model"]["enum"] = [app.state.server.options.model]
        app.openapi_schema = document
    return app.openapi_schema


class MetricsMiddleware:
    """Counts answers and their seconds."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started, status = time.perf_counter(), 500

        async def noting(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, noting)
        finally:
            route = scope.get("route")  # a path that we have, not whatever was asked for
            path = getattr(route, "path", "other")
            self._metrics.request(path, status, time.perf_counter() - started)
