"""The model as vLLM runs it: our encoders and adapter, vLLM's language model.

Shapes: N image tokens, D width of the language model, T tokens of all requests together, V
vocabulary.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F
from transformers.models.auto.modeling_auto import MODEL_FOR_CAUSAL_LM_MAPPING_NAMES
from vllm.config import VllmConfig
from vllm.model_executor.models.interfaces import SupportsLoRA, SupportsMultiModal, SupportsPP
from vllm.model_executor.models.module_mapping import MultiModelKeys
from vllm.model_executor.models.utils import (
    AutoWeightsLoader,
    WeightsMapper,
    init_vllm_registered_model,
    maybe_prefix,
)
from vllm.multimodal import MULTIMODAL_REGISTRY
from vllm.sequence import IntermediateTensors

from openmova.model.configuration_mova import MovaConfig
from openmova.model.splicing import filled_tokens
from openmova.model.vision_mova import MovaVision
from openmova.serve.vllm.vision_memory import VisionMemory
from openmova.serve.vllm.vllm_processing import (
    LOOK,
    MovaDummyInputs,
    MovaInfo,
    MovaInVllmProcessor,
)


@MULTIMODAL_REGISTRY.register_processor(
    MovaInVllmProcessor, info=MovaInfo, dummy_inputs=MovaDummyInputs
)
class MovaForVllm(nn.Module, SupportsMultiModal, SupportsLoRA, SupportsPP):
    """Answers by the experts that a request names."""

    hf_to_vllm_mapper = WeightsMapper(
        orig_to_new_prefix={
            "model.language_model.": "language_model.model.",
            "lm_head.": "language_model.lm_head.",
            "model.router_lora.": None,  # see router_adapter.py
            "model.": "vision.",
        }
    )

    packed_modules_mapping = {
        "qkv_proj": ["q_proj", "k_proj", "v_proj"],
        "gate_up_proj": ["gate_proj", "up_proj"],
    }

    def get_mm_mapping(self) -> MultiModelKeys:
        """LoRAs are of the language model."""
        return MultiModelKeys.from_string_field(
            language_model="language_model", tower_model="vision."
        )

    @classmethod
    def get_placeholder_str(cls, modality: str, i: int) -> str | None:
        return "<image>"

    def __init__(self, *, vllm_config: VllmConfig, prefix: str = "") -> None:
        super().__init__()
        model_config = vllm_config.model_config
        config: MovaConfig = model_config.hf_config
        if config.runtime == "onnx":
            raise ValueError(
                "an exported model can't be served by vLLM: give the one it was made from"
            )
        text = config.text_config
        self.config = config
        plugged: Any = self  # vLLM's interfaces, which mypy knows nothing of
        plugged.configure_mm_token_handling(text.vocab_size, [config.image_token_id])
        with plugged._mark_tower_model(vllm_config, "image"):
            self.vision = MovaVision(config, Path(model_config.model)).eval()
        self._memory = VisionMemory(self.vision)
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
        looks = [
            dict(zip(LOOK, parts, strict=True))
            for parts in zip(*(kwargs[name] for name in LOOK), strict=True)
        ]
        made = self._memory.image_tokens(looks)
        return [
            self._shown(tokens, bool(pooled), int(places))
            for tokens, pooled, places in zip(made, kwargs["pooled"], kwargs["places"], strict=True)
        ]

    def _shown(self, tokens: Tensor, pooled: bool, places: int) -> Tensor:
        """What the language model gets of a picture's tokens [N, D]: as many as there are places,
        so that a request with a wrong number of them harms its own answer alone."""
        if pooled:
            tokens = self.vision.routing_tokens(tokens[None])[0]
        elif self.config.adapter.summary_grid is not None:
            tokens = tokens[filled_tokens(tokens)]
        return F.pad(tokens, (0, 0, 0, places - len(tokens)))

    def count_image_tokens(
        self,
        pixels: bytes,
        shape: Sequence[int],
        fingerprint: bytes,
        question: Sequence[int],
        experts: Sequence[bool],
    ) -> int:
        """How many image tokens there are of a picture uint8 [3, h, w] for a question, as the gate
        reads it, and these experts."""
        ids = torch.tensor(question)
        look = {
            "pixel_values": torch.frombuffer(bytearray(pixels), dtype=torch.uint8).view(*shape),
            "image_sizes": torch.tensor(shape[1:]),
            "question_input_ids": ids,
            "question_attention_mask": torch.ones_like(ids),
            "routing": torch.tensor(experts),
            "fingerprint": torch.tensor(list(fingerprint), dtype=torch.uint8),
        }
        device = self.vision.adapter.position.device
        return self._memory.count({name: value.to(device) for name, value in look.items()})

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
