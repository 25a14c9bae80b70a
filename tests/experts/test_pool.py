"""The pool builds an expert when it is first chosen, and leaves no trace of that."""

from __future__ import annotations

from pathlib import Path

import torch

from openmova.experts.pool import ExpertPool, expert_map, key_faults
from tiny import TinyExpert, image_inputs, spec

SPECS = [spec("one"), spec("two", channels=5)]


def test_an_expert_is_built_once_on_first_use() -> None:
    pool = ExpertPool(SPECS)
    assert len(pool) == 2 and pool.names == ["one", "two"] and pool.built == []
    assert not list(pool.parameters()) and not pool.state_dict()
    two = pool.get(1)
    assert pool.get(1) is two and pool.built == ["two"]
    assert not two.training and not pool.train().get(1).training
    assert not any(p.requires_grad for p in pool.parameters())


def test_building_follows_the_seed_and_uses_up_no_random_numbers() -> None:
    weights = []
    for _ in range(2):
        torch.manual_seed(3)
        pool = ExpertPool([spec("one"), spec("other")])
        before = torch.get_rng_state()
        weights.append([next(pool.get(j).parameters()) for j in range(2)])
        assert torch.equal(torch.get_rng_state(), before)
    assert torch.equal(weights[0][0], weights[1][0])
    assert not torch.equal(weights[0][0], weights[0][1])


def test_a_late_expert_follows_the_model() -> None:
    pool = ExpertPool(SPECS)
    early = pool.get(0)
    pool.to(torch.float64)
    assert next(early.parameters()).dtype == next(pool.get(1).parameters()).dtype == torch.float64
    maps = expert_map(pool.get(1), **_images(2))
    assert maps.shape == (2, 5, 4, 4) and maps.dtype == torch.float64


def test_an_expert_built_in_inference_mode_serves_training() -> None:
    pool = ExpertPool(SPECS)
    with torch.inference_mode():
        pool.get(0)
    scale = torch.ones(1, requires_grad=True)
    (expert_map(pool.get(0), **_images(1)) * scale).sum().backward()
    assert scale.grad is not None


def test_saving_writes_experts_that_were_never_built(tmp_path: Path) -> None:
    torch.manual_seed(0)
    pool = ExpertPool(SPECS)
    pool.save(tmp_path)
    assert sorted(p.name for p in (tmp_path / "experts").iterdir()) == [
        "one.safetensors",
        "two.safetensors",
    ]
    loaded = ExpertPool(SPECS, tmp_path).get(1)
    assert isinstance(loaded, TinyExpert)
    built = pool.get(1)
    assert all(
        torch.equal(a, b)
        for a, b in zip(built.state_dict().values(), loaded.state_dict().values(), strict=True)
    )
    assert torch.equal(loaded.scale, torch.full((1,), 0.5))


def test_long_lists_of_keys_are_one_line() -> None:
    assert key_faults([], []) == ""
    faults = key_faults([f"k{i:02}" for i in range(20)], ["more"])
    assert faults.startswith("missing keys k00, k01")
    assert faults.endswith("k07 and 12 more; unexpected keys more")


def _images(count: int) -> dict[str, torch.Tensor]:
    inputs = image_inputs(count)
    return {"images": inputs["pixel_values"], "sizes": inputs["image_sizes"]}
