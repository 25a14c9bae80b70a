"""MovaLLM: both passes for a list of questions, by vLLM in this process."""

from __future__ import annotations

import os
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from vllm import LLM, RequestOutput, SamplingParams
from vllm.lora.request import LoRARequest
from vllm.sampling_params import StructuredOutputsParams

from openmova.images.opening import ImageSource
from openmova.inference.limits import check_question
from openmova.inference.session import Picture
from openmova.routing import Routing
from openmova.routing.selection import Experts, ExpertSelection
from openmova.serve.vllm import COUNT
from openmova.serve.vllm.requests import Requests
from openmova.serve.vllm.router_adapter import NAME, max_rank, write_adapter
from openmova.serve.vllm.routing_pass import RoutingPass

ADAPTER_ID = 2**31 - 1
"""Beside those that vLLM counts up for a server's own LoRAs."""


@dataclass(frozen=True, kw_only=True)
class MovaOutput:
    """An answer, and how it came about."""

    text: str
    routing: Routing
    output: RequestOutput
    """vLLM's, of the answer's pass"""


class MovaLLM:
    """vLLM's `LLM` for a MoVA."""

    def __init__(self, source: str | os.PathLike[str] = "nano", **options: Any) -> None:
        """source: "nano", the folder of a checkpoint, or a repository of the hub; options: of
        `vllm.LLM`."""
        self.requests = Requests.of(source)
        lora = self.requests.config.routing.lora
        if lora is not None:
            options = {"enable_lora": True, "max_lora_rank": max_rank(lora), **options}
        self.llm = LLM(str(self.requests.folder), **options)
        self._adapter = RouterAdapter(self.requests)
        self._pass = RoutingPass(self.requests.config, self.requests.processor.tokenizer)

    def generate(
        self,
        items: Iterable[tuple[ImageSource, str]],
        sampling_params: SamplingParams | None = None,
        *,
        experts: Experts = None,
        max_experts: int | None = None,
    ) -> list[MovaOutput]:
        """Answer (picture, question) pairs, in order, each by the experts that its router names.

        sampling_params: of the answers; default: those of `Mova.ask`. experts, max_experts: as in
        `Mova.ask`. Raises UserError before vLLM is asked.
        """
        pool = self.requests.config.expert_names
        selection = ExpertSelection.of(experts, max_experts, pool)
        processor = self.requests.processor
        asked = [(Picture.of(image, processor), check_question(text)) for image, text in items]
        routing = self._route(asked, selection)
        prompts = [
            self.requests.answer(
                picture, question, look.experts, self._count(picture, question, look)
            )
            for (picture, question), look in zip(asked, routing, strict=True)
        ]
        sampling = sampling_params or SamplingParams(temperature=0.0, max_tokens=128)
        outputs = self.llm.generate(prompts, sampling, use_tqdm=False)
        return [
            MovaOutput(text=output.outputs[0].text.strip(), routing=look, output=output)
            for output, look in zip(outputs, routing, strict=True)
        ]

    def _route(
        self, asked: Sequence[tuple[Picture, str]], selection: ExpertSelection
    ) -> list[Routing]:
        if (known := self._pass.without_asking(selection)) is not None:
            return [known] * len(asked)
        prompts = [self.requests.routing(*one) for one in asked]
        outputs = self.llm.generate(
            prompts,
            routing_sampling(self._pass),
            use_tqdm=False,
            lora_request=self._adapter.request,
        )
        return [self._pass.read(output.outputs[0], selection) for output in outputs]

    def _count(self, picture: Picture, question: str, look: Routing) -> int | None:
        counted = self.requests.count(picture, question, look.experts)
        return None if counted is None else self.llm.collective_rpc(COUNT, args=counted)[0]


class RouterAdapter:
    """The router's LoRA, if the checkpoint has one, as a file for as long as this object lives."""

    def __init__(self, requests: Requests) -> None:
        self.request: LoRARequest | None = None
        lora = requests.config.routing.lora
        if lora is not None:
            self._folder = TemporaryDirectory(prefix="openmova-router-")
            write_adapter(requests.folder, lora, Path(self._folder.name))
            self.request = LoRARequest(NAME, ADAPTER_ID, self._folder.name)


def routing_sampling(routing_pass: RoutingPass) -> SamplingParams:
    """How vLLM samples the routing pass."""
    answers = routing_pass.answers()
    return SamplingParams(
        **routing_pass.sampling(),
        structured_outputs=None if answers is None else StructuredOutputsParams(choice=answers),
    )
