"""What a model needs is what it takes when it is loaded; known without loading it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import DynamicCache

from openmova.checkpoints.memory import GIB, MODES, Needs, cache_bytes, measure, unloaded_model
from openmova.checkpoints.mova_specs import mova_8b
from openmova.model.configuration_mova import MovaConfig
from tiny import TEXT_CONFIGS, tiny_config, tiny_model


def held(*modules: torch.nn.Module) -> int:
    """Bytes of the different tensors in memory."""
    tensors = {
        tensor.data_ptr(): tensor.nbytes
        for module in modules
        for tensor in (*module.parameters(), *module.buffers())
    }
    return sum(tensors.values())


@pytest.fixture(scope="module")
def mova() -> Needs:
    return measure(MovaConfig(**mova_8b()))


@pytest.mark.parametrize("tied", [False, True])
@pytest.mark.parametrize("text", TEXT_CONFIGS)
def test_every_part_is_as_large_as_it_is_in_memory(text: str, tied: bool) -> None:
    config = tiny_config(text)
    settings = {**config.text_config.to_dict(), "tie_word_embeddings": tied}
    model = tiny_model(text_config=settings).to(torch.bfloat16)
    core = model.model
    needs = measure(model.config)
    real = [
        held(core.language_model, model.lm_head),
        *(held(part) for part in (core.base, core.adapter, core.gate_text_encoder)),
        *(held(core.experts.get(j)) for j in range(3)),
    ]
    assert [part.bytes["bf16"] for part in needs.parts] == real
    assert sum(part.parameters for part in needs.parts) == sum(
        parameter.numel() for parameter in model.parameters()
    )


def test_the_parts_of_mova_8b(mova: Needs) -> None:
    parts = {part.name: part for part in mova.parts}
    assert list(parts) == [
        *("llama", "clip", "adapter", "text encoder"),
        *("dinov2", "vary", "codetr", "pix2struct", "deplot", "biomedclip", "sam"),
    ]
    assert parts["llama"].parameters == 8_030_261_248
    assert sum(part.parameters for part in mova.parts) == pytest.approx(11.6e9, rel=0.01)
    for part in mova.parts:  # only the language model has smaller forms
        same = len(set(part.bytes.values())) == 1
        assert same == (part.part != "language model")
    # Embeddings and head, 1.05e9 parameters, keep their 16 bits.
    linear = 8_030_261_248 - 2 * 128_256 * 4096 - 65 * 4096
    others = parts["llama"].bytes["bf16"] - 2 * linear
    assert parts["llama"].bytes["8bit"] == pytest.approx(others + linear, rel=1e-3)
    assert parts["llama"].bytes["4bit"] == pytest.approx(others + 0.516 * linear, rel=1e-3)


def test_offload_leaves_the_largest_expert_on_the_device(mova: Needs) -> None:
    sizes = [part.bytes["bf16"] for part in mova.experts]
    for mode in MODES:
        saved = mova.total(mode, offload=False) - mova.total(mode, offload=True)
        assert saved == sum(sizes) - max(sizes)
    assert mova.total("bf16", offload=False) > mova.total("8bit", offload=False)


def test_what_fits_leaves_a_tenth_free(mova: Needs) -> None:
    need = mova.total("4bit", offload=True)
    assert mova.fitting(int(need / 0.9) + 10) == [("4bit", True)]
    assert mova.fitting(need) == []
    assert mova.fitting(80 * GIB)[0] == ("bf16", False)
    assert mova.fitting(80 * GIB, offload=False) == [(mode, False) for mode in MODES]


@pytest.mark.parametrize("text", TEXT_CONFIGS)
@torch.no_grad()
def test_the_cache_is_as_large_as_a_real_one(text: str) -> None:
    model = tiny_model(text).to(torch.bfloat16)
    cache = DynamicCache()
    model(input_ids=torch.ones(1, 5, dtype=torch.long), past_key_values=cache, use_cache=True)
    real = sum(layer.keys.nbytes + layer.values.nbytes for layer in cache.layers)
    assert cache_bytes(model.config, 5) == real


def test_weights_in_other_files_count(monkeypatch: pytest.MonkeyPatch) -> None:
    def file_bytes(cls: Any, keywords: Any, *, folder: Path | None = None) -> int:
        return 1000 if keywords["name"] == "two" else 0

    before = measure(tiny_config()).experts
    monkeypatch.setattr("tiny.TinyExpert.file_bytes", classmethod(file_bytes))
    after = measure(tiny_config()).experts
    more = [b.bytes["bf16"] - a.bytes["bf16"] for a, b in zip(before, after, strict=True)]
    assert more == [0, 1000, 0]


def test_nothing_is_allocated() -> None:
    model, experts = unloaded_model(MovaConfig(**mova_8b()))
    assert all(tensor.is_meta for part in (model, *experts) for tensor in part.parameters())
