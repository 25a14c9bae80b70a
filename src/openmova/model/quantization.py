"""Quantisation: the language model's linear layers in 8 or 4 bits, everything else as it was.

Encoders, adapter and the gate's text encoder stay in the model's dtype, and so do the embeddings,
the norms and the head: a picture is seen as exactly as before. The packages that do the work are
extras of the installation.
"""

from __future__ import annotations

import importlib.util
import logging
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import torch
from torch import nn

from openmova.errors import UserError, nearest

if TYPE_CHECKING:
    from transformers import BitsAndBytesConfig, TorchAoConfig

BLOCK, SUPERBLOCK = 64, 256
"""bitsandbytes' 4 bits: weights that share a scale, scales that share a scale of their own."""
TABLES = 4 * (16 + 256 + 2)
"""Bytes that every layer in 4 bits has beside them: the values of both codes, and two numbers."""
KEPT = ("model.base", "model.experts", "model.adapter", "model.gate_text_encoder", "lm_head")
"""Parts of MovaForConditionalGeneration that are never quantised."""


@dataclass(frozen=True, kw_only=True)
class Quantization:
    """One way to quantise, by the package that does it."""

    package: str
    """Its name, and that of the extra."""
    bits: int

    def bytes(self, rows: int, columns: int) -> int:
        """Memory of a linear layer's weight [rows, columns]."""
        if self.bits == 8:
            return rows * columns + 4 * rows  # and a scale for each row
        blocks = -(-rows * columns // BLOCK)
        return -(-rows * columns // 2) + blocks + 4 * -(-blocks // SUPERBLOCK) + TABLES


QUANTIZATIONS = {
    "8bit": Quantization(package="bitsandbytes", bits=8),
    "4bit": Quantization(package="bitsandbytes", bits=4),
    "torchao-8bit": Quantization(package="torchao", bits=8),
}
"""What a user may ask for."""


def find_quantization(name: str) -> Quantization:
    """The way of that name. Raises UserError if there is none, or its package is not installed."""
    if name not in QUANTIZATIONS:
        raise UserError(f"there is no quantization {name!r}: {nearest(name, QUANTIZATIONS)}")
    found = QUANTIZATIONS[name]
    if importlib.util.find_spec(found.package) is None:
        raise UserError(
            f"the quantization {name!r} needs {found.package}; "
            f'install it with: pip install "openmova[{found.package}]"'
        )
    return found


def quantization_config(name: str, dtype: torch.dtype) -> BitsAndBytesConfig | TorchAoConfig:
    """What MovaForConditionalGeneration.from_pretrained takes as its quantization_config.

    dtype: that the model computes in.
    """
    from transformers import BitsAndBytesConfig, TorchAoConfig

    way = find_quantization(name)
    kept = list(KEPT)
    if way.package == "torchao":
        from torchao.quantization import Int8WeightOnlyConfig

        return TorchAoConfig(Int8WeightOnlyConfig(), modules_to_not_convert=kept)
    # It would tell of every product that its input is rounded.
    logging.getLogger("bitsandbytes.autograd._functions").setLevel(logging.ERROR)
    options: dict[str, Any] = {"load_in_8bit": True}
    if way.bits == 4:
        options = {
            "load_in_4bit": True,
            "bnb_4bit_quant_type": "nf4",
            "bnb_4bit_use_double_quant": True,
            "bnb_4bit_compute_dtype": dtype,
        }
    return BitsAndBytesConfig(llm_int8_skip_modules=kept, **options)


def keep_parts(config: object) -> None:
    """Give a config of transformers that names no parts to keep the parts that we keep."""
    from transformers import BitsAndBytesConfig, TorchAoConfig

    if isinstance(config, BitsAndBytesConfig) and config.llm_int8_skip_modules is None:
        config.llm_int8_skip_modules = list(KEPT)
    if isinstance(config, TorchAoConfig) and config.modules_to_not_convert is None:
        config.modules_to_not_convert = list(KEPT)


def quantized_weights(model: nn.Module) -> set[str]:
    """Names of the parameters that quantisation changes."""
    start = "model.language_model"
    return {
        f"{start}.{name}.weight"
        for name, module in model.get_submodule(start).named_modules()
        if isinstance(module, nn.Linear)
    }
