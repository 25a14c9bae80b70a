"""Vision encoders as ONNX graphs: what runs where a checkpoint was exported."""

import logging
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from torch import Tensor

from openmova.errors import UserError
from openmova.experts.registry import build_expert

SIDE = 32
"""Of the picture that a graph is traced with."""


def write_encoder(spec: Mapping[str, Any], tensors: Mapping[str, Tensor], path: Path) -> None:
    """Write the graph of an encoder: the view float32 [1, ...] of a picture in, its map
    [1, C, h, w] out.

    tensors: its weights by their names; they go into NAME.onnx.data, in float32. Raises UserError
    without the package onnxscript, with which torch writes graphs.
    """
    with torch.device("meta"):
        encoder = build_expert(spec)
    encoder.load_state_dict({n: t.float() for n, t in tensors.items()}, assign=True)
    pictures = torch.zeros(1, 3, SIDE, SIDE, dtype=torch.uint8)
    view = encoder.view(pictures, torch.tensor([[SIDE, SIDE]]))
    path.parent.mkdir(parents=True, exist_ok=True)
    # It tells of packages that it could also write graphs of.
    logging.getLogger("torch.onnx._internal.exporter._registration").setLevel(logging.ERROR)
    try:
        with warnings.catch_warnings(), torch.inference_mode(False):
            warnings.simplefilter("ignore")
            torch.onnx.export(
                encoder,
                (view,),
                path,
                dynamo=True,
                verbose=False,
                input_names=["view"],
                output_names=["map"],
            )
    except ModuleNotFoundError as error:
        raise UserError(
            f"an encoder is written as a graph with the package {error.name!r}; "
            'install it with: pip install "openmova[onnx]"'
        ) from error
