"""What vLLM is asked: the routing of a question, and then its answer by the experts chosen."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

from transformers import AutoProcessor

from openmova.checkpoints.locate import checkpoint_folder
from openmova.errors import UserError
from openmova.images.opening import ImageSource
from openmova.inference.limits import check_question
from openmova.inference.session import Message, Picture, user_turn
from openmova.model.adapter import AdapterConfig
from openmova.model.configuration_mova import MovaConfig
from openmova.model.processing_mova import MovaProcessor
from openmova.routing import routing_prompt
from openmova.routing.selection import ExpertSelection


@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """A request's `mm_processor_kwargs`: experts (names, "all" or "none") and question, or pooled.

    question: what the gate reads; pooled: few tokens of the base encoder, as the router sees them;
    tokens: how many image tokens there are, where that follows the experts' maps. A conversation
    of several pictures has "pictures" instead: these options by the pictures' fingerprints.
    """

    experts: tuple[bool, ...]
    question: str
    pooled: bool
    tokens: int | None = None

    @classmethod
    def of(cls, given: Mapping[str, Any], pool: Sequence[str], picture: str = "") -> Self:
        """picture: its fingerprint. Raises UserError if it is not said who looks, or nothing is
        asked of them."""
        if isinstance(each := given.get("pictures"), Mapping):
            given = each.get(picture, {})
        pooled = bool(given.get("pooled"))
        experts, question = given.get("experts"), str(given.get("question", "")).strip()
        if pooled:
            experts = "none"
        elif experts is None:
            raise UserError(
                "vLLM has no routing pass of its own: start the server with VLLM_PLUGINS=openmova, "
                "or say which experts look, with mm_processor_kwargs "
                '{"experts": [...], "question": ...}; "none" and "all" do too'
            )
        fixed = ExpertSelection.of(experts, None, pool).fixed or ()
        if any(fixed) and not question:
            raise UserError(
                "the gate weighs the experts by the question: give mm_processor_kwargs "
                '"question", beside "experts"'
            )
        tokens = given.get("tokens")
        if tokens is not None and type(tokens) is not int:
            raise UserError(f"mm_processor_kwargs has tokens {tokens!r}: give a number, or none")
        return cls(experts=fixed, question=question, pooled=pooled, tokens=tokens)

    def image_tokens(self, adapter: AdapterConfig, routing_tokens: int) -> int:
        """How many places a picture takes in the prompt. Raises UserError if that is not known."""
        if self.pooled:
            return routing_tokens
        if adapter.summary_grid is None:
            return adapter.tokens
        if not any(self.experts):
            return adapter.summary_tokens
        if self.tokens is None:
            raise UserError(
                "this model's number of image tokens follows the experts' maps: ask a server that "
                "was started with VLLM_PLUGINS=openmova, or MovaLLM"
            )
        return min(max(self.tokens, 1), adapter.tokens)


class Requests:
    """Makes the prompts that vLLM's `LLM.generate` takes for the checkpoint in `folder`."""

    def __init__(self, folder: Path, config: MovaConfig, processor: MovaProcessor) -> None:
        self.folder = folder
        self.config = config
        self.processor = processor

    @classmethod
    def of(cls, source: str | os.PathLike[str] = "nano") -> Self:
        """For "nano", the folder of a checkpoint, or a repository of the hub."""
        folder = checkpoint_folder(source)
        config = MovaConfig.from_pretrained(folder)
        return cls(folder, config, AutoProcessor.from_pretrained(folder))

    def routing(self, image: ImageSource | Picture, question: str) -> dict[str, Any]:
        """Asks which experts are needed; `RoutingPass` says how, and reads the answer."""
        question = check_question(question)
        asked = routing_prompt(
            self.config.routing.instruction, self.processor.descriptions, question
        )
        picture = self._picture(image)
        return self._request(self.processor.routing_turn(asked, picture), picture, pooled=True)

    def answer(
        self,
        image: ImageSource | Picture,
        question: str,
        experts: str | Sequence[str],
        tokens: int | None = None,
    ) -> dict[str, Any]:
        """Asks the question of these experts: names, "all" or "none". tokens: see `count`."""
        question = check_question(question)
        options: dict[str, Any] = {"experts": experts, "question": question}
        if tokens is not None:
            options["tokens"] = tokens
        RequestOptions.of(options, self.config.expert_names)
        picture = self._picture(image)
        return self._request(user_turn(question, [picture]), picture, **options)

    def count(
        self, picture: Picture, question: str, experts: Sequence[str]
    ) -> tuple[Any, ...] | None:
        """What vLLM's worker is asked (`COUNT`) for the number of image tokens; None where it is
        known, as it does not follow the experts' maps."""
        if self.config.adapter.summary_grid is None or not experts:
            return None
        (pixels,) = self.processor.image_processor([picture.image])["pixel_values"]
        asked = self.processor.question_inputs([question])["question_input_ids"][0]
        chosen = [name in experts for name in self.config.expert_names]
        return pixels.numpy().tobytes(), list(pixels.shape), picture.fingerprint, asked, chosen

    def _picture(self, image: ImageSource | Picture) -> Picture:
        return image if isinstance(image, Picture) else Picture.of(image, self.processor)

    def _request(self, turn: Message, picture: Picture, **options: Any) -> dict[str, Any]:
        """The ids of the prompt, with one image token, which vLLM makes as many as are needed."""
        processor = self.processor
        ids = processor.prompt_ids(processor.render([turn]))
        first = ids.index(processor.image_token_id)
        del ids[first + 1 : first + processor.image_tokens]
        return {
            "prompt_token_ids": ids,
            "multi_modal_data": {"image": picture.image},
            "mm_processor_kwargs": options,
        }
