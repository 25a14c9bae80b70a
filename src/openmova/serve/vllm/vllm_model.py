"""The model as vLLM runs it: our encoders and adapter, vLLM's language model.

Shapes: B images, N image tokens, D width of the language model, T tokens of all requests together,
V vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from vllm.config import VllmConfig
from vllm.model_executor.models.interfaces import SupportsMultiModal, SupportsPP
from vllm.model_executor.models.utils import (
    AutoWeightsLoader,
    WeightsMapper,
    init_vllm_registered_model,
    maybe_prefix,
)
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.sequence import IntermediateTensors

from openmova.errors import UserError
from openmova.model.configuration_mova import MovaConfig
from openmova.model.vision_mova import MovaVision
from openmova.serve.vllm.vllm_processing import (
    FIELDS,
    MovaDummyInputs,
    MovaInfo,
    MovaInVllmProcessor,
)


@MULTIMODAL_REGISTRY.register_processor(
    MovaInVllmProcessor, info=MovaInfo, dummy_inputs=MovaDummyInputs
)
class MovaForVllm(nn.Module, SupportsMultiModal, SupportsPP):
    """Answers by the experts that a request names."""

    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_prefix={
            "model.language_model.": "language_model.model.",
            "lm_head.": "language_model.lm_head.",
            "model.router_lora.": None,
            "model.": "vision.",
        }
    )

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        return "<image>"

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        model_config = vllm_config.model_config
        config: MovaConfig = model_config.hf_config
        text = config.text_config
        if config.adapter.summary_grid is not None:
            raise UserError(
                "vLLM has to know the number of image tokens before the experts run, and here it "
                "follows the routing: serve this model with openmova serve"
            )
        self.config = config
        plugged: Any = self  # vLLM's interfaces, which mypy knows nothing of
        plugged.configure_mm_token_handling(text.vocab_size, [config.image_token_id])
        with plugged._mark_tower_model(vllm_config, "image"):
            self.vision = MovaVision(config, Path(model_config.model)).eval()
        with plugged._mark_language_model(vllm_config):
            self.language_model = init_vllm_registered_model(
                vllm_config,
                hf_config=text,
                architectures=[MODEL_FOR_CAUSAL_LM_MAPPING_NAMES[text.model_type]],
                prefix=maybe_prefix(prefix, "language_model"),
            )
        self.make_empty_intermediate_tensors = self.language_model.make_empty_intermediate_tensors

    def load_weights(self, weights: Iterable[tuple[str, Tensor]]) -> set[str]:
        """All of the checkpoint, the experts too: vLLM counts what memory is left after this."""
        loaded = AutoWeightsLoader(self).load_weights(weights, mapper=self.hf_to_vllm_mapper)
        experts = self.vision.experts
        experts.to(self.vision.adapter.position)
        for index in range(len(experts)):
            experts.get(index)
        self.vision.base.to(self.vision.adapter.position)
        return loaded | {f"vision.experts.{name}" for name, _ in experts.named_parameters()}

    def embed_multimodal(self, **kwargs: Any) -> Sequence[Tensor]:
        """The image tokens [N, D] of each image, by the experts and the question of its request."""
        if "pixel_values" not in kwargs:
            return []
        inputs = {name: _stack(kwargs[name]) for name in FIELDS}
        pooled = inputs.pop("pooled").tolist()
        tokens, _ = self.vision.image_tokens(**inputs)
        few = self.vision.routing_tokens(tokens)
        return [few[row] if is_pooled else tokens[row] for row, is_pooled in enumerate(pooled)]

    def forward(
        self,
        input_ids: Tensor | None,
        positions: Tensor,
        intermediate_tensors: IntermediateTensors | None = None,
        inputs_embeds: Tensor | None = None,
        **kwargs: Any,
    ) -> Tensor | IntermediateTensors:
        """Hidden states [T, D] of the language model."""
        if intermediate_tensors is not None:
            inputs_embeds = None
        return self.language_model.model(
            input_ids, positions, intermediate_tensors, inputs_embeds=inputs_embeds
        )

    def compute_logits(self, hidden_states: Tensor) -> Tensor | None:
        """Logits [T, V]; a picture is shown to the model, never written by it."""
        logits = self.language_model.compute_logits(hidden_states)
        if logits is not None and self.config.image_token_id < logits.shape[-1]:
            logits[:, self.config.image_token_id] = -torch.inf
        return logits


def _stack(parts: Tensor | Sequence[Tensor]) -> Tensor:
    """[B, ...] of tensors of different sizes, filled up with zeros at the end of each dimension."""
    sizes = torch.tensor([part.shape for part in parts])
    filled = parts[0].new_zeros(len(parts), *sizes.amax(dim=0).tolist())
    for row, part in zip(filled, parts, strict=True):
        row[tuple(slice(size) for size in part.shape)] = part
    return filled
