"""The visual side of the MoVA model: pictures, questions and a routing to image tokens.

`MovaVision` is what `MovaModel` has beside its decoder; another engine for the decoder (vLLM) takes
it by itself.

Shapes: B batch, C base channels, H x W the base map, E experts of the pool, N image tokens, D width
of the language model.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import BertModel

from openmova.experts.pool import ExpertPool, expert_map
from openmova.model.adapter import ExpertMap, MoVAdapter
from openmova.model.configuration_mova import MovaConfig
from openmova.model.pretrained import MovaPreTrainedModel, build_base
from openmova.routing import pool_tokens

NO_IMAGES = "pass pixel_values together with image_sizes, as the processor makes them"


class MovaVision(MovaPreTrainedModel):
    """Encoders, adapter, and the text encoder of its gate.

    folder: the checkpoint folder that experts and files named in the config are read from.
    """

    def __init__(self, config: MovaConfig, folder: Path | None = None):
        super().__init__(config)
        self.base = build_base(config, folder)
        self.experts = ExpertPool(config.experts, folder)
        self.adapter = MoVAdapter(config.adapter)
        self.gate_text_encoder = BertModel(config.gate_text_config, add_pooling_layer=False)

    def encode_base(self, pixel_values: Tensor | None, image_sizes: Tensor | None) -> Tensor:
        """The base map [B, C, H, W] of raw pictures uint8 [B, 3, h, w] with sizes [B, 2].

        Raises ValueError without pictures or sizes.
        """
        if pixel_values is None or image_sizes is None:
            raise ValueError(NO_IMAGES)
        return expert_map(self.base, pixel_values, image_sizes).to(self.adapter.position.dtype)

    def encode_experts(
        self, pixel_values: Tensor, image_sizes: Tensor, routing: Tensor
    ) -> dict[int, ExpertMap]:
        """Run each chosen expert once, on the rows that chose it.

        pixel_values uint8 [B, 3, h, w], image_sizes [B, 2], routing bool [B, E].
        Returns expert index -> its maps; an expert that no row chose is not even built.
        """
        maps = {}
        for j in range(len(self.experts)):
            rows = routing[:, j].nonzero()[:, 0]
            if len(rows):
                with self.experts.running(j) as expert:
                    features = expert_map(expert, pixel_values[rows], image_sizes[rows])
                maps[j] = ExpertMap(rows, features)
        return maps

    def encode_question(
        self, question_input_ids: Tensor, question_attention_mask: Tensor | None = None
    ) -> Tensor:
        """The question feature of the gate [B, text width]: the encoder's first token."""
        encoded = self.gate_text_encoder(
            input_ids=question_input_ids, attention_mask=question_attention_mask
        )
        return encoded.last_hidden_state[:, 0]

    def encode_sentences(self, input_ids: Tensor, attention_mask: Tensor) -> Tensor:
        """Of sentences [B, t] an embedding each [B, text width], of length 1: the mean over the
        tokens, as encoders that compare sentences are trained."""
        encoded = self.gate_text_encoder(input_ids=input_ids, attention_mask=attention_mask)
        seen = attention_mask[..., None].to(encoded.last_hidden_state.dtype)
        return F.normalize((encoded.last_hidden_state * seen).sum(dim=1), dim=-1)

    def fuse(
        self,
        base_map: Tensor,
        expert_maps: Mapping[int, ExpertMap],
        routing: Tensor,
        question_input_ids: Tensor | None = None,
        question_attention_mask: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Image tokens [B, N, D] and gates [B, blocks, E] of maps: the MoV-Adapter (section 3.3).

        base_map [B, C, H, W], routing bool [B, E], question_input_ids [B, t] and its mask: the
        question for the gate, needed only where an expert is chosen.
        Raises ValueError without it there.
        """
        if question_input_ids is not None:
            text = self.encode_question(question_input_ids, question_attention_mask)
        elif routing.any():
            raise ValueError(
                "an expert is chosen, so the gate needs the question: pass question_input_ids, as "
                "the processor makes them"
            )
        else:  # without an expert the gate has no influence
            text = base_map.new_zeros(len(base_map), self.config.adapter.text_width)
        return self.adapter(base_map, expert_maps, routing, text.to(base_map.dtype))

    def routing_tokens(self, image_tokens: Tensor) -> Tensor:
        """What the routing pass sees of image tokens [B, N, D] of the base map: those of the
        summary, or all of them, pooled to the routing's grid (section 3.1)."""
        adapter, grid = self.config.adapter, self.config.routing.grid
        if adapter.summary_grid is not None:
            summary = image_tokens[:, : adapter.summary_tokens]
            return pool_tokens(summary, adapter.summary_grid, grid)
        return pool_tokens(image_tokens, adapter.token_grid, grid)

    def image_tokens(
        self,
        pixel_values: Tensor | None,
        image_sizes: Tensor | None,
        routing: Tensor,
        question_input_ids: Tensor | None = None,
        question_attention_mask: Tensor | None = None,
        base_map: Tensor | None = None,
    ) -> tuple[Tensor, Tensor]:
        """Image tokens [B, N, D] and gates [B, blocks, E] of pictures with a given routing.

        pixel_values uint8 [B, 3, h, w], image_sizes [B, 2], routing bool [B, E]; the question as
        `fuse`; base_map [B, C, H, W], if it was encoded before. Raises ValueError if the question
        or the routing's width does not fit.
        """
        routing = self.check_routing(routing)
        if base_map is None:
            base_map = self.encode_base(pixel_values, image_sizes)
        assert pixel_values is not None and image_sizes is not None
        maps = self.encode_experts(pixel_values, image_sizes, routing)
        return self.fuse(base_map, maps, routing, question_input_ids, question_attention_mask)

    def check_routing(self, routing: Tensor) -> Tensor:
        """The routing bool [B, E] on the adapter's device. Raises ValueError for another width."""
        if routing.shape[1] != len(self.experts):
            raise ValueError(
                f"the routing has {routing.shape[1]} columns but the pool has "
                f"{len(self.experts)} experts: pass a bool tensor [batch, experts]"
            )
        return routing.to(self.adapter.position.device, torch.bool)
