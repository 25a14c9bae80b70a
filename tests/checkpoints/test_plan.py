"""The bookkeeping of a conversion: everything is taken, dropped with a reason, or a named fault."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from openmova.checkpoints.plan import Drop, Plan, expert_place, plan_keys, resize_table
from openmova.checkpoints.tensors import Tensors
from openmova.errors import UserError

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
EXPECTED = {"model.a": (2, 3), "experts/sam.2/b.weight": (4,)}


def planned(source: dict[str, Tensor] = SOURCE, dtype: str | None = None) -> Plan:
    return plan_keys(Tensors(source).names(), KEY_MAP, EXPECTED, dtype=dtype)


def test_everything_has_its_place() -> None:
    plan = planned()
    plan.check(Tensors(SOURCE))
    assert [(e.file, e.name, e.source, e.shape) for e in plan.entries] == [
        ("model.safetensors", "model.a", "a", (2, 3)),
        ("experts/sam.2.safetensors", "b.weight", "b", (4,)),
    ]
    assert [e.place for e in plan.entries] == list(EXPECTED)
    assert plan.to_dict() == {
        "consumed": ["a", "b"],
        "dropped": {"old": "not used"},
        "unfilled": [],
        "mismatched": [],
        "unknown": [],
    }
    assert plan.nbytes == 2 * 3 * 4 + 4 * 8


def test_only_floating_tensors_change_their_type() -> None:
    assert [e.dtype for e in planned().entries] == ["float32", "int64"]
    assert [e.dtype for e in planned(dtype="bfloat16").entries] == ["bfloat16", "int64"]


def test_faults_name_file_and_key() -> None:
    source = {"a": torch.zeros(3, 2), "c": torch.zeros(1)}
    plan = planned(source)
    assert plan.mismatched == [{"key": "a", "shape": [3, 2], "wanted": [2, 3]}]
    assert plan.unknown == ["c"] and plan.unfilled == ["experts/sam.2/b.weight"]
    with pytest.raises(UserError) as caught:
        plan.check(Tensors(source, file="shard.bin"))
    message = str(caught.value)
    assert "shard.bin: a has the shape [3, 2] instead of [2, 3]" in message
    assert "shard.bin: unknown key c" in message
    assert "fills experts/sam.2/b.weight" in message
    assert "\n" not in message


def test_a_long_list_of_faults_is_cut() -> None:
    source = {f"x{i}": torch.zeros(1) for i in range(10)}
    with pytest.raises(UserError, match="unknown key x3 and 6 more"):
        planned(source).check(Tensors(source))


def test_two_keys_for_one_place_are_a_fault() -> None:
    source = SOURCE | {"a2": torch.zeros(2, 3)}
    plan = plan_keys(Tensors(source).names(), KEY_MAP | {"a2": "model.a"}, EXPECTED)
    assert plan.unknown == ["a2"]


def test_large_files_are_cut_by_size() -> None:
    source = {name: torch.zeros(10) for name in "abcde"} | {"e": torch.zeros(100)}
    expected = {f"model.{name}": tuple(t.shape) for name, t in source.items()}
    expected["experts/x/w"] = (10,)
    key_map = {name: f"model.{name}" for name in source}
    names = Tensors(source | {"w": torch.zeros(10)}).names()
    plan = plan_keys(names, key_map | {"w": "experts/x/w"}, expected, shard_bytes=80)
    files = {file: [e.name for e in entries] for file, entries in plan.files.items()}
    assert files == {
        "model-00001-of-00003.safetensors": ["model.a", "model.b"],
        "model-00002-of-00003.safetensors": ["model.e"],
        "model-00003-of-00003.safetensors": ["model.c", "model.d"],
        "experts/x.safetensors": ["w"],
    }
    assert [e.place for e in plan.entries] == list(expected)


def test_positions_are_resized_as_the_release_does() -> None:
    table = torch.randn(1 + 4 * 4, 6).bfloat16()
    made = resize_table(table, (1 + 8 * 8, 6))
    grid = table[1:].float().T.view(1, 6, 4, 4)
    wanted = F.interpolate(grid, (8, 8), mode="bicubic", align_corners=False)[0].flatten(1).T
    assert made.dtype == torch.bfloat16 and made.shape == (65, 6)
    assert torch.equal(made[0], table[0])
    assert torch.equal(made[1:], wanted.bfloat16())
    same = resize_table(table[None], (1, 17, 6))
    assert torch.equal(same, table[None])


def test_a_table_that_may_be_resized_may_have_another_shape() -> None:
    names = Tensors({"a": torch.zeros(17, 6)}).names()
    key_map, expected = {"a": "model.a"}, {"model.a": (65, 6)}
    assert plan_keys(names, key_map, expected).mismatched
    plan = plan_keys(names, key_map, expected, resizable=["model.a"])
    assert not plan.mismatched
    assert plan.entries[0].resized and plan.entries[0].shape == (65, 6)
