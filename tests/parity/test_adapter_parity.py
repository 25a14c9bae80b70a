"""The adapter computes what the released modules compute, from the released weights."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from transformers import BertConfig, BertModel, BertTokenizer

from openmova.checkpoints.encoder_layouts import recomputed
from openmova.checkpoints.release_names import (
    ADAPTER_NAMES,
    ADAPTER_PREFIX,
    ATTENTION_NAMES,
    BLOCK_NAMES,
    TEXT_ENCODER_PREFIX,
    released_names,
)
from openmova.model.adapter import AdapterBlock, AdapterConfig, ExpertMap, MoVAdapter
from openmova.model.layers import RotaryAttention, RotaryGrid

from .comparing import close, recorded, stored_part
from .golden import FOLDER, GoldenSet, cases, ids, sets

pytestmark = pytest.mark.parity


def adapter_config(config: Mapping[str, Any], **sizes: Any) -> AdapterConfig:
    """Ours from the released config: names differ, meaning does not."""
    return AdapterConfig(
        width=config["in_channels"],
        expert_channels=tuple(config["expert_channels"]),
        top_k=config["topk"],
        head_dim=config["in_channels"] // config["num_heads"],
        **sizes,
    )


def from_released(
    state: dict[str, Tensor], module: torch.nn.Module, names: Mapping[str, str] = ADAPTER_NAMES
) -> dict[str, Tensor]:
    """A released state under our names; every tensor of it but the rotary tables has one."""
    released = released_names(module.state_dict(), names)
    assert set(released.values()) == {name for name in state if not recomputed(name)}
    return {ours: state[name] for ours, name in released.items()}


@pytest.mark.parametrize("golden", sets("Attention"), ids=ids)
@torch.no_grad()
def test_attention_with_rotary_grid(golden: GoldenSet) -> None:
    c = golden.config
    attention = RotaryAttention(c["dim"], c["value_dim"], c["head_dim"])
    attention.load_state_dict(from_released(golden.part("w."), attention, ATTENTION_NAMES))
    rotary = RotaryGrid((c["rope_grid"], c["rope_grid"]), c["head_dim"])
    for name, table in golden.part("w.rope.freqs_").items():
        close(rotary.get_buffer(name), table, 1e-6)
    x = golden.tensors["in.x"]
    value = golden.tensors.get("in.value", x)
    close(attention(x, value, rotary), golden.tensors["out.y"], golden.tolerance)


@pytest.mark.parametrize("golden", sets("AdapterBlock"), ids=ids)
@torch.no_grad()
def test_block_in_a_batch_and_each_sample_alone(golden: GoldenSet) -> None:
    c, t = golden.config, golden.tensors
    config = adapter_config(
        c, text_width=t["in.text_feat"].shape[1], grid=(c["hw"], c["hw"]), output_width=c["hw"]
    )
    block = AdapterBlock(config)
    block.load_state_dict(from_released(golden.part("w."), block, BLOCK_NAMES))
    rotary = RotaryGrid(config.grid, config.head_dim)
    routing = t["in.routing"] > 0
    values = [t[f"in.value_{j}"] for j in range(len(config.expert_channels))]

    def run(rows: slice) -> tuple[Tensor, Tensor]:
        chosen = routing[rows]
        experts = {
            j: (picked, value[rows][picked])
            for j, value in enumerate(values)
            if len(picked := chosen[:, j].nonzero()[:, 0])
        }
        with recorded({"logits": block.gate.score}) as seen:
            y, _ = block(t["in.x"][rows], experts, chosen, t["in.text_feat"][rows], rotary)
        return y, seen["logits"]

    y, logits = run(slice(None))
    close(y, t["out.y"], golden.tolerance)
    close(logits, t["out.router_logits"], golden.tolerance)
    for i, expected in enumerate(t.get("out.y_each_sample_alone", t["out.y"])):
        alone, _ = run(slice(i, i + 1))
        close(alone[0], expected, golden.tolerance)


@pytest.mark.parametrize(
    "golden, name",
    cases(sets("MoVAdapter", recipe=False), lambda golden: golden.spec["cases"]),
)
@torch.no_grad()
def test_adapter(golden: GoldenSet, name: str) -> None:
    case = golden.spec["cases"][name]
    state, text_state = golden.part("w."), golden.part(f"w.{TEXT_ENCODER_PREFIX}")
    state = {k: t for k, t in state.items() if not k.startswith(TEXT_ENCODER_PREFIX)}
    with torch.device("meta"):
        whole = MoVAdapter(whole_config(golden.config))
    adapter = build_adapter(golden, from_released(state, whole))
    encoder = build_text_encoder(golden, text_state)
    adapter.train(case["train_mode"])
    x = golden.tensors["in.x"][case["rows_of_in.x"]]
    routing = torch.tensor(case["routing_weights"]) > 0
    check(golden, name, adapter, encoder, case["bert_texts"], x, routing)


@pytest.mark.slow
@pytest.mark.parametrize("golden", sets("MoVAdapter", recipe=True), ids=ids)
@torch.no_grad()
def test_adapter_made_by_recipe(golden: GoldenSet) -> None:
    c = golden.config
    with torch.device("meta"):
        shapes = MoVAdapter(whole_config(c)).state_dict()
        text_shapes = BertModel(bert_config(c), add_pooling_layer=False).state_dict()
    released = released_names(shapes)

    def make(released_name: str, shape: torch.Size) -> Tensor:
        weight = golden.recipe_weight(ADAPTER_PREFIX + released_name, tuple(shape))
        golden.check_spot(released_name, weight)
        return weight

    adapter = build_adapter(golden, {k: make(released[k], t.shape) for k, t in shapes.items()})
    encoder = build_text_encoder(
        golden, {k: make(TEXT_ENCODER_PREFIX + k, t.shape) for k, t in text_shapes.items()}
    )
    (recipe,) = golden.spec["inputs"].values()
    x = golden.recipe_input(recipe)
    texts = [
        "".join(f"question {j}: {text.lower()}\n\n" for j, text in enumerate(prompt))
        for prompt in golden.spec["prompts"]
    ]
    for name, weights in golden.spec["cases"].items():
        check(golden, name, adapter, encoder, texts, x, torch.tensor([weights]) > 0)


def whole_config(c: Mapping[str, Any]) -> AdapterConfig:
    return adapter_config(
        c,
        text_width=c.get("bert_hidden_hard_coded", 1024),
        output_width=c["out_channels"],
        grid=(c["image_feat_size"], c["image_feat_size"]),
        blocks=c["blocks"],
    )


def bert_config(c: Mapping[str, Any]) -> BertConfig:
    words = (FOLDER / c["bert_vocab_file"].split()[0]).read_text(encoding="utf-8").split()
    return BertConfig(
        vocab_size=len(set(words)),
        hidden_size=c.get("bert_hidden_hard_coded", 1024),
        num_hidden_layers=c["bert_layers"],
        num_attention_heads=c.get("bert_heads", 16),
        intermediate_size=c["bert_inter"],
        max_position_embeddings=c["bert_pos"],
    )


def build_adapter(golden: GoldenSet, state: dict[str, Tensor]) -> MoVAdapter:
    adapter = MoVAdapter(whole_config(golden.config))
    adapter.load_state_dict(state)
    return adapter.eval()


def build_text_encoder(golden: GoldenSet, state: dict[str, Tensor]) -> BertModel:
    encoder = BertModel(bert_config(golden.config), add_pooling_layer=False)
    encoder.load_state_dict(state)
    return encoder.eval()


def check(
    golden: GoldenSet,
    case: str,
    adapter: MoVAdapter,
    encoder: BertModel,
    texts: list[str],
    x: Tensor,
    routing: Tensor,
) -> None:
    """Run the adapter on x [B, N, channels] and compare every stored output of the case."""
    config = adapter.config
    tokenizer = BertTokenizer(
        vocab=str(FOLDER / golden.config["bert_vocab_file"].split()[0]), do_lower_case=True
    )
    encoded = tokenizer(texts, padding="longest", return_tensors="pt")
    text = encoder(**encoded).last_hidden_state[:, 0]
    found = {
        "bert_cls": text,
        "bert_input_ids": encoded["input_ids"],
        "bert_attention_mask": encoded["attention_mask"],
    }
    base, *experts = x.mT.unflatten(2, config.grid).split(
        [config.width, *config.expert_channels], dim=1
    )
    maps = {
        j: ExpertMap(rows, features[rows])
        for j, features in enumerate(experts)
        if len(rows := routing[:, j].nonzero()[:, 0])
    }
    watched: dict[str, nn.Module] = {"post_downsample": adapter.after_pool}
    for i, block in enumerate(adapter.blocks):
        watched |= {f"block{i}": block, f"router_logits{i}": block.gate.score}
    with recorded(watched, {"pre_downsample": adapter.before_pool}) as seen:
        found["y"], gates = adapter(base, maps, routing, text.expand(len(base), -1))
    found |= seen
    assert torch.equal(gates.sum(-1) > 0, routing.any(-1)[:, None].expand(-1, config.blocks))
    stored = golden.part(f"out.{case}.")
    assert stored
    for name, expected in stored.items():
        close(stored_part(found, name), expected.float(), golden.tolerance)
