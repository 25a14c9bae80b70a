"""Experts that are written into a checkpoint folder are those that the pool finds there."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from experts.pictures import padded_batch
from experts.words import embedding, read_back, tokenizer_file
from openmova.checkpoints.nano_experts import write_experts
from openmova.errors import UserError
from openmova.experts.lite import BN_EPS
from openmova.experts.object import ObjectExpert
from openmova.experts.pool import ExpertPool, expert_map

pytest.importorskip("onnxruntime", reason="detectors need the extra: openmova[onnx]")

CARRIED = Path(__file__).parents[2] / "models" / "nano"
pytestmark = pytest.mark.skipif(
    not (CARRIED / "nanodet.onnx").is_file(),
    reason="python -m studies.nano.convert_nanodet models/nano/nanodet.onnx",
)
COMMON = {"descriptions": ["sees"], "tokenizer": "tokenizer.json"}
SPECS = [
    COMMON | {"kind": "object", "name": "object", "size": 64},
    COMMON | {"kind": "location", "name": "location", "threshold": 0.05, "rows": [20, 24]},
]


@pytest.fixture
def language_model(tmp_path: Path) -> Path:
    folder = tokenizer_file(tmp_path / "language").parent
    save_file({"model.embed_tokens.weight": embedding()}, folder / "model.safetensors")
    return folder


def package_state() -> dict[str, torch.Tensor]:
    """A random Lite2 under the names of the package."""
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install it to compare")
    network = package.EfficientNet.from_name("efficientnet-lite2")
    assert network._bn0.eps == BN_EPS
    state: dict[str, torch.Tensor] = network.state_dict()
    return state


def test_the_pool_reads_what_was_written_and_saves_it_elsewhere(
    tmp_path: Path, language_model: Path
) -> None:
    first, second = tmp_path / "first", tmp_path / "second"
    state = package_state()
    write_experts(SPECS, first, language_model=language_model, lite2=state, carried=CARRIED)
    pool = ExpertPool(SPECS, first)
    named = pool.get(0)
    assert isinstance(named, ObjectExpert)
    torch.testing.assert_close(named.network.classifier.weight, state["_fc.weight"])
    with torch.no_grad():
        maps = [expert_map(pool.get(j), *padded_batch()) for j in range(len(pool))]
        assert all(read_back(named.codes, map_) for map_ in maps[0])
        pool.save(second)
        again = ExpertPool(SPECS, second)
        for j, expected in enumerate(maps):
            assert torch.equal(expert_map(again.get(j), *padded_batch()), expected)


def test_weights_of_another_network_are_refused(tmp_path: Path, language_model: Path) -> None:
    state = {"_fc.weight": torch.zeros(1000, 1280)}
    with pytest.raises(UserError, match="nano's weights do not fit: missing"):
        write_experts(
            SPECS, tmp_path / "x", language_model=language_model, lite2=state, carried=CARRIED
        )
