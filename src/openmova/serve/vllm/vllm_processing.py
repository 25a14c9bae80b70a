"""What becomes of a request in vLLM before the model sees it.

A request says in `mm_processor_kwargs` which experts look and what the gate reads; vLLM counts them
with the image when it recognises one that it has seen, so that no other answer is reused.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

import torch
from transformers import BatchFeature
from vllm.config.multimodal import MultiModalDummyOptions
from vllm.inputs import MultiModalDataDict
from vllm.multimodal.inputs import MultiModalFieldConfig, MultiModalKwargsItems
from vllm.multimodal.parse import MultiModalDataItems
from vllm.multimodal.processing import (
    BaseDummyInputsBuilder,
    BaseMultiModalProcessor,
    BaseProcessingInfo,
    ProcessorInputs,
    PromptReplacement,
)

from openmova.errors import UserError
from openmova.inference.limits import MAX_PICTURES
from openmova.inference.session import Picture
from openmova.model.configuration_mova import MovaConfig
from openmova.model.processing_mova import MovaProcessor
from openmova.serve.vllm.requests import RequestOptions
from openmova.serve.vllm.vision_memory import PIXELS, QUESTION

LOOK = (*PIXELS, *QUESTION, "routing", "fingerprint")
FIELDS = (*LOOK, "pooled", "places")
"""What the model takes of an image; places: how many image tokens the prompt has for it."""


class MovaInfo(BaseProcessingInfo):
    """What vLLM asks of the model before it is there."""

    def get_hf_config(self) -> MovaConfig:
        return self.ctx.get_hf_config(MovaConfig)

    def get_hf_processor(self, **kwargs: object) -> MovaProcessor:
        return self.ctx.get_hf_processor(MovaProcessor)

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {"image": MAX_PICTURES}

    def get_mm_max_tokens_per_item(
        self, seq_len: int, mm_counts: Mapping[str, int]
    ) -> Mapping[str, int]:
        return {"image": self.get_hf_config().adapter.tokens}


class MovaDummyInputs(BaseDummyInputsBuilder[MovaInfo]):
    """The largest picture that there can be, for vLLM to see how much memory it takes."""

    def get_dummy_text(self, mm_counts: Mapping[str, int]) -> str:
        return self.info.get_hf_processor().image_token * mm_counts.get("image", 0)

    def get_dummy_mm_data(
        self,
        seq_len: int,
        mm_counts: Mapping[str, int],
        mm_options: Mapping[str, MultiModalDummyOptions],
    ) -> MultiModalDataDict:
        side = self.info.get_hf_processor().image_processor.max_side
        count = mm_counts.get("image", 0)
        return {"image": self._get_dummy_images(width=side, height=side, num_images=count)}


class MovaInVllmProcessor(BaseMultiModalProcessor[MovaInfo]):
    """Pictures and the choice of experts to the model's inputs, and room for its image tokens."""

    def get_dummy_inputs(self, *args: Any, **kwargs: Any) -> ProcessorInputs:
        """With all experts, and as many image tokens as there can be."""
        inputs = super().get_dummy_inputs(*args, **kwargs)
        most = self.info.get_hf_config().adapter.tokens
        options = {"experts": "all", "question": "?", "tokens": most}
        return replace(inputs, hf_processor_mm_kwargs=options)

    def _call_hf_processor(
        self, hf_data: Mapping[str, Any], hf_kwargs: Mapping[str, object]
    ) -> BatchFeature:
        """Raises ValueError, which vLLM answers with 400, for options that will not do."""
        config, processor = self.info.get_hf_config(), self.info.get_hf_processor()
        given = self.info.ctx.get_merged_mm_kwargs(hf_kwargs)
        try:
            pictures = [Picture.of(image, processor) for image in hf_data["images"]]
            wanted = [
                RequestOptions.of(given, config.expert_names, picture.fingerprint.hex())
                for picture in pictures
            ]
            places = [one.image_tokens(config.adapter, processor.routing_tokens) for one in wanted]
        except UserError as error:
            raise ValueError(str(error)) from error
        inputs = processor.image_processor([picture.image for picture in pictures])
        inputs |= processor.question_inputs([one.question for one in wanted])
        inputs |= {
            "routing": [one.experts for one in wanted],
            "pooled": [one.pooled for one in wanted],
            "places": places,
            "fingerprint": [list(picture.fingerprint) for picture in pictures],
        }
        return BatchFeature({name: torch.as_tensor(inputs[name]) for name in FIELDS})

    def _get_mm_fields_config(
        self, hf_inputs: BatchFeature, hf_processor_mm_kwargs: Mapping[str, object]
    ) -> Mapping[str, MultiModalFieldConfig]:
        return {name: MultiModalFieldConfig.batched("image") for name in FIELDS}

    def _get_prompt_updates(
        self,
        mm_items: MultiModalDataItems,
        hf_processor_mm_kwargs: Mapping[str, object],
        out_mm_kwargs: MultiModalKwargsItems,
    ) -> Sequence[PromptReplacement]:
        image = [self.info.get_hf_processor().image_token_id]

        def places(number: int) -> list[int]:
            return image * int(out_mm_kwargs["image"][number]["places"].data)

        return [PromptReplacement(modality="image", target=image, replacement=places)]
