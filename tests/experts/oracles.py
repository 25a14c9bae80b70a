"""Gives a transformers class, the oracle of an encoder of ours, random weights in public names."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

import torch
from torch import Tensor, nn


def with_random_weights(model: nn.Module, seed: int = 0) -> nn.Module:
    """Every parameter random, so that none may be forgotten; in evaluation mode."""
    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        noise = torch.randn(parameter.shape, generator=generator)
        is_scale = parameter.ndim == 1 and not name.endswith("bias")
        parameter.data = 1 + 0.2 * noise if is_scale else 0.2 * noise
    return model.eval()


def renamed(state: Mapping[str, Tensor], names: Sequence[tuple[str, str]]) -> dict[str, Tensor]:
    """A state dict with every pattern in its names replaced."""
    result = {}
    for name, tensor in state.items():
        for pattern, replacement in names:
            name = re.sub(pattern, replacement, name)
        result[name] = tensor
    return result


def load_known(encoder: nn.Module, state: Mapping[str, Tensor]) -> set[str]:
    """Load all that the encoder has, which must be there; returns what was left over."""
    own = encoder.state_dict()
    encoder.load_state_dict({name: state[name] for name in own})
    return set(state) - set(own)
