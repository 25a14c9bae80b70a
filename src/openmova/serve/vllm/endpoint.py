"""One request for both passes: vLLM's chat completions for a MoVA, by an endpoint plug-in.

    VLLM_PLUGINS=openmova vllm serve FOLDER

It takes over `/v1/chat/completions`: asks the router about every image, in this process and by the
engine that answers, decides on the experts, and hands the request with them to vLLM's own chat
code. What is streamed, counted, parsed and refused there stays vLLM's. Other models' requests go
there as they are.
"""

from __future__ import annotations

import asyncio
import json
import time
from argparse import Namespace
from collections.abc import AsyncIterator, Mapping
from copy import copy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from uuid import uuid4

from fastapi import APIRouter, Depends, FastAPI, Request
from fastapi.responses import JSONResponse, Response, StreamingResponse
from pydantic import ValidationError
from starlette.datastructures import State
from transformers import AutoProcessor
from vllm.engine.protocol import EngineClient
from vllm.entrypoints.generate.base.protocol import validate_request_mm_kwargs
from vllm.entrypoints.openai.chat_completion import api_router
from vllm.entrypoints.openai.chat_completion.protocol import (
    ChatCompletionRequest,
    ChatCompletionResponse,
)
from vllm.entrypoints.serve.engine.protocol import ErrorResponse
from vllm.entrypoints.serve.utils.api_utils import (
    load_aware_call,
    validate_json_request,
    with_cancellation,
)
from vllm.entrypoints.serve.utils.sse_keep_alive import with_sse_keep_alive
from vllm.exceptions import VLLMValidationError
from vllm.renderers.chat_utils import parse_chat_messages_async
from vllm.renderers.inputs.preprocess import parse_model_prompt

from openmova.errors import UserError
from openmova.inference.limits import check_pictures
from openmova.inference.session import Picture
from openmova.model.configuration_mova import MovaConfig
from openmova.routing import Routing
from openmova.routing.selection import ExpertSelection
from openmova.serve.http.protocol import MovaOptions
from openmova.serve.vllm import COUNT
from openmova.serve.vllm.conversation import picture_messages, picture_questions
from openmova.serve.vllm.offline import RouterAdapter, routing_sampling
from openmova.serve.vllm.requests import Requests
from openmova.serve.vllm.router_adapter import max_rank
from openmova.serve.vllm.routing_pass import RoutingPass

EVENT = "data: "

router = APIRouter()


@router.post("/v1/chat/completions", dependencies=[Depends(validate_json_request)])
async def create_chat_completion(request: ChatCompletionRequest, raw_request: Request) -> Response:
    is_mova = raw_request.app.state.mova_chat is not None
    answer = answer_mova if is_mova else api_router.create_chat_completion
    response: Response = await answer(request, raw_request)
    return response


@with_cancellation
@load_aware_call
async def answer_mova(request: ChatCompletionRequest, raw_request: Request) -> Response:
    chat: MovaChat = raw_request.app.state.mova_chat
    return await chat.answer(request, raw_request)


class EndpointPlugin:
    """What vLLM finds by the entry point."""

    name = "openmova"
    required_tasks = ("generate",)

    def attach_router(self, app: FastAPI) -> None:
        app.include_router(router)

    async def init_state(
        self, engine_client: EngineClient | None, state: State, args: Namespace
    ) -> None:
        state.mova_chat = None
        if engine_client is not None:
            config = engine_client.vllm_config.model_config.hf_config
            if isinstance(config, MovaConfig):
                state.mova_chat = MovaChat(engine_client, state)


@dataclass
class RoutingReport:
    """What an answer says in `mova`: how each picture was looked at, and what that took."""

    routings: list[Routing]
    started: float
    seconds: dict[str, float] = field(default_factory=dict)

    def to_dict(self, *, ended: bool) -> dict[str, Any]:
        images = [{"routing": one.to_dict()} for one in self.routings or [Routing.given((), ())]]
        total = {"total": time.perf_counter() - self.started} if ended else {}
        return {
            **images[-1],
            **({"images": images} if len(images) > 1 else {}),
            "timings": {**self.seconds, **total},
        }


class MovaChat:
    """Chat completions of one MoVA."""

    def __init__(self, engine: EngineClient, state: State) -> None:
        model = engine.vllm_config.model_config
        self._engine = engine
        self._model = model
        self._requests = Requests(
            Path(model.model),
            model.hf_config,
            AutoProcessor.from_pretrained(model.model),
        )
        self._pass = RoutingPass(model.hf_config, self._requests.processor.tokenizer)
        lora = model.hf_config.routing.lora
        if lora is not None and engine.vllm_config.lora_config is None:
            raise UserError(
                "this checkpoint's router has a LoRA of its own: start vLLM with --enable-lora "
                f"--max-lora-rank {max_rank(lora)}"
            )
        self._adapter = RouterAdapter(self._requests)
        self._clients_trusted: bool = state.online_renderer.trust_request_mm_kwargs
        # vLLM's own, but that it takes what this process says about experts; clients' words are
        # refused before.
        self._chat = copy(state.openai_serving_chat)
        self._chat.online_renderer = copy(state.online_renderer)
        self._chat.online_renderer.trust_request_mm_kwargs = True
        self._keep_alive = float(state.args.sse_keep_alive_interval)

    async def answer(self, request: ChatCompletionRequest, raw_request: Request) -> Response:
        """Both passes. Raises VLLMValidationError, which vLLM answers with 400."""
        report = RoutingReport([], time.perf_counter())
        try:
            await self._choose_experts(request, report)
        except UserError as error:
            raise VLLMValidationError(str(error)) from error
        result = await self._chat.create_chat_completion(request, raw_request)
        if isinstance(result, ErrorResponse):
            return JSONResponse(result.model_dump(), status_code=result.error.code)
        if isinstance(result, ChatCompletionResponse):
            return JSONResponse({**result.model_dump(), "mova": report.to_dict(ended=True)})
        events = with_sse_keep_alive(_with_mova(result, report), self._keep_alive)
        return StreamingResponse(events, media_type="text/event-stream")

    async def _choose_experts(self, request: ChatCompletionRequest, report: RoutingReport) -> None:
        """Open the request's images and decide on the experts, which it then has."""
        selection = self._selection(request)
        for message in request.messages:
            if not isinstance(message.get("content"), str | None):  # iterators, to be read once
                message["content"] = list(message["content"])
        validate_request_mm_kwargs(
            mm_processor_kwargs=None,
            media_io_kwargs=request.media_io_kwargs,
            trust_request_mm_kwargs=self._clients_trusted,
        )
        pictures = await self._pictures(request)
        processor = self._requests.processor
        request.messages = picture_messages(request.messages, pictures, processor)
        if request.temperature is None:
            request.temperature = self._chat.default_sampling_params.get("temperature", 0.0)
        if not pictures:
            return
        questions = picture_questions(request.messages, processor)
        report.seconds["prepare"] = time.perf_counter() - report.started
        salt = request.cache_salt
        asked = list(zip(pictures, questions, strict=True))
        routed = time.perf_counter()
        report.routings = list(
            await asyncio.gather(*(self._route(*one, selection, salt) for one in asked))
        )
        report.seconds["routing"] = time.perf_counter() - routed
        counted = time.perf_counter()
        options = await asyncio.gather(
            *(self._options(*one, look) for one, look in zip(asked, report.routings, strict=True))
        )
        report.seconds["experts"] = time.perf_counter() - counted
        named = (picture.fingerprint.hex() for picture in pictures)
        request.mm_processor_kwargs = {"pictures": dict(zip(named, options, strict=True))}

    def _selection(self, request: ChatCompletionRequest) -> ExpertSelection:
        """Who decides. Raises UserError for what a client must not or cannot say of it."""
        if request.mm_processor_kwargs:
            raise UserError(
                "mm_processor_kwargs are this server's own: say who looks with "
                '"mova": {"experts": [...]}, or let the router choose'
            )
        try:
            given = MovaOptions.model_validate((request.model_extra or {}).get("mova") or {})
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(map(str, ("mova", *first["loc"])))
            raise UserError(f"{where}: {first['msg']}") from error
        if given.budget is not None:
            raise UserError("mova.budget is for openmova serve: limit vLLM with mova.max_experts")
        return given.selection(self._requests.config.expert_names)

    async def _pictures(self, request: ChatCompletionRequest) -> list[Picture]:
        """The images, fetched within vLLM's rules and opened within ours."""
        _, data, _ = await parse_chat_messages_async(
            request.messages,
            self._model,
            content_format="string",
            media_io_kwargs=request.media_io_kwargs,
        )
        images = list((data or {}).get("image") or [])
        if set(data or ()) - {"image"} or any(image is None for image in images):
            raise UserError("this model takes images alone, sent with their messages")
        check_pictures(len(images))
        return list(await asyncio.gather(*(asyncio.to_thread(self._open, one) for one in images)))

    def _open(self, image: Any) -> Picture:
        source = getattr(image, "original_bytes", image)  # vLLM's wrapper around what was sent
        picture = Picture.of(source, self._requests.processor)
        picture.fingerprint  # noqa: B018 - computed here, in a thread
        return picture

    async def _route(
        self, picture: Picture, question: str, selection: ExpertSelection, salt: str | None
    ) -> Routing:
        if (known := self._pass.without_asking(selection)) is not None:
            return known
        prompt = self._requests.routing(picture, question)
        if salt is not None:
            prompt["cache_salt"] = salt
        sampling = routing_sampling(self._pass)
        renderer = self._engine.renderer
        (given,) = await renderer.render_cmpl_async([parse_model_prompt(self._model, prompt)])
        outputs = self._engine.generate(
            given, sampling, f"routing-{uuid4()}", lora_request=self._adapter.request
        )
        async for output in outputs:
            last = output
        return self._pass.read(last.outputs[0], selection)

    async def _options(self, picture: Picture, question: str, look: Routing) -> dict[str, Any]:
        """What the answer's pass is report about a picture; here, and nowhere else, it is set."""
        options: dict[str, Any] = {"experts": list(look.experts), "question": question}
        if counted := self._requests.count(picture, question, look.experts):
            options["tokens"], *_ = await self._engine.collective_rpc(COUNT, args=counted)
        return options


async def _with_mova(chunks: AsyncIterator[str], report: RoutingReport) -> AsyncIterator[str]:
    """The stream of vLLM's chat code, with `mova` in its first chunk."""
    first = True
    async for chunk in chunks:
        if first:
            event: Mapping[str, Any] = json.loads(chunk.removeprefix(EVENT))
            chunk = f"{EVENT}{json.dumps({**event, 'mova': report.to_dict(ended=False)})}\n\n"
            first = False
        yield chunk
