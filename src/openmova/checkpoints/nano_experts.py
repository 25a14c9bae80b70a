"""Writes the frozen experts of nano into a checkpoint folder, from packages and carried files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_model
from torch import Tensor, nn

from openmova.errors import UserError
from openmova.experts import build_expert
from openmova.experts.chart import ChartExpert
from openmova.experts.image_type import ImageTypeExpert
from openmova.experts.lite import convert_lite, convert_lite_classifier
from openmova.experts.location import LocationExpert
from openmova.experts.object import ObjectExpert
from openmova.experts.pool import EXPERTS_FOLDER
from openmova.experts.token_codes import WIDTH, TokenCodes

TOKENIZER = "tokenizer.json"
EMBEDDING = "model.embed_tokens.weight"
DETECTOR = "nanodet.onnx"
HEADS: dict[type, str] = {
    ChartExpert: "chart.safetensors",
    ImageTypeExpert: "image_type.safetensors",
}
"""Of experts that are a head on EfficientNet-Lite2."""
NOT_IN_PACKAGES = "num_batches_tracked"


def write_experts(
    specs: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    language_model: Path,
    lite2: Mapping[str, Tensor],
    carried: Path,
) -> None:
    """Fill `folder` with what these specs need: weights, tokenizer and codes, NanoDet's graph.

    language_model: a folder of safetensors and a tokenizer, whose embedding gives the token codes.
    lite2: EfficientNet-Lite2's state with its package's names. carried: where NanoDet's graph and
    the heads of experts are.
    Raises UserError where a package can't be had or Lite2's weights do not fit.
    """
    (folder / EXPERTS_FOLDER).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(language_model / TOKENIZER, folder / TOKENIZER)
    shutil.copyfile(carried / DETECTOR, folder / EXPERTS_FOLDER / DETECTOR)
    with safe_open(language_model / "model.safetensors", "pt") as weights:
        embedding = weights.get_tensor(EMBEDDING)
    codes = TokenCodes(TOKENIZER, specs[0].get("width", WIDTH), folder)
    codes.fit(embedding)
    codes.save(folder)
    for spec in specs:
        expert = build_expert(spec, folder=folder)
        if isinstance(expert, ObjectExpert | LocationExpert):
            load_fitting(expert.network, convert_lite_classifier(lite2))
        if isinstance(expert, ChartExpert | ImageTypeExpert):
            own, whole = expert.encoder.state_dict(), convert_lite(lite2)
            load_fitting(expert.encoder, {key: whole[key] for key in own.keys() & whole.keys()})
            expert.head.load_state_dict(load_file(carried / HEADS[type(expert)]))
        file = folder / EXPERTS_FOLDER / f"{expert.name}.safetensors"
        save_model(expert, str(file), metadata={"format": "pt"})


def load_fitting(
    module: nn.Module, state: Mapping[str, Tensor], left_out: tuple[str, ...] = ()
) -> None:
    """Load a full state; only what batch norm counts and what is left out may differ.

    Raises UserError where it does not fit.
    """
    missing, unexpected = module.load_state_dict(state, strict=False)
    missing = [key for key in missing if not key.endswith(NOT_IN_PACKAGES)]
    unexpected = [key for key in unexpected if not key.startswith(left_out)]
    if missing or unexpected:
        raise UserError(
            f"nano's weights do not fit: missing {missing[:3]}, unexpected {unexpected[:3]}; "
            "remove the folder wheels in the cache folder and start again"
        )
