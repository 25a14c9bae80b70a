"""A language model whose layers are an ONNX graph, run on the processor by onnxruntime.

What `openmova export` writes is read here: the graph is `checkpoints/onnx_decoder.py`. Embeddings
stay a weight of the model; keys and values go in and come out, and lie in transformers' cache.

Shapes: B rows, T tokens of this call, P places before them, S = P + T; D width, V vocabulary.
"""

from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor, nn
from transformers import DynamicCache, PreTrainedConfig
from transformers.modeling_outputs import BaseModelOutputWithPast

from openmova.errors import UserError
from openmova.experts.onnx_session import OnnxSession
from openmova.model.pretrained import CACHE

LANGUAGE_MODEL, HEAD = "language_model.onnx", "head.onnx"
"""Files of the checkpoint folder."""
WEIGHTS = ("language_model.safetensors", "head.safetensors")
"""Beside them."""
UNSEEN = -1e9
"""Added to the score of a place that a token doesn't see: finite, as padding sees none at all."""


class OnnxLanguageModel(nn.Module):
    """The embeddings as a weight, the layers as the graph of a folder, which is read when it is
    first run."""

    def __init__(self, config: PreTrainedConfig, folder: Path | None) -> None:
        super().__init__()
        self.config = config
        self.embed_tokens = nn.Embedding(config.vocab_size, config.hidden_size)
        settings = config.to_dict()
        heads = settings["num_attention_heads"]
        self._shared = settings.get("num_key_value_heads") or heads
        self._width = settings.get("head_dim") or settings["hidden_size"] // heads
        self._graph = LazyGraph(LANGUAGE_MODEL, folder)

    @property
    def device(self) -> torch.device:
        return self.embed_tokens.weight.device

    def get_input_embeddings(self) -> nn.Embedding:
        return self.embed_tokens

    @torch.no_grad()
    def forward(
        self,
        inputs_embeds: Tensor,
        attention_mask: Tensor | None = None,
        position_ids: Tensor | None = None,
        use_cache: bool | None = None,
        pooled: Tensor | None = None,
        output_hidden_states: bool | None = None,
        output_attentions: bool | None = None,
        **kwargs: Any,
    ) -> BaseModelOutputWithPast:
        """As a decoder of transformers: last_hidden_state [B, T, D], and the cache with use_cache.

        attention_mask [B, S], or [B, 1, T, S] with what is added or bool; pooled bool [B]: rows
        of the routing pass, where the router has a LoRA. Raises UserError for what a graph does
        not say.
        """
        if output_hidden_states or output_attentions:
            raise UserError(
                "an exported language model shows no hidden states and no attention: ask the "
                "checkpoint that it was exported from"
            )
        rows, tokens, _ = inputs_embeds.shape
        cache = kwargs.get(CACHE)
        past = 0 if cache is None else cache.get_seq_length()
        if position_ids is None:
            position_ids = torch.arange(past, past + tokens).expand(rows, -1)
        arrays = [
            inputs_embeds.float().numpy(),
            position_ids.long().expand(rows, -1).numpy(),
            attention_bias(attention_mask, rows, tokens, past).numpy(),
        ]
        if self._graph.takes("pooled"):
            seen = torch.zeros(rows) if pooled is None else pooled.float()
            arrays.append(seen.view(-1, 1, 1).numpy())
        layers = self.config.num_hidden_layers
        if past:
            arrays += [kept.float().numpy() for n in range(layers) for kept in _kept(cache, n)]
        else:
            empty = np.zeros((rows, self._shared, 0, self._width), dtype=np.float32)
            arrays += [empty] * (2 * layers)
        hidden, *places = map(torch.from_numpy, self._graph.run(*arrays))
        if use_cache:
            cache = DynamicCache() if cache is None else cache
            for number in range(layers):
                pair = places[2 * number], places[2 * number + 1]
                if past:
                    cache.layers[number].keys, cache.layers[number].values = pair
                else:
                    cache.update(*pair, number)
        output = BaseModelOutputWithPast(last_hidden_state=hidden.to(inputs_embeds.dtype))
        output[CACHE] = cache if use_cache else None
        return output


class OnnxHead(nn.Module):
    """The head as a graph: [..., D] to [..., V]."""

    def __init__(self, folder: Path | None) -> None:
        super().__init__()
        self._graph = LazyGraph(HEAD, folder)

    @torch.no_grad()
    def forward(self, hidden: Tensor) -> Tensor:
        rows = hidden.reshape(-1, hidden.shape[-1])
        (logits,) = self._graph.run(rows.float().numpy())
        return torch.from_numpy(logits).to(hidden.dtype).view(*hidden.shape[:-1], -1)


class LazyGraph:
    """A graph of a checkpoint folder that is read when it is first run."""

    def __init__(self, name: str, folder: Path | None) -> None:
        self.name, self.folder = name, folder
        self._session: OnnxSession | None = None

    def takes(self, name: str) -> bool:
        """Whether it has an input of this name."""
        return any(given.name == name for given in self._started().inputs)

    def run(self, *arrays: Any) -> list[Any]:
        """Its outputs, for its inputs in their order."""
        return self._started().run(*arrays)

    def _started(self) -> OnnxSession:
        if self._session is None:
            self._session = OnnxSession(self.name, self.folder)
        return self._session


def attention_bias(mask: Tensor | None, rows: int, tokens: int, past: int) -> Tensor:
    """What is added to the scores [B, 1, T, S], as `OnnxLanguageModel.forward` takes masks."""
    places = past + tokens
    if mask is not None and mask.ndim == 4:
        seen = mask if mask.dtype == torch.bool else mask >= 0
        seen = seen.expand(rows, -1, -1, -1)
    else:
        seen = torch.arange(places) <= torch.arange(past, places)[:, None]  # [T, S]
        seen = seen.expand(rows, 1, -1, -1)
        if mask is not None:
            seen = seen & mask.bool()[:, None, None]
    return torch.zeros(seen.shape).masked_fill(~seen, UNSEEN)


def _kept(cache: Any, layer: int) -> tuple[Tensor, Tensor]:
    """The keys and values of a layer."""
    return cache.layers[layer].keys, cache.layers[layer].values
