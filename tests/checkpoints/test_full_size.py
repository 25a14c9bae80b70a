"""MoVA-8B at full size, on the meta device, has exactly the tensors of the released checkpoint."""

from __future__ import annotations

import json
from collections import Counter
from math import prod
from pathlib import Path

import pytest
import torch

from openmova.checkpoints.mova_specs import RELEASED_ORDER, mova_8b
from openmova.checkpoints.plan import Plan, expert_place
from openmova.checkpoints.release import plan_release
from openmova.checkpoints.tensors import read_manifest
from openmova.experts.registry import build_expert
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration

MANIFEST = Path(__file__).parents[1] / "golden" / "manifest_mova_8b.json"
LISTED = json.loads(MANIFEST.read_text(encoding="utf-8"))["tensors"]


@pytest.fixture(scope="module")
def planned() -> tuple[MovaConfig, Plan]:
    return plan_release({}, read_manifest(MANIFEST))


def places(config: MovaConfig) -> dict[str, tuple[int, ...]]:
    """Every parameter of a model and its experts, built without memory: place -> shape."""
    with torch.device("meta"):
        model = MovaForConditionalGeneration(config)
        found = {name: tuple(t.shape) for name, t in model.state_dict().items()}
        for spec in config.experts:
            for name, tensor in build_expert(spec).state_dict().items():
                found[expert_place(spec["name"], name)] = tuple(tensor.shape)
    assert all(parameter.is_meta for parameter in model.parameters())
    return found


def test_every_released_tensor_has_a_place_of_its_shape(planned: tuple[MovaConfig, Plan]) -> None:
    _, plan = planned
    assert {entry.place: entry.shape for entry in plan.entries} == places(MovaConfig(**mova_8b()))
    assert not plan.unfilled and not plan.mismatched and not plan.unknown


def test_what_is_taken_and_what_is_dropped_is_all_that_there_is(
    planned: tuple[MovaConfig, Plan],
) -> None:
    _, plan = planned
    assert len(LISTED) == 3762
    assert set(plan.consumed) | set(plan.dropped) == LISTED.keys()
    assert not set(plan.consumed) & set(plan.dropped)


def test_nothing_that_inference_uses_is_dropped(planned: tuple[MovaConfig, Plan]) -> None:
    _, plan = planned
    for key in plan.dropped:
        assert LISTED[key]["kind"] == "buffer" or not LISTED[key]["used_at_inference"], key


def test_the_parameters_of_each_tower_are_the_released_ones(
    planned: tuple[MovaConfig, Plan],
) -> None:
    _, plan = planned
    used: Counter[str] = Counter()
    for fields in LISTED.values():
        if fields["kind"] == "parameter" and fields["used_at_inference"]:
            used[fields["group"].rpartition(":")[2]] += prod(fields["shape"])
    ours: Counter[str] = Counter()
    for entry in plan.entries:
        ours[LISTED[entry.source]["group"].rpartition(":")[2]] += prod(entry.shape)
    assert ours == used


def test_the_config_of_names_and_shapes_is_the_published_one(
    planned: tuple[MovaConfig, Plan],
) -> None:
    found, _ = planned
    published = MovaConfig(**mova_8b())
    assert found.adapter == published.adapter
    assert found.expert_names == list(RELEASED_ORDER)
    for part in ("text_config", "gate_text_config"):
        sizes = getattr(published, part).to_dict()
        assert (
            getattr(found, part).to_dict().items()
            >= {k: v for k, v in sizes.items() if k.endswith(("size", "layers", "heads"))}.items()
        )
