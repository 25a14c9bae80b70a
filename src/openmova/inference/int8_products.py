"""Products in 8 bits on a processor: half of float32's time, a quarter of the weights' memory.

A weight is rounded with a scale for each of its outputs, an input with a scale for each row, so
that a row gives the same to the bit whatever rows are beside it. Both are turned before, by a
Hadamard matrix in blocks of channels (as QuaRot does), which changes nothing of the product and
leaves no channel that stands out and takes the others' digits. FBGEMM multiplies them, which is
part of torch on x86. Before VNNI it adds two products at a time in 16 bits; 8 bits of the input and
7 of the weight never overflow there.

Shapes: R rows, b channels of a block.
"""

from __future__ import annotations

import warnings
from functools import cache
from pathlib import Path

import torch
from safetensors import safe_open
from torch import Tensor, nn

from openmova.checkpoints.tensors import open_tensors

WEIGHT_LEVELS, INPUT_LEVELS = 63, 127
"""The greatest whole number of either sign."""
BLOCK = 64
"""Channels that are turned together, at most."""
PARTS = ("model.language_model.", "model.adapter.", "lm_head")
"""Of MovaForConditionalGeneration."""
LEAST_WEIGHTS = 2**16
"""A smaller layer's product takes less time than rounding its input."""
TINY = 1e-12


def why_not() -> str | None:
    """Why a model in float32 does not compute so on this machine; None if it does."""
    engines = torch.backends.quantized.supported_engines
    return None if "fbgemm" in engines else "torch has no FBGEMM for this processor"


class Int8Linear(nn.Linear):
    """A linear layer that multiplies whole numbers, where no gradients are wanted."""

    packed: torch.ScriptObject
    """Its weight, of `pack`."""

    def forward(self, input: Tensor) -> Tensor:
        """[..., in] -> [..., out]."""
        if torch.is_grad_enabled():
            return super().forward(input)
        rows = turn(input.reshape(-1, self.in_features))  # [R, in]
        top = torch.linalg.vector_norm(rows, float("inf"), dim=1, keepdim=True).clamp_(min=TINY)
        product: Tensor = torch.ops.quantized.linear_with_input_q_dq_qweight_dq_output_fp32(
            rows / top, 1 / INPUT_LEVELS, INPUT_LEVELS + 1, self.packed
        )
        product = product.mul_(top).view(*input.shape[:-1], self.out_features)
        return product if self.bias is None else product + self.bias


def use_int8_products(model: nn.Module, folder: Path) -> None:
    """Let the linear layers of PARTS that are in host memory in float32 work so.

    Their weights are read from the model's checkpoint folder once more, one by one: what is mapped
    of the model itself stays as it is, is not touched, and so takes no memory.
    """
    names = {id(parameter): name for name, parameter in model.named_parameters()}
    files = open_tensors(folder).files
    for name, layer in model.named_modules():
        if type(layer) is nn.Linear and name.startswith(PARTS) and _pays(layer.weight):
            stored = names[id(layer.weight)]  # a head may be the embeddings
            with safe_open(folder / files[stored], "pt") as file:
                packed = pack(file.get_tensor(stored))
            layer.__class__ = Int8Linear
            assert isinstance(layer, Int8Linear)
            layer.packed = packed


def turn(rows: Tensor) -> Tensor:
    """[R, in] with every block of channels times the Hadamard matrix of its size."""
    block = min(rows.shape[1] & -rows.shape[1], BLOCK)
    return (rows.reshape(-1, block) @ _hadamard(block)).view(rows.shape)


@cache
def _hadamard(size: int) -> Tensor:
    """[b, b], orthogonal and symmetric; size: a power of two."""
    if size == 1:
        return torch.ones(1, 1)
    half = _hadamard(size // 2) / 2**0.5
    return torch.cat([torch.cat([half, half], dim=1), torch.cat([half, -half], dim=1)])


def _pays(weight: Tensor) -> bool:
    here = weight.device.type == "cpu" and weight.dtype == torch.float32
    return here and weight.numel() >= LEAST_WEIGHTS


def pack(weight: Tensor) -> torch.ScriptObject:
    """A weight [out, in] as FBGEMM reads it."""
    turned = turn(weight)
    scale = torch.linalg.vector_norm(turned, float("inf"), dim=1).clamp_(min=TINY) / WEIGHT_LEVELS
    numbers = turned.div_(scale[:, None]).round_().to(torch.int8)
    zero = torch.zeros(len(scale), dtype=torch.int64)
    chosen = torch.backends.quantized.engine
    torch.backends.quantized.engine = "fbgemm"
    try:
        with warnings.catch_warnings():  # that a later torch has no tensors of this kind
            warnings.simplefilter("ignore")
            tensor = torch._make_per_channel_quantized_tensor(numbers, scale.double(), zero, 0)
            packed: torch.ScriptObject = torch.ops.quantized.linear_prepack(tensor, None)
    finally:
        torch.backends.quantized.engine = chosen
    return packed
