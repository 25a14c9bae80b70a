"""The ASGI app: OpenAI's chat completions around an engine."""

import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator, Iterator
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, contextmanager
from importlib.metadata import version
from typing import Annotated, Any

from anyio import CapacityLimiter, to_thread
from fastapi import Depends, FastAPI
from fastapi.openapi.utils import get_openapi
from fastapi.security import HTTPAuthorizationCredentials, HTTPBearer
from pydantic.json_schema import models_json_schema
from starlette.concurrency import run_in_threadpool
from starlette.exceptions import HTTPException
from starlette.middleware.cors import CORSMiddleware
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, PlainTextResponse, Response, StreamingResponse
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openmova.errors import UserError
from openmova.inference.engine import Engine, Question, Unavailable
from openmova.inference.mova import Mova
from openmova.inference.schemas import SchemaCompiler, SchemaGuide
from openmova.inference.session import Picture
from openmova.serve.http.api_errors import add_error_handlers, error_info
from openmova.serve.http.chat_request import image_sources, make_question, read_image
from openmova.serve.http.completion import Completion
from openmova.serve.http.metrics import Metrics
from openmova.serve.http.protocol import (
    BadRequest,
    ChatChunk,
    ChatCompletion,
    ChatRequest,
    ErrorAnswer,
    ModelInfo,
    ModelList,
    ResponseFormat,
)
from openmova.serve.http.request_body import read_body
from openmova.serve.http.server_options import ServerOptions

MAX_OPEN_IMAGES = 4
"""Images that are opened at once; each takes its pixels' memory while it is."""
SCHEMAS = "#/components/schemas/"
FAILURES: dict[int | str, dict[str, Any]] = {
    status: {"model": ErrorAnswer, "description": description}
    for status, description in {
        400: "The request is not right; the message says why.",
        401: "No API key, or a wrong one.",
        404: "No such model.",
        408: "The body came too slowly.",
        413: "The body is too large.",
        429: "The queue is full; see Retry-After.",
        503: "No place was free in time; see Retry-After.",
    }.items()
}


class ServerState:
    """What the routes share."""

    def __init__(self, mova: Mova, options: ServerOptions) -> None:
        self.mova = mova
        self.options = options
        self.metrics = Metrics()
        self.engine = Engine(
            mova,
            max_batch_size=options.max_batch_size,
            max_queue=options.max_queue,
            on_batch=self.metrics.batch,
        )
        # Now, as a tokenizer does not stand being read while the engine uses it.
        self.schemas = SchemaCompiler(mova.processor.tokenizer, sorted(mova.end))
        self.metrics.watch(self.engine, lambda: self.in_hand)
        self.info = ModelInfo(
            id=options.model, created=int(time.time()), experts=list(mova.experts)
        )
        self.closing = False
        """Set to take no more requests; those in hand are answered."""
        self.in_hand = 0
        self.image_limiter = CapacityLimiter(MAX_OPEN_IMAGES)

    @contextmanager
    def admission(self) -> Iterator[None]:
        """Counts a request from its first byte, so that pictures in memory are bounded, too."""
        if self.closing:
            raise Unavailable("the server is closing: ask again", retry_after=1)
        if self.in_hand >= self.options.max_requests:
            raise Unavailable(
                f"{self.options.max_requests} requests are in hand: ask again later",
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
        credentials: Annotated[
            HTTPAuthorizationCredentials | None, Depends(HTTPBearer(auto_error=False))
        ],
    ) -> None:
        """Raises HTTPException without a right key, where keys are wanted."""
        key = credentials.credentials.encode() if credentials else b""
        matches = [secrets.compare_digest(key, k.encode()) for k in self.options.api_keys]
        if matches and not any(matches):
            raise HTTPException(
                401,
                "no API key, or a wrong one: send Authorization: Bearer KEY",
                {"WWW-Authenticate": "Bearer"},
            )

    async def question(self, request: ChatRequest, upload: bytes | None) -> Question:
        """Fetches the pictures that are elsewhere, and opens each in its turn."""
        pictures: list[list[Picture]] = []
        for number, sources in enumerate(image_sources(request.messages, upload)):
            try:
                pictures.append([await self.picture(source) for source in sources])
            except UserError as error:
                where = f"messages.{number}"
                raise BadRequest(f"{where}: {error}", where) from error
        guide = await self.guide(request.response_format)
        return make_question(request, pictures, self.options, self.mova.experts, guide)

    async def guide(self, wanted: ResponseFormat | None) -> SchemaGuide | None:
        """Of a schema that the answer is to follow, if any."""
        schema = None if wanted is None else wanted.schema_wanted
        if schema is None:
            return None
        try:
            return await to_thread.run_sync(self.schemas.guide, schema)
        except UserError as error:
            raise BadRequest(f"response_format: {error}", "response_format") from error

    async def picture(self, source: str | bytes) -> Picture:
        """Of a URL, or of an uploaded file."""
        data = await read_image(source, self.options) if isinstance(source, str) else source
        return await to_thread.run_sync(
            Picture.of,
            data,
            self.mova.processor,
            self.options.images,
            limiter=self.image_limiter,
        )


def create_app(mova: Mova, options: ServerOptions) -> FastAPI:
    """The app; its engine runs at once, and ends, drained, with the app's lifespan."""
    state = ServerState(mova, options)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(state.engine.close)

    app = FastAPI(
        title="openmova",
        version=version("openmova"),
        summary="Questions about images, answered by a mixture of vision experts.",
        lifespan=lifespan,
        docs_url=None,  # these pages would load scripts from elsewhere
        redoc_url=None,
    )
    app.state.server = state
    add_error_handlers(app)
    _add_chat(app, state)
    _add_status(app, state)
    document = _openapi(app, options.model)
    app.openapi = lambda: document  # type: ignore[method-assign]
    if options.origins:
        app.add_middleware(
            CORSMiddleware,
            allow_origins=list(options.origins),
            allow_methods=["GET", "POST"],
            allow_headers=["*"],
            expose_headers=["Retry-After"],
        )
    app.add_middleware(MetricsMiddleware, metrics=state.metrics)
    return app


def _json_in_text(schema: str) -> dict[str, Any]:
    reference = {"$ref": f"{SCHEMAS}{schema}"}
    return {
        "type": "string",
        "contentMediaType": "application/json",
        "contentSchema": reference,
    }


REQUEST_BODY = {
    "required": True,
    "content": {
        "application/json": {"schema": {"$ref": f"{SCHEMAS}ChatRequest"}},
        "multipart/form-data": {
            "schema": {
                "type": "object",
                "required": ["request", "image"],
                "properties": {
                    "request": _json_in_text("ChatRequest"),
                    "image": {"type": "string", "format": "binary"},
                },
            }
        },
    },
}
DONE = {"const": "[DONE]", "description": "The last event."}
EVENT = {
    "type": "object",
    "required": ["data"],
    "properties": {"data": {"anyOf": [DONE, _json_in_text("ChatChunk")]}},
}


def _add_chat(app: FastAPI, state: ServerState) -> None:
    with_key = [Depends(state.check_key)]

    @app.post(
        "/v1/chat/completions",
        dependencies=with_key,
        responses={
            200: {"model": ChatCompletion, "content": {"text/event-stream": {"itemSchema": EVENT}}},
            **FAILURES,
        },
        openapi_extra={"requestBody": REQUEST_BODY},
    )
    async def create_chat_completion(http_request: Request) -> Response:
        """Answer the last question of a conversation."""
        async with AsyncExitStack() as resources:
            resources.enter_context(state.admission())
            request, upload = await read_body(http_request, state.options.body_bytes)
            state.check_model(request.model)
            question = await state.question(request, upload)
            completion = Completion(
                http_request, state.engine, question, request.model, state.metrics
            )
            if not request.stream:
                return JSONResponse((await completion.whole()).model_dump())
            usage = bool(request.stream_options and request.stream_options.include_usage)
            chunks = await resources.enter_async_context(aclosing(completion.stream(usage=usage)))
            first = await anext(chunks)  # until then an error has a status
            return EventStream(first, chunks, resources.pop_all())

    @app.get("/v1/models", dependencies=with_key, responses={401: FAILURES[401]})
    async def list_models() -> ModelList:
        """The one model that this server has."""
        return ModelList(data=[state.info])

    @app.get(
        "/v1/models/{model:path}",
        dependencies=with_key,
        responses={401: FAILURES[401], 404: FAILURES[404]},
    )
    async def retrieve_model(model: str) -> ModelInfo:
        """The model, if this server has it."""
        state.check_model(model)
        return state.info


def _add_status(app: FastAPI, state: ServerState) -> None:
    @app.get("/health", response_class=PlainTextResponse)
    async def health() -> str:
        """Whether the server runs."""
        return "ok"

    @app.get("/ready", response_class=PlainTextResponse, responses={503: {}})
    async def ready() -> Response:
        """Whether it takes questions."""
        if state.engine.ready and not state.closing:
            return PlainTextResponse("ready")
        return PlainTextResponse("closing", 503)

    @app.get("/metrics", response_class=PlainTextResponse)
    async def metrics() -> Response:
        """Figures for Prometheus."""
        return PlainTextResponse(state.metrics.text())


class EventStream(StreamingResponse):
    """Chunks as server-sent events; an error in the midst of them is the last one.

    resources: closed at the end, also where the client has gone before the beginning.
    """

    def __init__(
        self, first: ChatChunk, rest: AsyncGenerator[ChatChunk, None], resources: AsyncExitStack
    ) -> None:
        headers = {"Cache-Control": "no-cache"}
        super().__init__(_events(first, rest), headers=headers, media_type="text/event-stream")
        self._resources = resources

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async with self._resources:
            await super().__call__(scope, receive, send)


async def _events(
    first: ChatChunk, rest: AsyncGenerator[ChatChunk, None]
) -> AsyncGenerator[str, None]:
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


def _openapi(app: FastAPI, model: str) -> dict[str, Any]:
    """The document, with the models that only the bodies name."""
    document = get_openapi(
        title=app.title, version=app.version, summary=app.summary, routes=app.routes
    )
    _, bodies = models_json_schema(
        [(ChatRequest, "validation"), (ChatChunk, "validation")],
        ref_template=SCHEMAS + "{model}",
    )
    schemas = document["components"]["schemas"]
    schemas |= bodies["$defs"]
    schemas["ChatRequest"]["properties"]["model"]["enum"] = [model]
    return document


class MetricsMiddleware:
    """Counts answers and their seconds."""

    def __init__(self, app: ASGIApp, metrics: Metrics) -> None:
        self._app = app
        self._metrics = metrics

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        if scope["type"] != "http":
            return await self._app(scope, receive, send)
        started, status = time.perf_counter(), 500

        async def send_noting_status(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
            await send(message)

        try:
            await self._app(scope, receive, send_noting_status)
        finally:
            route = scope.get("route")  # a path that we have, not whatever was asked for
            path = getattr(route, "path", "other")
            self._metrics.request(path, status, time.perf_counter() - started)
