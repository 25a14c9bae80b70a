"""A model is exported: its language model as graphs that say what its layers say."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import AutoConfig, AutoModel, DynamicCache, PreTrainedConfig

from checkpoints.public import random_weights, save_tiny_mova
from checkpoints.tiny_release import published
from commands import fault
from openmova import Mova
from openmova.checkpoints import mova_specs, onnx_decoder
from openmova.checkpoints.export import plan_export
from openmova.checkpoints.memory import MODES, measure
from openmova.checkpoints.onnx_decoder import BLOCK, quantize, write_decoder, write_head
from openmova.checkpoints.onnx_encoders import write_encoder
from openmova.checkpoints.tiny import WIDTH
from openmova.experts.onnx_encoder import OnnxEncoder
from openmova.experts.registry import build_expert
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.onnx_language_model import (
    HEAD,
    LANGUAGE_MODEL,
    WEIGHTS,
    OnnxHead,
    OnnxLanguageModel,
)
from openmova.model.pretrained import CACHE
from openmova.routing import RouterLoraConfig
from tiny import pictures, tiny_config

SIZES: dict[str, Any] = {
    "vocab_size": 50,
    "hidden_size": 48,  # no multiple of a block
    "intermediate_size": 80,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 16,
    "max_position_embeddings": 512,
}
SCALED = {"rope_type": "llama3", "factor": 8.0, "low_freq_factor": 1.0, "high_freq_factor": 4.0}
TYPES = {
    "llama": {},
    "llama with scaled positions": {
        "rope_parameters": {**SCALED, "rope_theta": 1e4, "original_max_position_embeddings": 64}
    },
    "mistral": {"sliding_window": None},
    "qwen2": {},
    "qwen3": {},
}


@pytest.fixture
def exact(monkeypatch: pytest.MonkeyPatch) -> None:
    """Inputs of products are not rounded, so that a graph can be compared."""
    monkeypatch.setattr(onnx_decoder, "INPUTS_IN_8_BITS", 1)


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model whose answers depend on the experts."""
    folder = save_tiny_mova(tmp_path_factory.mktemp("models") / "source")
    (folder / "experts" / "tokenizer.codes.safetensors").write_bytes(b"no expert's file")
    return folder


@pytest.fixture(scope="module")
def exported(source: Path) -> Path:
    folder = source.with_name("exported")
    plan_export(source, 8).write(folder)
    return folder


def config_of(name: str) -> PreTrainedConfig:
    return AutoConfig.for_model(name.split()[0], **SIZES, **TYPES[name])


def decoder_of(config: PreTrainedConfig) -> Any:
    """A decoder of transformers with random weights, biases and norms among them."""
    decoder = AutoModel.from_config(config).eval()
    random_weights(decoder)
    return decoder


def rounded(weight: Tensor, bits: int) -> Tensor:
    """What a quantised weight [N, M] stands for."""
    numbers, scales = quantize(weight, bits)
    if bits == 4:
        numbers = torch.stack([numbers & 15, numbers >> 4], dim=-1).flatten(2)
    values = (numbers.float() - (1 << (bits - 1))) * scales.view(len(weight), -1, 1)
    return values.flatten(1)[:, : weight.shape[1]]


def round_layers(decoder: nn.Module, bits: int) -> None:
    with torch.no_grad():
        for module in decoder.modules():
            if isinstance(module, nn.Linear):
                module.weight.copy_(rounded(module.weight, bits))


def in_onnx(decoder: Any, folder: Path, bits: int) -> OnnxLanguageModel:
    tensors = {k: t for k, t in decoder.state_dict().items() if k != "embed_tokens.weight"}
    write_decoder(decoder.config, tensors, folder / LANGUAGE_MODEL, bits=bits)
    return OnnxLanguageModel(decoder.config, folder)


@torch.no_grad()
def in_two_calls(decoder: Any, embeddings: Tensor, mask: Tensor) -> Tensor:
    """The states of two rows, of which one is padded, whose last places come in a second call."""
    cache, states = DynamicCache(), []
    positions = (mask.cumsum(dim=1) - 1).clamp(min=0)
    for part in (slice(0, 7), slice(7, 10)):
        output = decoder(
            inputs_embeds=embeddings[:, part],
            attention_mask=mask[:, : part.stop],
            position_ids=positions[:, part],
            use_cache=True,
            return_dict=True,
            **{CACHE: cache},
        )
        assert output[CACHE] is cache
        states.append(output.last_hidden_state)
    return torch.cat(states, dim=1)[mask.bool()]


@pytest.mark.parametrize("bits", [8, 4])
@pytest.mark.parametrize("name", TYPES)
def test_the_graph_says_what_the_layers_say(
    name: str, bits: int, tmp_path: Path, exact: None
) -> None:
    decoder = decoder_of(config_of(name))
    graph = in_onnx(decoder, tmp_path, bits)
    round_layers(decoder, bits)
    embeddings = torch.randn(2, 10, 48, generator=torch.Generator().manual_seed(0))
    mask = torch.ones(2, 10, dtype=torch.long)
    mask[0, :4] = 0
    expected = in_two_calls(decoder, embeddings, mask)
    torch.testing.assert_close(
        in_two_calls(graph, embeddings, mask), expected, atol=1e-4, rtol=1e-3
    )


def test_samples_in_one_row_do_not_see_each_other(tmp_path: Path, exact: None) -> None:
    graph = in_onnx(decoder_of(config_of("llama")), tmp_path, 8)
    first, second = torch.randn(2, 1, 4, 48, generator=torch.Generator().manual_seed(0))
    seen = torch.block_diag(*[torch.ones(4, 4).tril()] * 2).bool()[None, None]
    places = torch.arange(4).repeat(2)[None]
    joint = graph(torch.cat([first, second], dim=1), attention_mask=seen, position_ids=places)
    alone = graph(second).last_hidden_state
    torch.testing.assert_close(joint.last_hidden_state[:, 4:], alone, atol=1e-5, rtol=1e-4)


@pytest.mark.parametrize(("bits", "most"), [(8, 1 / 127), (4, 1 / 8)])
def test_no_weight_moves_by_more_than_a_step_of_its_block(bits: int, most: float) -> None:
    weight = torch.randn(6, 3 * BLOCK, generator=torch.Generator().manual_seed(0))
    weight[0, :BLOCK] = 0
    moved = (rounded(weight, bits) - weight).unflatten(1, (-1, BLOCK)).abs().amax(dim=2)
    assert (moved <= weight.unflatten(1, (-1, BLOCK)).abs().amax(dim=2) * most).all()
    assert torch.equal(rounded(weight, bits)[0, :BLOCK], torch.zeros(BLOCK))


def test_the_head_is_that_of_the_model(tmp_path: Path, exact: None) -> None:
    weight = torch.randn(50, 48, generator=torch.Generator().manual_seed(0))
    write_head(weight, tmp_path / HEAD)
    hidden = torch.randn(2, 3, 48, generator=torch.Generator().manual_seed(1))
    expected = hidden @ rounded(weight, 8).T
    torch.testing.assert_close(OnnxHead(tmp_path)(hidden), expected, atol=1e-4, rtol=1e-3)


def test_only_rows_of_the_routing_pass_see_the_routers_matrices(
    tmp_path: Path, exact: None
) -> None:
    decoder = decoder_of(config_of("llama"))
    lora = RouterLoraConfig(rank=4, alpha=8, targets=("q_proj", "down_proj"))
    config = tiny_config().to_dict() | {
        "text_config": {**decoder.config.to_dict()},
        "routing": {"lora": {"rank": 4, "alpha": 8, "targets": ["q_proj", "down_proj"]}},
    }
    config["adapter"]["output_width"] = 48
    whole = MovaForConditionalGeneration(type(tiny_config()).from_dict(config)).eval().model
    random_weights(whole)
    round_layers(whole.language_model, 8)
    state = whole.state_dict()
    tensors = {
        name.removeprefix("language_model."): tensor
        for name, tensor in state.items()
        if name.startswith(("language_model.", "router_lora.")) and "embed_tokens" not in name
    }
    write_decoder(decoder.config, tensors, tmp_path / LANGUAGE_MODEL, bits=8, lora=lora)
    graph = OnnxLanguageModel(decoder.config, tmp_path)
    embeddings = torch.randn(2, 5, 48, generator=torch.Generator().manual_seed(0))
    pooled = torch.tensor([True, False])
    with torch.no_grad():
        expected = whole(inputs_embeds=embeddings, pooled=pooled).last_hidden_state
        without = whole(inputs_embeds=embeddings).last_hidden_state
    found = graph(embeddings, pooled=pooled).last_hidden_state
    torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)
    assert not torch.allclose(found[0], without[0], atol=1e-2)
    torch.testing.assert_close(found[1], without[1], atol=1e-4, rtol=1e-3)


@pytest.mark.slow
def test_the_graphs_of_the_papers_encoders_say_what_their_layers_say(tmp_path: Path) -> None:
    photos = torch.randint(0, 255, (3, 3, 90, 70), dtype=torch.uint8)
    sizes = torch.tensor([[90, 70], [50, 50], [10, 20]])
    lite = {"kind": "lite2", "name": "lite2", "descriptions": [""], "size": 64, "stages": [5, 7]}
    with published():
        known = {spec["name"]: spec for spec in (*mova_specs.pool(), lite)}
    for name in ("dinov2", "codetr", "pix2struct", "sam", "lite2"):  # CLIP and a ViT: below
        spec = known[name]
        if name == "pix2struct":
            spec["positions"] = 2100  # as many patches as its views may have
        encoder = build_expert(spec)
        random_weights(encoder)
        file = f"{name}.onnx"
        write_encoder(spec, encoder.state_dict(), tmp_path / file)
        graph = OnnxEncoder(name=name, descriptions=[""], path=file, encoder=spec, folder=tmp_path)
        assert graph.channels == encoder.channels and graph.frame == encoder.frame
        with torch.no_grad():
            expected = encoder(encoder.view(photos, sizes))
        found = graph(graph.view(photos, sizes))
        torch.testing.assert_close(found, expected, atol=1e-4, rtol=1e-3)


def test_encoders_are_graphs_that_run_where_they_are_chosen(source: Path, exported: Path) -> None:
    names = MovaConfig.from_pretrained(source).expert_names
    files = ["base.onnx", *(f"experts/{name}.onnx" for name in names)]
    assert all((exported / file).is_file() for file in files)
    assert not any((exported / "experts" / f"{name}.safetensors").exists() for name in names)
    model = MovaForConditionalGeneration.from_pretrained(exported)
    kept = [name for name in model.state_dict() if name.startswith(("model.base.", "model.exp"))]
    assert kept == []
    before = MovaForConditionalGeneration.from_pretrained(source).model
    model = MovaForConditionalGeneration.from_pretrained(exported)
    processor = Mova.from_pretrained(source).processor
    inputs = processor(images=pictures(1), questions=["What is this?"], return_tensors="pt")
    views = inputs["pixel_values"], inputs["image_sizes"]
    chosen = torch.zeros(1, len(names), dtype=torch.bool)
    chosen[0, 1] = True
    with torch.no_grad():
        maps, expected = (one.encode_experts(*views, chosen) for one in (model.model, before))
        bases = [one.encode_base(*views) for one in (model.model, before)]
    assert model.model.experts.built == [names[1]]
    torch.testing.assert_close(maps[1].features, expected[1].features, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(*bases, atol=1e-5, rtol=1e-4)


def test_a_copy_of_an_exported_folder_has_its_graphs(exported: Path, tmp_path: Path) -> None:
    MovaForConditionalGeneration.from_pretrained(exported).model.experts.save(tmp_path)
    for file in exported.glob("experts/*.onnx*"):
        assert (tmp_path / "experts" / file.name).read_bytes() == file.read_bytes()


def test_an_exported_model_answers_and_is_a_folder_like_any_other(
    source: Path, exported: Path
) -> None:
    mova, before = Mova.from_pretrained(exported), Mova.from_pretrained(source)
    picture = pictures(1)[0]
    alone = mova.ask(picture, "What is this?", max_new_tokens=5)
    assert (
        alone.routing.experts
        == before.ask(picture, "What is this?", max_new_tokens=5).routing.experts
    )
    items = [(one, "What is this?") for one in (picture, pictures(2, seed=3)[1])]
    assert mova.ask_batch(items, max_new_tokens=5)[0].text == alone.text
    assert "".join(mova.stream(picture, "What is this?", max_new_tokens=5)) == alone.text
    inputs = before.processor(images=[picture], questions=["What is this?"], return_tensors="pt")
    everyone = torch.ones(1, len(before.experts), dtype=torch.bool)
    with torch.no_grad():
        logits, expected = (m.model(**inputs, routing=everyone).logits for m in (mova, before))
    assert (logits - expected).norm() < 0.05 * expected.norm()
    assert not torch.equal(logits, expected)


def test_its_needs_are_those_of_its_files(source: Path, exported: Path) -> None:
    before, after = (
        measure(MovaConfig.from_pretrained(folder), folder).parts[0]
        for folder in (source, exported)
    )
    embeddings = 2 * MovaConfig.from_pretrained(exported).text_config.vocab_size * WIDTH
    files = sum((exported / name).stat().st_size for name in WEIGHTS)
    assert after.bytes == dict.fromkeys(MODES, embeddings + files)
    assert after.parameters == before.parameters


def test_weights_that_are_no_experts_are_copied_too(exported: Path) -> None:
    assert (
        exported / "experts" / "tokenizer.codes.safetensors"
    ).read_bytes() == b"no expert's file"
    names = {file.name for file in exported.iterdir()}
    assert {"language_model.safetensors", "head.safetensors", "model.safetensors"} <= names


def test_a_model_that_can_not_be_exported_is_named(
    source: Path, exported: Path, tmp_path: Path
) -> None:
    assert "exported already" in fault(plan_export, exported, 8)
    assert "give 8 or 4" in fault(plan_export, source, 5)
    gemma = AutoConfig.for_model("gemma", **SIZES)
    told = fault(write_decoder, gemma, {}, tmp_path / LANGUAGE_MODEL, bits=8)
    assert "'gemma' can't be exported: only full llama, mistral" in told
    sliding = AutoConfig.for_model("mistral", **SIZES, sliding_window=64)
    told = fault(write_decoder, sliding, {}, tmp_path / LANGUAGE_MODEL, bits=8)
    assert "sliding window can't be exported" in told
    state = decoder_of(config_of("llama")).state_dict()
    state["layers.0.self_attn.sink"] = torch.zeros(4)
    del state["embed_tokens.weight"]
    told = fault(write_decoder, config_of("llama"), state, tmp_path / LANGUAGE_MODEL, bits=8)
    assert "layers.0.self_attn.sink" in told
    del state["layers.1.mlp.up_proj.weight"]
    told = fault(write_decoder, config_of("llama"), state, tmp_path / LANGUAGE_MODEL, bits=8)
    assert "no layers.1.mlp.up_proj.weight" in told


def test_what_an_exported_model_does_not_do_is_told_in_a_line(
    exported: Path, tmp_path: Path
) -> None:
    told = fault(Mova.from_pretrained, exported, quantization="torchao-8bit", device="cpu")
    assert "runs on the processor" in told or "needs torchao" in told
    assert "runs on the processor" in fault(Mova.from_pretrained, exported, device_map={"": "cpu"})
    model = MovaForConditionalGeneration.from_pretrained(exported)
    ids = torch.ones(1, 3, dtype=torch.long)
    assert "no hidden states" in fault(model, input_ids=ids, output_hidden_states=True)
    (exported / LANGUAGE_MODEL).rename(tmp_path / "elsewhere")
    try:
        assert "which is not there" in fault(model, input_ids=ids)
    finally:
        (tmp_path / "elsewhere").rename(exported / LANGUAGE_MODEL)
