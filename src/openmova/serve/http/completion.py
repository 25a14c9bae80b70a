"""One chat completion: the events of the engine to OpenAI's answer, whole or as a stream."""

from __future__ import annotations

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, AsyncIterator
from contextlib import aclosing, suppress
from typing import Any

from starlette.requests import ClientDisconnect, Request

from openmova.inference.engine import Engine, Event, Failure, Piece, Question, Reply, RoutingEvent
from openmova.serve.http.metrics import Metrics
from openmova.serve.http.protocol import (
    AnswerChoice,
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    ChunkChoice,
    Delta,
    MovaInfo,
    RoutingInfo,
    Usage,
)


class Completion:
    """A question that the engine was asked for a client.

    It is cancelled when the client goes. Reading it raises what the engine failed with.
    """

    def __init__(
        self, request: Request, engine: Engine, question: Question, model: str, metrics: Metrics
    ) -> None:
        self._request = request
        self._engine = engine
        self._question = question
        self._metrics = metrics
        self._head: dict[str, Any] = {
            "id": f"chatcmpl-{secrets.token_hex(12)}",
            "created": int(time.time()),
            "model": model,
        }
        self._prompt_tokens = 0
        self._written = 0

    async def whole(self) -> ChatCompletion:
        """All answers at once."""
        replies: list[Reply] = []
        async with aclosing(self._events()) as events:
            async for event in events:
                if isinstance(event, Reply):
                    replies.append(event)
        replies.sort(key=lambda reply: reply.number)
        answer = max((reply.answer for reply in replies), key=lambda a: a.timings["total"])
        info = _looked(RoutingEvent(answer.routing, answer.gates))
        return ChatCompletion(
            **self._head,
            choices=[
                AnswerChoice(
                    index=reply.number,
                    message=AnswerMessage(content=reply.answer.text),
                    finish_reason=reply.finish,
                )
                for reply in replies
            ],
            usage=self._usage(),
            mova=info.model_copy(update={"timings": answer.timings}),
        )

    async def stream(self, *, usage: bool) -> AsyncGenerator[ChatChunk, None]:
        """Chunk by chunk; usage: whether one at the end says the numbers of tokens."""
        async with aclosing(self._events()) as events:
            async for event in events:
                if isinstance(event, RoutingEvent):
                    opening = Delta(role="assistant", content="")
                    yield self._chunk(*range(self._question.answers), delta=opening, mova=event)
                elif isinstance(event, Piece):
                    yield self._chunk(event.number, delta=Delta(content=event.text))
                elif isinstance(event, Reply):
                    yield self._chunk(event.number, delta=Delta(), mova=event)
        if usage:
            yield ChatChunk(**self._head, choices=[], usage=self._usage())

    def _chunk(
        self, *numbers: int, delta: Delta, mova: RoutingEvent | Reply | None = None
    ) -> ChatChunk:
        finish = mova.finish if isinstance(mova, Reply) else None
        info = None
        if isinstance(mova, Reply):
            info = MovaInfo(timings=mova.answer.timings)
        elif mova is not None:
            info = _looked(mova)
        choices = [ChunkChoice(index=n, delta=delta, finish_reason=finish) for n in numbers]
        return ChatChunk(**self._head, choices=choices, mova=info)

    async def _events(self) -> AsyncGenerator[Event, None]:
        """What the engine tells, to the last answer."""
        told: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def deliver(event: Event) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(told.put_nowait, event)

        ticket = self._engine.submit(self._question, deliver)
        gone = asyncio.ensure_future(_disconnected(self._request))
        missing = self._question.answers
        try:
            async for event in _until(told, gone):
                if isinstance(event, Failure):
                    raise event.error
                if isinstance(event, Reply):
                    missing -= 1
                    self._prompt_tokens = ticket.prompt_tokens
                    first = self._written == 0
                    self._metrics.reply(event, ticket.prompt_tokens if first else 0)
                    self._written += event.tokens
                yield event
                if not missing:
                    return
        finally:
            gone.cancel()
            self._engine.cancel(ticket)

    def _usage(self) -> Usage:
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._written,
            total_tokens=self._prompt_tokens + self._written,
        )


async def _until(told: asyncio.Queue[Event], gone: asyncio.Future[None]) -> AsyncIterator[Event]:
    """Events as they come. Raises ClientDisconnect once the client has gone."""
    while True:
        following = asyncio.ensure_future(told.get())
        try:
            both: set[asyncio.Future[Any]] = {following, gone}
            await asyncio.wait(both, return_when=asyncio.FIRST_COMPLETED)
        finally:
            if not following.done():
                following.cancel()
        if following.cancelled() or not following.done():
            raise ClientDisconnect
        yield following.result()


async def _disconnected(request: Request) -> None:
    while (await request.receive())["type"] != "http.disconnect":
        pass


def _looked(routed: RoutingEvent) -> MovaInfo:
    """Routing and gates as plain JSON types."""
    routing, names = routed.routing, routed.routing.experts
    return MovaInfo(
        routing=RoutingInfo(experts=list(names), scores=routing.scores, raw=routing.raw),
        gates=[dict(zip(names, block, strict=True)) for block in routed.gates.tolist()],
    )
