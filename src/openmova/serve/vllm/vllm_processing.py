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
from openmova.model.configuration_mova import MovaConfig
from openmova.model.processing_mova import MovaProcessor
from openmova.serve.vllm.requests import RequestOptions

FIELDS = (
    *("pixel_values", "image_sizes", "question_input_ids", "question_attention_mask"),
    *("routing", "pooled"),
)
"""What the model takes of an image."""


class MovaInfo(BaseProcessingInfo):
    """What vLLM asks of the model before it is there."""

    def get_hf_config(self) -> MovaConfig:
        return self.ctx.get_hf_config(MovaConfig)

    def get_hf_processor(self, **kwargs: object) -> MovaProcessor:
        return self.ctx.get_hf_processor(MovaProcessor)

    def get_supported_mm_limits(self) -> Mapping[str, int | None]:
        return {"image": 1}

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
        """With all experts."""
        inputs = super().get_dummy_inputs(*args, **kwargs)
        return replace(inputs, hf_processor_mm_kwargs={"experts": "all", "question": "?"})

    def _call_hf_processor(
        self, hf_data: Mapping[str, object], hf_kwargs: Mapping[str, object]
    ) -> BatchFeature:
        wanted, processor = self._options(hf_kwargs), self.info.get_hf_processor()
        inputs = processor(
            images=hf_data["images"],
            text=processor.image_token,
            questions=wanted.question,
            with_routing=False,
            return_tensors="pt",
        )
        inputs["routing"] = torch.tensor([wanted.experts])
        inputs["pooled"] = torch.tensor([wanted.pooled])
        return BatchFeature({name: inputs[name] for name in FIELDS})

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
        processor = self.info.get_hf_processor()
        pooled = self._options(hf_processor_mm_kwargs).pooled
        count = processor.routing_tokens if pooled else processor.image_tokens
        image = [processor.image_token_id]
        return [PromptReplacement(modality="image", target=image, replacement=image * count)]

    def _options(self, kwargs: Mapping[str, object]) -> RequestOptions:
        """Raises ValueError, which vLLM answers with 400, for options that will not do."""
        pool = self.info.get_hf_config().expert_names
        try:
            return RequestOptions.of(self.info.ctx.get_merged_mm_kwargs(kwargs), pool)
        except UserError as error:
            raise ValueError(str(error)) from error
