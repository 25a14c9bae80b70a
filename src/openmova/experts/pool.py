"""The pool of experts: an expert is built, and its weights read, when it is first chosen.

In a checkpoint folder each expert has its own file, experts/<name>.safetensors, so that a model
with many experts starts with none of them in memory.

Shapes: B batch, C channels, h w a map.
"""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from safetensors.torch import load_model, save_model
from torch import Tensor, nn
from torch.random import fork_rng

from openmova.errors import UserError
from openmova.experts.base import Expert
from openmova.experts.registry import build_expert

EXPERTS_FOLDER = "experts"


class ExpertPool(nn.Module):
    """The frozen experts of a model, by the index of their letter.

    specs: as in config.json; folder: the checkpoint folder that holds their weights; without it
    an expert starts with random weights.
    """

    _anchor: Tensor

    def __init__(self, specs: Sequence[Mapping[str, Any]], folder: Path | None = None):
        super().__init__()
        self.specs = [dict(spec) for spec in specs]
        self.folder = folder
        # Follows the model to its device and dtype, so that a late expert can follow too.
        self.register_buffer("_anchor", torch.zeros(1), persistent=False)

    def __len__(self) -> int:
        return len(self.specs)

    @property
    def names(self) -> list[str]:
        """Of all experts, built or not."""
        return [spec["name"] for spec in self.specs]

    @property
    def built(self) -> list[str]:
        """Names of the experts that are in memory."""
        return [self.names[int(j)] for j in self._modules]

    def get(self, j: int) -> Expert:
        """Expert j, built and loaded on first use.

        Raises UserError if the folder lacks its weights, or holds others.
        """
        built = self._modules.get(str(j))
        if not isinstance(built, Expert):
            # Not as inference tensors, because the expert's next user may train the adapter; and
            # without a trace in the random numbers, which someone may be sampling with.
            with torch.inference_mode(False), torch.device("cpu"), fork_rng(devices=[]):
                torch.manual_seed(torch.initial_seed() + j)
                built = build_expert(self.specs[j], folder=self.folder)
                if self.folder is not None:
                    self._load(built, self.folder)
                self.add_module(str(j), built.to(self._anchor.device, self._anchor.dtype))
        return built

    def save(self, folder: Path) -> None:
        """Write every expert's file, and what else its spec names; reads the missing ones first."""
        (folder / EXPERTS_FOLDER).mkdir(parents=True, exist_ok=True)
        for j in range(len(self)):
            expert = self.get(j)
            expert.save_files(folder)
            path = _weights(folder, expert.name)
            unfinished = path.with_suffix(".tmp")
            save_model(expert, str(unfinished), metadata={"format": "pt"})
            os.replace(unfinished, path)

    def _load(self, expert: Expert, folder: Path) -> None:
        path = _weights(folder, expert.name)
        try:
            missing, unexpected = load_model(expert, path, strict=False)
        except FileNotFoundError as error:
            raise UserError(
                f"the checkpoint lacks {EXPERTS_FOLDER}/{path.name}: download it again"
            ) from error
        except (SafetensorError, RuntimeError) as error:  # RuntimeError: other shapes
            reason = " ".join(str(error).split())
            raise UserError(f"can't load {EXPERTS_FOLDER}/{path.name}: {reason}") from error
        if missing or unexpected:
            raise UserError(
                f"{EXPERTS_FOLDER}/{path.name} doesn't fit the expert of config.json: "
                + key_faults(missing, unexpected)
            )


def key_faults(missing: Sequence[str], unexpected: Sequence[str]) -> str:
    """One line that names missing and unexpected keys, at most eight of each."""
    faults = []
    for what, keys in (("missing", sorted(missing)), ("unexpected", sorted(unexpected))):
        if keys:
            more = f" and {len(keys) - 8} more" if len(keys) > 8 else ""
            faults.append(f"{what} keys {', '.join(keys[:8])}{more}")
    return "; ".join(faults)


def expert_map(expert: Expert, images: Tensor, sizes: Tensor) -> Tensor:
    """Run one expert from the raw pictures.

    images: uint8 [B, 3, H, W]; sizes: integer [B, 2]. Returns [B, C, h, w].
    """
    view = expert.view(images, sizes)
    weight = next((p for p in expert.parameters() if p.is_floating_point()), None)
    if weight is not None and view.is_floating_point():
        view = view.to(weight.dtype)
    return expert(view)


def _weights(folder: Path, name: str) -> Path:
    return folder / EXPERTS_FOLDER / f"{name}.safetensors"
