"""The bookkeeping of a conversion: everything is taken, dropped with a reason, or a named fault."""

from __future__ import annotations

import torch
from torch import Tensor

from commands import fault
from openmova.checkpoints.plan import Drop, Part, Plan, expert_place
from openmova.checkpoints.tensors import Tensors

SOURCE = {
    "a": torch.zeros(2, 3),
    "b": torch.zeros(4, dtype=torch.int64),
    "old": torch.zeros(1),
}
KEY_MAP = {
    "a": "model.a",
    "b": expert_place("sam.2", "b.weight"),
    "old": Drop("not used"),
}
EXPECTED = {"model.a": SOURCE["a"], "experts/sam.2/b.weight": SOURCE["b"]}


def planned(more: dict[str, Tensor] | None = None) -> Plan:
    source = Tensors(SOURCE | (more or {}), "shard.bin")
    return Part(tensors=source, key_map=KEY_MAP | {"a2": "model.a"}, expected=EXPECTED).plan()


def test_everything_has_its_place() -> None:
    plan = planned()
    plan.check()
    assert [(e.file, e.name, e.source, e.shape) for e in plan.entries] == [
        ("model.safetensors", "model.a", "a", (2, 3)),
        ("experts/sam.2.safetensors", "b.weight", "b", (4,)),
    ]
    assert [e.place for e in plan.entries] == list(EXPECTED)
    assert plan.to_dict() == {
        "consumed": ["a", "b"],
        "dropped": {"old": "not used"},
        **{key: [] for key in ("unfilled", "mismatched", "unknown")},
    }
    assert plan.nbytes == 2 * 3 * 4 + 4 * 8


def test_faults_name_file_and_key() -> None:
    source = Tensors({"a": torch.zeros(3, 2), "c": torch.zeros(1)}, "shard.bin")
    plan = Part(tensors=source, key_map=KEY_MAP, expected=EXPECTED).plan()
    assert plan.mismatched == [{"key": "a", "shape": [3, 2], "wanted": [2, 3]}]
    assert plan.unknown == ["c"] and plan.unfilled == ["experts/sam.2/b.weight"]
    message = fault(plan.check)
    assert "shard.bin: a has the shape [3, 2] instead of [2, 3]" in message
    assert "shard.bin: unknown key c" in message
    assert "fills experts/sam.2/b.weight" in message


def test_a_long_list_of_faults_is_cut() -> None:
    message = fault(planned({f"x{i}": torch.zeros(1) for i in range(10)}).check)
    assert "unknown key x3; and 6 more" in message and "x4" not in message


def test_two_keys_for_one_place_are_a_fault() -> None:
    assert planned({"a2": torch.zeros(2, 3)}).unknown == ["a2"]
