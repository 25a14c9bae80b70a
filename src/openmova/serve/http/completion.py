"""One chat completion: the events of the engine to OpenAI's answer, whole or as a stream."""

import asyncio
import secrets
import time
from collections.abc import AsyncGenerator, Sequence
from contextlib import aclosing, suppress
from typing import Any

from starlette.requests import ClientDisconnect, Request

from openmova.inference.answer import Answer, Look
from openmova.inference.engine import Engine, Event, Failure, Piece, Question, Reply, RoutingEvent
from openmova.serve.http.metrics import Metrics
from openmova.serve.http.protocol import (
    AnswerChoice,
    AnswerMessage,
    ChatChunk,
    ChatCompletion,
    ChunkChoice,
    Delta,
    LikelyToken,
    Logprobs,
    MovaInfo,
    Usage,
    WrittenToken,
)

Output = RoutingEvent | Piece | Reply


class Completion:
    """A question that the engine is asked for a client.

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
        self._completion_tokens = 0

    async def whole(self) -> ChatCompletion:
        """All answers at once."""
        async with aclosing(self._events()) as events:
            replies = [event async for event in events if isinstance(event, Reply)]
        replies.sort(key=lambda reply: reply.number)
        answer = max((reply.answer for reply in replies), key=lambda a: a.timings["total"])
        info = _routing_info(answer)
        return ChatCompletion(
            **self._head,
            choices=[
                AnswerChoice(
                    index=reply.number,
                    message=AnswerMessage(content=reply.answer.text),
                    finish_reason=reply.finish,
                    logprobs=self._logprobs(reply),
                )
                for reply in replies
            ],
            usage=self._usage(),
            mova=info.model_copy(update=_outcome(answer, replies)),
        )

    async def stream(self, *, usage: bool) -> AsyncGenerator[ChatChunk, None]:
        """Chunk by chunk; usage: whether one at the end says the numbers of tokens."""
        async with aclosing(self._events()) as events:
            async for event in events:
                yield self._chunk(event)
        if usage:
            yield ChatChunk(**self._head, choices=[], usage=self._usage())

    def _chunk(self, event: Output) -> ChatChunk:
        match event:
            case RoutingEvent():
                opening = Delta(role="assistant", content="")
                numbers = range(self._question.answers)
                choices = [ChunkChoice(index=number, delta=opening) for number in numbers]
                return ChatChunk(**self._head, choices=choices, mova=_routing_info(event))
            case Piece():
                choice = ChunkChoice(
                    index=event.number,
                    delta=Delta(content=event.text),
                    logprobs=self._logprobs(event),
                )
                return ChatChunk(**self._head, choices=[choice])
            case Reply():
                end = ChunkChoice(
                    index=event.number,
                    delta=Delta(),
                    finish_reason=event.finish,
                    logprobs=self._logprobs(event),
                )
                outcome = MovaInfo(**_outcome(event.answer, [event]))
                return ChatChunk(**self._head, choices=[end], mova=outcome)

    async def _events(self) -> AsyncGenerator[Output, None]:
        """What the engine tells, to the last answer."""
        queue: asyncio.Queue[Event] = asyncio.Queue()
        loop = asyncio.get_running_loop()

        def deliver(event: Event) -> None:
            with suppress(RuntimeError):  # the loop is closed: nobody listens any more
                loop.call_soon_threadsafe(queue.put_nowait, event)

        async def watch_client() -> None:
            while (await self._request.receive())["type"] != "http.disconnect":
                pass
            queue.put_nowait(Failure(ClientDisconnect()))

        ticket = self._engine.submit(self._question, deliver)
        watcher = asyncio.create_task(watch_client())
        missing = self._question.answers
        try:
            while missing:
                event = await queue.get()
                if isinstance(event, Failure):
                    raise event.error
                if isinstance(event, Reply):
                    missing -= 1
                    # The prompt is read once for all answers.
                    self._metrics.reply(event, 0 if self._prompt_tokens else ticket.prompt_tokens)
                    self._prompt_tokens = ticket.prompt_tokens
                    self._completion_tokens += event.tokens
                yield event
        finally:
            watcher.cancel()
            self._engine.cancel(ticket)

    def _logprobs(self, event: Piece | Reply) -> Logprobs | None:
        if self._question.scored is None:
            return None
        return Logprobs(
            content=[
                WrittenToken.of(
                    score.text,
                    score.log_prob,
                    top_logprobs=[LikelyToken.of(*likely) for likely in score.likeliest],
                )
                for score in event.scores
            ]
        )

    def _usage(self) -> Usage:
        return Usage(
            prompt_tokens=self._prompt_tokens,
            completion_tokens=self._completion_tokens,
            total_tokens=self._prompt_tokens + self._completion_tokens,
        )


def _outcome(answer: Answer, replies: Sequence[Reply]) -> dict[str, Any]:
    """Timings of one answer; how sure all of them are, if the model is calibrated."""
    if answer.confidence is None:
        return {"timings": answer.timings}
    return {
        "timings": answer.timings,
        "confidence": [reply.answer.confidence for reply in replies],
        "unsure": [reply.answer.is_unsure for reply in replies],
    }


def _routing_info(told: RoutingEvent | Answer) -> MovaInfo:
    """Routing and gates as plain JSON types."""
    last = Look(told.routing, told.gates).to_dict()
    several = [look.to_dict() for look in told.looks] if len(told.looks) > 1 else None
    return MovaInfo.model_validate({**last, "images": several})
