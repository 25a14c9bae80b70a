"""MoVA-8B at full size, on the meta device, has exactly the tensors of the released checkpoint."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from openmova.checkpoints.memory import unloaded_model
from openmova.checkpoints.mova_specs import RELEASED_ORDER, mova_8b
from openmova.checkpoints.plan import Plan, expert_place
from openmova.checkpoints.release import plan_release
from openmova.checkpoints.tensors import read_manifest
from openmova.model.configuration_mova import MovaConfig

MANIFEST = Path(__file__).parents[1] / "golden" / "manifest_mova_8b.json"
LISTED = json.loads(MANIFEST.read_text(encoding="utf-8"))["tensors"]
Planned = tuple[MovaConfig, Plan]


@pytest.fixture(scope="module")
def planned() -> Planned:
    return plan_release({}, read_manifest(MANIFEST))


def test_every_released_tensor_has_a_place_of_its_shape(planned: Planned) -> None:
    _, plan = planned
    model, experts = unloaded_model(MovaConfig(**mova_8b()))
    places = dict(model.state_dict())
    for expert in experts:
        places |= {expert_place(expert.name, name): t for name, t in expert.state_dict().items()}
    assert {entry.place: entry.shape for entry in plan.entries} == {
        place: tensor.shape for place, tensor in places.items()
    }
    plan.check()


def test_what_is_taken_and_what_is_dropped_is_all_that_there_is(planned: Planned) -> None:
    _, plan = planned
    assert len(LISTED) == 3762
    taken = {entry.source for entry in plan.entries}
    assert taken | plan.dropped.keys() == LISTED.keys()
    assert not taken & plan.dropped.keys()
    for key in plan.dropped:  # nothing that inference uses
        assert LISTED[key]["kind"] == "buffer" or not LISTED[key]["used_at_inference"], key


def test_the_config_of_names_and_shapes_is_the_published_one(planned: Planned) -> None:
    found, _ = planned
    published = MovaConfig(**mova_8b())
    assert found.adapter == published.adapter
    assert found.expert_names == list(RELEASED_ORDER)
    for part in ("text_config", "gate_text_config"):
        ours, theirs = (getattr(config, part).to_dict() for config in (found, published))
        ends = ("size", "layers", "heads")
        assert ours.items() >= {k: v for k, v in theirs.items() if k.endswith(ends)}.items()
