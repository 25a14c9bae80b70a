"""The generic kinds inside a whole model: run where chosen, saved, and loaded again."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from openmova.model.modeling_mova import MovaForConditionalGeneration
from tiny import image_inputs, tiny_config, tiny_model

from .onnx_files import tiny_graph
from .test_hf import CONFIGS


@pytest.fixture
def model(tmp_path: Path) -> MovaForConditionalGeneration:
    """A trained base and an expert of transformers, and a graph."""
    graph = tmp_path / "tiny.onnx"
    graph.write_bytes(tiny_graph())
    dino: dict[str, Any] = {
        "kind": "hf",
        "descriptions": ["sees"],
        "config": {"model_type": "dinov2", **CONFIGS["dinov2"], "hidden_size": 16},
    }
    clip = dino | {"config": {"model_type": "clip_vision_model", **CONFIGS["clip_vision_model"]}}
    onnx = {"kind": "onnx", "descriptions": ["sees"], "path": str(graph), "output": "both"}
    adapter = vars(tiny_config().adapter) | {"expert_channels": (32, 6)}
    return tiny_model(
        base=dino | {"name": "base"},
        experts=[clip | {"name": "clip"}, onnx | {"name": "graph"}],
        adapter=adapter,
    )


def image_tokens(model: MovaForConditionalGeneration, routing: Tensor) -> Tensor:
    with torch.no_grad():
        tokens, _ = model.model.image_tokens(
            **image_inputs(len(routing)),
            routing=routing,
            question_input_ids=torch.ones(len(routing), 3, dtype=torch.long),
        )
    return tokens


ROUTING = torch.tensor([[True, False], [False, True], [True, True], [False, False]])


def test_each_expert_changes_what_the_rows_that_chose_it_see(
    model: MovaForConditionalGeneration,
) -> None:
    mixed = image_tokens(model, ROUTING)
    base_only = image_tokens(model, torch.zeros_like(ROUTING))
    changed = (mixed - base_only).abs().amax(dim=(1, 2)) > 1e-4
    assert changed.tolist() == [True, True, True, False]


def test_a_saved_mixture_sees_the_same(model: MovaForConditionalGeneration, tmp_path: Path) -> None:
    expected = image_tokens(model, ROUTING)
    model.save_pretrained(tmp_path / "checkpoint")
    loaded = MovaForConditionalGeneration.from_pretrained(tmp_path / "checkpoint")
    assert torch.equal(image_tokens(loaded.eval(), ROUTING), expected)
