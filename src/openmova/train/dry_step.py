"""One training step without its numbers: what every part computes, and what the whole one holds.

The parts are run as `MovaForConditionalGeneration.forward` does, but for looking at values: which
expert sees which row is said here.

Shapes: B samples, T tokens of a sample, N of them image tokens, M answered tokens of a sample,
D width of the language model.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional as F

from openmova.experts.base import Expert
from openmova.model.adapter import ExpertMap
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.runtime.fake_run import OperationCount, PeakMemory, operations, replace_by_fakes

QUESTION = 64
"""Tokens of the gate's question: they matter little."""
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
        self._views = {encoder: _view(encoder) for encoder in (model.model.base, *experts)}
        graphs = [expert for expert in experts if not any(True for _ in expert.parameters())]
        self._modules: list[nn.Module] = [
            model,
            *(expert for expert in experts if expert not in graphs),
        ]
        self._graphs = {g: tuple(g(torch.zeros(self._views[g])).shape[1:]) for g in graphs}
        self._mode = FakeTensorMode()
        with self._mode:
            replace_by_fakes(self._modules)

    def operations(self, *, tokens: int, answered: int) -> list[PartOperations]:
        """Of every part, for one sample of T tokens of which M are answered.

        An expert's are those of its encoder and of what the adapter reads in its map.
        """
        core = self.model.model
        with self._mode, self._autocast():
            base = operations(lambda: self._map(core.base, 1))
            text = operations(lambda: self._question(1))

            def fuse(maps: Mapping[int, Tensor]) -> OperationCount:
                return operations(lambda: self._fuse(base.result, maps, text.result))

            adapter = fuse({})
            experts: dict[str, tuple[int, int]] = {}
            for j, expert in enumerate(self.experts):
                seen = operations(lambda: self._map(expert, 1))  # noqa: B023
                reads = fuse({j: seen.result})
                experts[expert.name] = (
                    seen.forward + reads.forward - adapter.forward,
                    reads.backward - adapter.backward,
                )
            decoded = operations(lambda: self._decode(tokens, adapter.result))
            head = operations(lambda: self.model.lm_head(decoded.result[:, :answered]))
        counts = {
            "base": base[:2],
            "text encoder": text[:2],
            **experts,
            "adapter": adapter[:2],
            "language model": decoded[:2],
            "head": head[:2],
        }
        return [PartOperations(name=n, forward=f, backward=b) for n, (f, b) in counts.items()]

    def activations(self, *, batch: int, tokens: int, answered: int, chosen: Sequence[int]) -> int:
        """The most bytes that a step holds beside weights, gradients and optimizer.

        For B samples of T tokens, M answered, that all see the `chosen` experts. The copies of
        weights that the computation in bfloat16 makes are among them.
        """
        known = [t for m in self._modules for t in (*m.parameters(), *m.buffers())]
        with self._mode:
            for tensor in known.copy():
                if tensor.requires_grad:
                    tensor.grad = torch.empty_like(tensor)
                    known.append(tensor.grad)
            with PeakMemory(known) as memory:
                with self._autocast():
                    base = self._map(self.model.model.base, batch)
                    maps = {j: self._map(self.experts[j], batch) for j in chosen}
                    image_tokens = self._fuse(base, maps, self._question(batch))
                    hidden = self._decode(tokens, image_tokens)[:, :answered].flatten(0, 1)
                    logits = self.model.lm_head(hidden).float()  # [B * M, vocabulary]
                    labels = torch.empty(len(logits), dtype=torch.long)
                    loss = F.cross_entropy(logits, labels)
                if loss.requires_grad:
                    loss.backward()
        return memory.peak

    def _autocast(self) -> torch.autocast:
        return torch.autocast("cpu", torch.bfloat16, enabled=self.bfloat16)

    def _map(self, encoder: Expert, batch: int) -> Tensor:
        """[B, C, h, w], in the adapter's dtype if it is the base's."""
        if encoder in self._graphs:
            return torch.empty(batch, *self._graphs[encoder])
        weight = next(p for p in encoder.parameters() if p.is_floating_point())
        found: Tensor = encoder(torch.empty(batch, *self._views[encoder][1:], dtype=weight.dtype))
        core = self.model.model
        return found.to(core.adapter.position.dtype) if encoder is core.base else found

    def _question(self, batch: int) -> Tensor:
        """[B, width of the gate's text]"""
        core = self.model.model
        ids = torch.empty(batch, QUESTION, dtype=torch.long)
        return core.encode_question(ids).to(core.adapter.position.dtype)

    def _fuse(self, base: Tensor, maps: Mapping[int, Tensor], text: Tensor) -> Tensor:
        """Image tokens [B, N, D], where every sample sees these maps."""
        rows = torch.empty(len(base), dtype=torch.long)
        routing = torch.empty(len(base), len(self.experts), dtype=torch.bool)
        seen = {j: ExpertMap(rows, features) for j, features in maps.items()}
        return self.model.model.adapter.fuse(base, seen, routing, text)[0]

    def _decode(self, tokens: int, image_tokens: Tensor) -> Tensor:
        """[B, T, D] of image tokens [B, N, D], and words for the rest of T."""
        words = max(tokens - image_tokens.shape[1], 1)
        ids = torch.empty(len(image_tokens), words, dtype=torch.long)
        embedded = self.model.get_input_embeddings()(ids)
        inputs = torch.cat([image_tokens.to(embedded.dtype), embedded], dim=1)[:, :tokens]
        if not inputs.requires_grad and any(p.requires_grad for p in self.model.parameters()):
            inputs.requires_grad_()  # what learns is in the decoder
        output: Any = self.model.model.language_model(inputs_embeds=inputs, use_cache=False)
        found: Tensor = output["last_hidden_state"]
        return found


def _view(encoder: Expert) -> tuple[int, ...]:
    """The shape of what an encoder makes of one picture."""
    picture = torch.zeros(1, 3, *PICTURE, dtype=torch.uint8)
    return tuple(encoder.view(picture, torch.tensor([PICTURE])).shape)
