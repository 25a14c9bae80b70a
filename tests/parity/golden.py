"""Reads a golden set: a JSON that says what was computed, and its tensors.

The folder is OPENMOVA_PARITY, or tests/golden. Sets are found by the module that their JSON names,
never by file name, so that a folder with other sets of the same kinds is checked by the same tests.
"""

from __future__ import annotations

import hashlib
import json
import os
import zlib
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

FOLDER = Path(os.environ.get("OPENMOVA_PARITY", Path(__file__).parents[1] / "golden"))


@dataclass(frozen=True)
class GoldenSet:
    """One JSON with its tensors on torch's default device: outputs in float32, whatever small type
    they are stored in, weights and inputs in the default dtype."""

    path: Path
    spec: dict[str, Any]

    @property
    def config(self) -> dict[str, Any]:
        return self.spec["config"]

    @property
    def tolerance(self) -> float:
        return self.spec["tolerance_max_abs"]

    @cached_property
    def tensors(self) -> dict[str, Tensor]:
        stored = load_file(self.path.parent / self.spec["file"])
        whole = {**self._left_out(stored), **stored}
        device = torch.get_default_device()
        return {
            k: t.to(device, torch.float32 if k.startswith("out.") else torch.get_default_dtype())
            if t.is_floating_point()
            else t.to(device)
            for k, t in whole.items()
        }

    def _left_out(self, stored: Collection[str]) -> dict[str, Tensor]:
        """The weights that the JSON lists and the file leaves out, drawn again from the seed.

        In order: from one generator, weight after weight as listed, with the rule's moments. By
        name: by the rule, from the name below the model.
        """
        drawn: dict[str, Tensor] = {}
        if "weights_left_out" not in self.spec:
            return drawn
        generator = torch.Generator("cpu").manual_seed(self.spec["seed"])
        for name, told in self.spec["tensors"].items():
            if not name.startswith("w.") or name in stored:
                continue
            own, shape = name.removeprefix("w."), tuple(told["shape"])
            if self.spec["weights_left_out"] == "by name":
                weight = self.recipe_weight(f"model.vision_tower.{own}", shape)
            else:
                mean, std = _moments(own, shape)
                weight = torch.randn(shape, generator=generator, device="cpu", dtype=torch.float32)
                weight = weight * std + mean
            # What is stored as float32 had been rounded too.
            small = told["stored_dtype"] == "float8_e4m3fn"
            drawn[name] = weight.to(torch.float8_e4m3fn if small else torch.float16)
        return drawn

    def part(self, prefix: str) -> dict[str, Tensor]:
        """The tensors whose name starts with the prefix, without it."""
        return {k.removeprefix(prefix): t for k, t in self.tensors.items() if k.startswith(prefix)}

    def recipe_weight(self, full_name: str, shape: tuple[int, ...]) -> Tensor:
        """A weight made by the set's rule from its full released name."""
        seed = (zlib.crc32(full_name.encode()) + self.spec["seed"]) % 2**32
        mean, std = _moments(full_name, shape)
        drawn = np.random.RandomState(seed).standard_normal(shape) * std + mean
        return torch.from_numpy(drawn.astype(np.float32).astype(np.float16).astype(np.float32))

    def check_spot(self, name: str, weight: Tensor) -> None:
        """The weight made by the rule is the released one, where the set tells its checksum."""
        if spot := self.spec["weights"]["spot_checks"].get(name):
            assert hashlib.sha256(weight.numpy().tobytes()).hexdigest() == spot["sha256_float32"]

    def recipe_input(self, recipe: dict[str, Any]) -> Tensor:
        """An input made by its recipe; its checksum must agree."""
        shape = tuple(recipe["shape"])
        raw = np.random.RandomState(recipe["seed"]).bytes(int(np.prod(shape)))
        values = np.frombuffer(raw, dtype=np.uint8).reshape(shape).astype(np.float32)
        values = (values - 128) / 64
        assert hashlib.sha256(values.tobytes()).hexdigest() == recipe["sha256_float32"]
        return torch.from_numpy(values).to(torch.get_default_device(), torch.get_default_dtype())


def _moments(name: str, shape: tuple[int, ...]) -> tuple[float, float]:
    """Mean and standard deviation of a weight, as `weights.rule` of the JSON says."""
    embeddings = ("embed_tokens", "word_embeddings", "position_embedding", "token_type")
    embeddings += ("row_embedder", "column_embedder")
    is_embedding = any(part in name.lower() for part in embeddings)
    last = name.rsplit(".", 1)[-1]
    mean, std = 0.0, 0.5
    if len(shape) >= 2 and name.endswith("weight") and not is_embedding:
        std = 1 / np.sqrt(np.prod(shape[1:]))
    elif name.endswith("weight") and len(shape) == 1:
        mean, std = 1.0, 0.15
    elif last == "lambda1":
        mean, std = 0.8, 0.15
    elif last == "bias":
        std = 0.1
    elif last in ("q_bias", "v_bias"):
        std = 0.2
    elif "rel_pos" in last:
        std = 0.3
    if name.endswith("gate.2.weight"):
        std *= 3
    if name == "lm_head.weight":
        std *= 4
    return mean, float(std)


def find(wanted: Callable[[str], bool]) -> list[GoldenSet]:
    """The sets whose module field is wanted."""
    read = (
        GoldenSet(path, json.loads(path.read_text(encoding="utf-8")))
        for path in sorted(FOLDER.glob("*.json"))
    )
    return [golden for golden in read if wanted(golden.spec.get("module", ""))]


def sets(kind: str, recipe: bool | None = None) -> list[GoldenSet]:
    """The sets of a class of the release: its name ends the first word of the module field.

    recipe: only sets whose weights are given as a recipe (True) or stored (False).
    """
    return [
        golden
        for golden in find(lambda module: module.split(" ")[0].rsplit(".", 1)[-1] == kind)
        if recipe in (None, "weights" in golden.spec)
    ]


def ids(golden: GoldenSet) -> str:
    """The test id of a set."""
    return golden.path.stem


def cases(golden_sets: list[GoldenSet], names: Callable[[GoldenSet], Iterable[str]]) -> list[Any]:
    """A parameter for every set and each of its names."""
    return [
        pytest.param(golden, name, id=f"{ids(golden)}-{name}")
        for golden in golden_sets
        for name in names(golden)
    ]
