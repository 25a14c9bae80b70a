"""The pool builds an expert when it is first chosen, leaves no trace, and may put it away."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, load_model
from torch._subclasses import FakeTensorMode

from openmova.checkpoints.mova_specs import CLIP, EXPERTS
from openmova.experts import KINDS, build_expert
from openmova.experts.pool import ExpertPool, expert_map, key_faults
from openmova.experts.registry import expert_class
from tiny import TinyExpert, image_inputs, spec

SPECS = [spec("one"), spec("two", channels=5)]


def test_an_expert_is_built_once_on_first_use() -> None:
    pool = ExpertPool(SPECS)
    assert len(pool) == 2 and pool.names == ["one", "two"] and pool.built == []
    assert not list(pool.parameters())
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


def test_a_state_dict_has_the_experts_that_nobody_chose_yet(tmp_path: Path) -> None:
    ExpertPool(SPECS).save(tmp_path)
    state = ExpertPool(SPECS, tmp_path).state_dict()
    assert {name.split(".")[0] for name in state} == {"0", "1"}
    larger = ExpertPool([*SPECS, spec("three")])
    with pytest.raises(RuntimeError, match=r'Missing key.*"2"'):
        larger.load_state_dict(state)
    missing, unexpected = larger.load_state_dict(state, strict=False)
    assert missing == ["2"] and not unexpected and larger.built == ["one", "two"]
    for name, tensor in larger.state_dict().items():
        if not name.startswith("2."):
            assert torch.equal(tensor, state[name])


def test_long_lists_of_keys_are_one_line() -> None:
    assert key_faults([], []) == ""
    faults = key_faults([f"k{i:02}" for i in range(20)], ["more"])
    assert faults.startswith("missing keys k00, k01")
    assert faults.endswith("k07 and 12 more; unexpected keys more")


def _images(count: int) -> dict[str, torch.Tensor]:
    inputs = image_inputs(count)
    return {"images": inputs["pixel_values"], "sizes": inputs["image_sizes"]}


def test_weights_are_read_into_the_pools_dtype_and_nothing_is_drawn(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ExpertPool(SPECS).save(tmp_path)
    seen: list[torch.dtype] = []

    def watched(expert: TinyExpert, path: Path, **options: Any) -> Any:
        seen.extend(parameter.dtype for parameter in expert.parameters())
        return load_model(expert, path, **options)

    monkeypatch.setattr("openmova.experts.pool.load_model", watched)
    monkeypatch.setattr(torch.nn.init, "kaiming_uniform_", None)  # a call would fail
    pool = ExpertPool(SPECS, tmp_path).to(torch.bfloat16)
    expert = pool.get(0)
    assert set(seen) == {torch.bfloat16}
    stored = load_file(tmp_path / "experts" / "one.safetensors")
    for name, parameter in expert.named_parameters():
        assert torch.equal(parameter, stored[name].bfloat16())
    assert expert.get_buffer("scale").tolist() == [0.5]  # computed, not saved


def test_shared_weights_stay_shared(tmp_path: Path) -> None:
    specs = [{**spec("one"), "kind": "shared"}]
    ExpertPool(specs).save(tmp_path)
    pool = ExpertPool(specs, tmp_path)
    expert = pool.get(0)
    assert isinstance(expert, SharedExpert)
    assert expert.conv.weight is expert.again.weight
    pool.offload = True
    with on_a_gpu(pool), pool.running(0):
        assert expert.conv.weight is expert.again.weight
        assert expert.conv.weight.device.type == "cuda"


def test_an_offloaded_expert_is_on_the_device_only_while_it_runs() -> None:
    pool = ExpertPool(SPECS)
    pool.offload = True
    one, two = pool.get(0), pool.get(1)
    before = [*one.parameters(), *one.buffers()]
    with on_a_gpu(pool):
        with pool.running(0) as expert:
            assert expert is one
            assert places(one) == {"cuda:0"}
            assert places(two) == {"cpu"}
            assert expert(torch.zeros(2, 3, 8, 8, device="cuda:0")).device.type == "cuda"
        assert places(one) == {"cpu"}
        with pytest.raises(ZeroDivisionError), pool.running(1):
            assert places(two) == {"cuda:0"}
            raise ZeroDivisionError
        assert places(two) == {"cpu"}
    after = [*one.parameters(), *one.buffers()]
    assert all(a is b for a, b in zip(before, after, strict=True))  # nothing is copied back


def test_offload_follows_dtypes_and_changes_no_map() -> None:
    pool, offloading = ExpertPool(SPECS), ExpertPool(SPECS)
    offloading.offload = True
    for j in range(2):
        offloading.get(j).load_state_dict(pool.get(j).state_dict())
    for one in (pool, offloading):
        one.to(torch.float64)
    for j in range(2):
        with pool.running(j) as a, offloading.running(j) as b:
            assert torch.equal(expert_map(a, **_images(2)), expert_map(b, **_images(2)))


@pytest.mark.parametrize("name", ["clip", *EXPERTS])
def test_a_kind_that_may_be_built_on_meta_has_nothing_that_is_not_saved(name: str) -> None:
    keywords = CLIP if name == "clip" else {"name": name, **EXPERTS[name]}
    assert expert_class(keywords["kind"]).on_meta
    with torch.device("meta"):
        built = build_expert(keywords)
    assert {tensor.device.type for tensor in (*built.parameters(), *built.buffers())} == {"meta"}
    assert {key for key, _ in built.named_buffers()} <= built.state_dict().keys()


class SharedExpert(TinyExpert):
    """One weight under two names."""

    def __init__(self, **keywords: Any) -> None:
        super().__init__(**keywords)
        self.again = torch.nn.Conv2d(3, self.channels, 2, stride=2)
        self.again.weight = self.conv.weight


KINDS["shared"] = f"{__name__}:SharedExpert"


@contextmanager
def on_a_gpu(pool: ExpertPool) -> Iterator[None]:
    """The pool's device is a GPU that checks where every tensor lies, and computes nothing."""
    with (
        pytest.MonkeyPatch.context() as patch,
        FakeTensorMode(allow_non_fake_inputs=True),
    ):
        patch.setattr(ExpertPool, "device", torch.device("cuda:0"))
        yield


def places(expert: torch.nn.Module) -> set[str]:
    return {str(tensor.device) for tensor in (*expert.parameters(), *expert.buffers())}
