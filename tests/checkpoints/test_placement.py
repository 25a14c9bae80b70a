"""Over several devices: encoders and adapter stay whole and together, only layers go further."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import pytest
import torch

from commands import fault
from openmova.checkpoints.loading import load_model
from openmova.checkpoints.memory import GIB, measure
from openmova.checkpoints.mova_specs import mova_8b
from openmova.checkpoints.placement import DeviceMap, auto_device_map
from openmova.model.configuration_mova import MovaConfig
from tiny import image_inputs, tiny_model

PARTS = ("model.base", "model.experts", "model.adapter", "model.gate_text_encoder")


def placed(gibs: dict[int | str, float], **options: Any) -> DeviceMap:
    memory = {device: int(size * GIB) for device, size in gibs.items()}
    config = MovaConfig(**mova_8b())
    return auto_device_map(config, dtype=torch.bfloat16, max_memory=memory, **options)


def devices(places: DeviceMap, name: str) -> set[Any]:
    """Where the parts of a module are."""
    return {
        device
        for place, device in places.items()
        if f"{name}.".startswith(f"{place}.") or place.startswith(f"{name}.")
    }


def layers(places: DeviceMap) -> list[set[Any]]:
    """Where the 32 layers of the language model are."""
    return [devices(places, f"model.language_model.layers.{i}") for i in range(32)]


def test_what_fits_one_gpu_stays_there() -> None:
    assert set(placed({0: 48, 1: 48, "cpu": 64}).values()) == {0}
    assert placed({"cpu": 64}) == {"": "cpu"}


@pytest.mark.parametrize(
    ("memory", "further"), [({0: 16, "cpu": 64}, "cpu"), ({0: 14, 1: 24, "cpu": 64}, 1)]
)
def test_only_the_language_models_layers_go_further(
    memory: dict[int | str, float], further: int | str
) -> None:
    places = placed(memory, offload=True)
    for part in (*PARTS, "model.language_model.embed_tokens", "model.language_model.layers.0"):
        assert devices(places, part) == {0}, part
    assert all(len(layer) == 1 for layer in layers(places))  # none is split
    assert layers(places)[-1] == {further}


def test_experts_have_room_kept_for_them() -> None:
    one, every = (
        layers(placed({0: 20, "cpu": 64}, offload=offload)).count({0}) for offload in (True, False)
    )
    needs = measure(MovaConfig(**mova_8b()))
    freed = needs.expert_bytes(offload=False) - needs.expert_bytes(offload=True)
    layer = 2 * (2 * 4096 * 4096 + 2 * 4096 * 1024 + 3 * 4096 * 14336)
    assert one - every == pytest.approx(freed / layer, abs=1)


def test_fewer_bits_take_less_room() -> None:
    small = placed({0: 12, "cpu": 64}, offload=True, quantization="4bit")
    assert set(small.values()) == {0}
    assert "cpu" in placed({0: 12, "cpu": 64}, offload=True).values()


def test_what_can_not_be_is_told() -> None:
    told = fault(placed, {0: 4, "cpu": 64}, offload=True)
    assert "GPU 0 has 4.0 GiB, too little for encoders" in told
    told = fault(placed, {0: 8, "cpu": 64}, offload=True, quantization="4bit")
    assert "quantised layers can't wait in host memory" in told


@torch.no_grad()
def test_layers_that_lie_elsewhere_compute_the_same(tmp_path: Path) -> None:
    model = tiny_model()
    model.save_pretrained(tmp_path)
    inputs = {
        "input_ids": torch.tensor([[2, 5, 4, 4, 4, 4, 12, 13, 14, 6]]),
        "question_input_ids": torch.tensor([[2, 5, 6, 3]]),
        "routing": torch.tensor([[1, 0, 1]]).bool(),
        **image_inputs(1),
    }
    decoder = [f"model.language_model.{part}" for part in ("embed_tokens", "norm", "rotary_emb")]
    places = dict.fromkeys((*PARTS, "lm_head", *decoder, "model.language_model.layers.0"), "cpu")
    places["model.language_model.layers.1"] = "disk"
    spread = load_model(tmp_path, device_map=places, offload=True)
    assert spread.model.language_model.layers[1].mlp.up_proj.weight.device.type == "meta"
    torch.testing.assert_close(spread(**inputs).logits, model(**inputs).logits)
    assert spread.model.experts.built == ["one", "three"]


def test_every_part_may_be_on_the_host(tmp_path: Path) -> None:
    tiny_model().save_pretrained(tmp_path)
    model = load_model(tmp_path, device_map="auto")
    assert {parameter.device.type for parameter in model.parameters()} == {"cpu"} or (
        torch.cuda.is_available()
    )
    shutil.rmtree(tmp_path / "experts")
    assert load_model(tmp_path, device="cpu").model.experts.built == []
