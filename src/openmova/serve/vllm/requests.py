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
from openmova.images.opening import ImageSource, load_image
from openmova.inference.limits import check_question
from openmova.inference.session import user_turn
from openmova.model.configuration_mova import MovaConfig
from openmova.model.processing_mova import MovaProcessor
from openmova.routing import expert_letters, parse_routing, routing_prompt
from openmova.routing.selection import ExpertSelection


@dataclass(frozen=True, kw_only=True)
class RequestOptions:
    """A request's `mm_processor_kwargs`: experts (names, "all" or "none") and question, or pooled.

    question: what the gate reads; pooled: few tokens of the base encoder, as the router sees them.
    """

    experts: tuple[bool, ...]
    question: str
    pooled: bool

    @classmethod
    def of(cls, given: Mapping[str, Any], pool: Sequence[str]) -> Self:
        """Raises UserError if it is not said who looks, or nothing is asked of them."""
        pooled = bool(given.get("pooled"))
        experts, question = given.get("experts"), str(given.get("question", "")).strip()
        if pooled:
            experts = "none"
        elif experts is None:
            raise UserError(
                "vLLM has no routing pass: say which experts look, with mm_processor_kwargs "
                '{"experts": [...], "question": ...}; "none" and "all" do too'
            )
        fixed = ExpertSelection.of(experts, None, pool).fixed or ()
        if any(fixed) and not question:
            raise UserError(
                "the gate weighs the experts by the question: give mm_processor_kwargs "
                '"question", beside "experts"'
            )
        return cls(experts=fixed, question=question, pooled=pooled)


class Requests:
    """Makes the prompts that vLLM's `LLM.generate` takes for the checkpoint in `folder`."""

    def __init__(self, folder: Path, config: MovaConfig, processor: MovaProcessor) -> None:
        self.folder = folder
        self._config = config
        self._processor = processor

    @classmethod
    def of(cls, source: str | os.PathLike[str] = "nano") -> Self:
        """For "nano", the folder of a checkpoint, or a repository of the hub."""
        folder = checkpoint_folder(source)
        config = MovaConfig.from_pretrained(folder)
        return cls(folder, config, AutoProcessor.from_pretrained(folder))

    def routing(self, image: ImageSource, question: str) -> dict[str, Any]:
        """Asks which experts are needed; greedily, in `routing_tokens` tokens.

        Raises UserError if the checkpoint has matrices for its routing alone.
        """
        rules = self._config.routing
        if rules.lora is not None:
            raise UserError(
                "this checkpoint routes with a LoRA of its own, which vLLM does not have: ask "
                "Mova or openmova serve for the routing, and vLLM for the answer"
            )
        question = check_question(question)
        asked = routing_prompt(rules.instruction, self._processor.descriptions, question)
        return self._request(image, asked, pooled=True)

    @property
    def routing_tokens(self) -> int:
        """How long the router's answer may become."""
        return self._config.routing.max_new_tokens

    def experts(self, text: str) -> list[str]:
        """The experts that the router's answer names, at most the config's max_experts of them."""
        pool = self._config.expert_names
        named = sorted(parse_routing(text, expert_letters(len(pool))))
        return [pool[index] for index in named][: self._config.routing.max_experts]

    def answer(
        self, image: ImageSource, question: str, experts: str | Sequence[str]
    ) -> dict[str, Any]:
        """Asks the question of these experts: names, "all" or "none"."""
        question = check_question(question)
        options = {"experts": experts, "question": question}
        RequestOptions.of(options, self._config.expert_names)
        return self._request(image, question, **options)

    def _request(self, image: ImageSource, text: str, **options: Any) -> dict[str, Any]:
        """The ids of the prompt, with one image token, which vLLM makes as many as are needed."""
        processor = self._processor
        ids = processor.prompt_ids(processor.render([user_turn(text, [image])]))
        first = ids.index(processor.image_token_id)
        del ids[first + 1 : first + processor.image_tokens]
        return {
            "prompt_token_ids": ids,
            "multi_modal_data": {"image": load_image(image)},
            "mm_processor_kwargs": options,
        }
