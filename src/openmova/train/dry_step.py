"""One training step without its numbers: what every part computes, and what the whole one holds.

The parts are run as `MovaForConditionalGeneration.forward` does, but for looking at values: which
expert sees which row is said here.

Shapes: B samples, T tokens of a sample, N of them image tokens, M answered tokens of a sample,
t tokens of the gate's question, D width of the language model, V vocabulary.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.experts.base import Expert
from openmova.model.adapter import ExpertMap
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.train.fake_run import (
    DEVICE,
    OperationCount,
    PeakMemory,
    fake_mode,
    operations,
    replace_by_fakes,
)

QUESTION = 64
"""Tokens of the gate's question, t: they matter little."""
PICTURE = (96, 128)
"""Of a raw picture, in pixels: an encoder's view has its own size."""


@dataclass(frozen=True, kw_only=True)
class PartOperations:
    """Floating-point operations of a part for one sample that it sees."""

    name: str
    forward: int
    backward: int
    """Of the gradients that learning needs."""

    @property
    def total(self) -> int:
        return self.forward + self.backward


class DryStep:
    """A model whose stage is set, and its experts, run without numbers; both lose theirs.

    An expert without parameters of its own (an ONNX graph) is run as it is, once, and its products
    are not counted.
    """

    def __init__(
        self, model: MovaForConditionalGeneration, experts: Sequence[Expert], *, bfloat16: bool
    ) -> None:
        self.model = model
        self.experts = experts
        self.bfloat16 = bfloat16
        core = model.model
        self._views = {encoder: _view(encoder) for encoder in (core.base, *experts)}
        graphs = [expert for expert in experts if not any(True for _ in expert.parameters())]
        self._given: dict[Expert, tuple[int, ...]] = {}
        for graph in graphs:
            self._given[graph] = tuple(graph(torch.zeros(self._views[graph])).shape[1:])
        self._mode = fake_mode()
        with self._mode:
            replace_by_fakes([model, *(e for e in experts if e not in graphs)])

    def operations(self, *, tokens: int, answered: int) -> list[PartOperations]:
        """Of every part, for one sample of T tokens of which M are answered.

        An expert's are those of its encoder and of what the adapter reads in its map.
        """
        core = self.model.model
        text_config = self.model.config.text_config
        with self._mode, self._autocast():
            base = operations(lambda: self._map(core.base, 1))
            text = operations(lambda: self._text(1))
            experts = [self._expert(j) for j in range(len(self.experts))]
            none = torch.empty(1, len(self.experts), dtype=torch.bool, device=DEVICE)
            adapter = operations(lambda: core.adapter.fuse(base.result, {}, none, text.result)[0])
            embeddings = torch.empty(1, tokens, text_config.hidden_size, device=DEVICE)
            embeddings.requires_grad_(self._learns(self.model))
            decoded = operations(lambda: self._decoded(embeddings))
            hidden = decoded.result[:, :answered]
            head = operations(lambda: self.model.lm_head(hidden))
        return [
            _part("base", base),
            _part("text encoder", text),
            *experts,
            _part("adapter", adapter),
            _part("language model", decoded),
            _part("head", head),
        ]

    def activations(self, *, batch: int, tokens: int, answered: int, chosen: Sequence[int]) -> int:
        """The most bytes that a step holds beside weights, gradients and optimizer.

        For B samples of T tokens, M answered, that all see the `chosen` experts. The copies of
        weights that the computation in bfloat16 makes are among them.
        """
        core = self.model.model
        learns = self._learns(self.model)
        everything: list[nn.Module] = [
            self.model,
            *(e for e in self.experts if e not in self._given),
        ]
        with self._mode:
            known: list[Tensor] = []
            for tensor in (t for m in everything for t in (*m.parameters(), *m.buffers())):
                known.append(tensor)
                if tensor.requires_grad:
                    tensor.grad = torch.empty_like(tensor)
                    known.append(tensor.grad)
            with PeakMemory(known) as memory:
                with self._autocast():
                    base = self._map(core.base, batch)
                    rows = torch.empty(batch, dtype=torch.long, device=DEVICE)
                    maps = {j: ExpertMap(rows, self._map(self.experts[j], batch)) for j in chosen}
                    routing = torch.empty(batch, len(self.experts), dtype=torch.bool, device=DEVICE)
                    image_tokens, _ = core.adapter.fuse(base, maps, routing, self._text(batch))
                    embeddings = self._embeddings(batch, tokens, image_tokens)
                    if learns and not embeddings.requires_grad:  # what learns is in the decoder
                        embeddings.requires_grad_()
                    hidden = self._decoded(embeddings)[:, :answered].flatten(0, 1)
                    logits = self.model.lm_head(hidden).float()  # [B * M, V]
                    labels = torch.empty(len(logits), dtype=torch.long, device=DEVICE)
                    loss = F.cross_entropy(logits, labels)
                if loss.requires_grad:
                    loss.backward()
        return memory.peak

    def _autocast(self) -> torch.autocast:
        return torch.autocast(DEVICE, torch.bfloat16, enabled=self.bfloat16)

    def _map(self, encoder: Expert, batch: int) -> Tensor:
        """[B, C, h, w], in the adapter's dtype if it is the base's."""
        if encoder in self._given:
            return torch.empty(batch, *self._given[encoder], device=DEVICE)
        weight = next(p for p in encoder.parameters() if p.is_floating_point())
        view = torch.empty(batch, *self._views[encoder][1:], dtype=weight.dtype, device=DEVICE)
        found: Tensor = encoder(view)
        core = self.model.model
        return found.to(core.adapter.position.dtype) if encoder is core.base else found

    def _text(self, batch: int) -> Tensor:
        """The gate's question [B, width]."""
        ids = torch.empty(batch, QUESTION, dtype=torch.long, device=DEVICE)
        core = self.model.model
        return core.encode_question(ids).to(core.adapter.position.dtype)

    def _expert(self, j: int) -> PartOperations:
        encoder = self.experts[j]
        adapter = self.model.model.adapter
        rows, columns = adapter.config.grid
        seen = 0 if encoder in self._given else operations(lambda: self._map(encoder, 1)).forward
        dtype = adapter.position.dtype
        learns = self._learns(adapter) or self._learns(self.model.model.base)
        x = torch.empty(1, rows * columns, adapter.config.width, dtype=dtype, device=DEVICE)
        x.requires_grad_(learns)
        features = torch.empty(1, rows * columns, encoder.channels, dtype=dtype, device=DEVICE)
        ahead = back = 0
        for block in adapter.blocks:
            extractor: Any = block.get_submodule(f"extractors.{j}")
            read = operations(lambda: extractor(x, features, adapter.rotary))  # noqa: B023
            ahead, back = ahead + read.forward, back + read.backward
        return PartOperations(name=encoder.name, forward=seen + ahead, backward=back)

    def _learns(self, module: nn.Module) -> bool:
        return any(p.requires_grad for p in module.parameters())

    def _embeddings(self, batch: int, tokens: int, image_tokens: Tensor) -> Tensor:
        """[B, T, D]: the image tokens [B, N, D], and words for the rest of T."""
        words = max(tokens - image_tokens.shape[1], 1)
        ids = torch.empty(batch, words, dtype=torch.long, device=DEVICE)
        embedded = self.model.get_input_embeddings()(ids)
        return torch.cat([image_tokens.to(embedded.dtype), embedded], dim=1)[:, :tokens]

    def _decoded(self, embeddings: Tensor) -> Tensor:
        """[B, T, D] -> [B, T, D]."""
        decoder = self.model.model.language_model
        output: Mapping[str, Tensor] = decoder(inputs_embeds=embeddings, use_cache=False)
        return output["last_hidden_state"]


def _view(encoder: Expert) -> tuple[int, ...]:
    """The shape of what an encoder makes of one picture."""
    picture = torch.zeros(1, 3, *PICTURE, dtype=torch.uint8)
    return tuple(encoder.view(picture, torch.tensor([PICTURE])).shape)


def _part(name: str, counted: OperationCount) -> PartOperations:
    return PartOperations(name=name, forward=counted.forward, backward=counted.backward)
