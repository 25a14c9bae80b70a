"""The whole release, converted: both passes give the released model's ids, logits and embeddings.

The weights stand under their released names, go through the plan of the conversion, and what it
makes of them is what our model runs.
"""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, BertTokenizer, LlamaConfig, LlamaModel

from openmova.checkpoints.plan import resize_table
from openmova.checkpoints.release import TEXT_ENCODER, TOWERS, plan_release
from openmova.checkpoints.release_names import ADAPTER_PREFIX, released_names
from openmova.checkpoints.tensors import Tensors
from openmova.model.adapter import AdapterConfig, MoVAdapter
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.routing import gate_text, pool_tokens

from .comparing import close
from .encoders import Spec, inputs, tower_specs, views
from .golden import FOLDER, GoldenSet, find, ids
from .placeholders import expand_placeholders

pytestmark = pytest.mark.parity

POSITIONS = "model.vision_tower.vision_tower_0.vision_model.embeddings.position_embedding.weight"
TOWER = "model.vision_tower.vision_tower_"
Shapes = dict[str, tuple[int, ...]]


def pairs() -> list[Any]:
    """A set of the whole model, and the set of a tower that lists its tensors."""
    towers = find(lambda module: module.startswith("MoVAVisionTower"))
    return [
        pytest.param(golden, tower, id=ids(golden))
        for golden in find(lambda module: "update_cached_features" in module)
        for tower in towers
        if sizes(tower.config) == sizes(golden.config["tower"])
    ]


def sizes(config: dict[str, Any]) -> dict[str, Any]:
    return {key: value for key, value in config.items() if key != "routing"}


def released_shapes(golden: GoldenSet, tower: GoldenSet) -> Shapes:
    """Of every tensor, by its released name."""
    c, llm = golden.config["adapter"], golden.config["llm"]
    shapes: Shapes = {
        f"model.vision_tower.{name}": tuple(tensor.shape)
        for name, tensor in tower.part("w.").items()
        if "rope" not in name
    }
    bert = BertConfig(**text_config(golden))
    adapter = AdapterConfig(
        width=c["in_channels"],
        expert_channels=c["expert_channels"],
        text_width=1024,
        output_width=c["out_channels"],
        grid=(c["image_feat_size"], c["image_feat_size"]),
        blocks=c["blocks"],
    )
    llama = LlamaConfig(**language_sizes(golden))
    with torch.device("meta"):
        state = MoVAdapter(adapter).state_dict()
        for ours, released in released_names(state).items():
            shapes[ADAPTER_PREFIX + released] = tuple(state[ours].shape)
        for name, tensor in BertModel(bert, add_pooling_layer=False).state_dict().items():
            shapes[TEXT_ENCODER + name] = tuple(tensor.shape)
        for name, tensor in LlamaModel(llama).state_dict().items():
            shapes[f"model.{name}"] = tuple(tensor.shape)
    return shapes | {"lm_head.weight": (llm["vocab"], llm["hidden"])}


def language_sizes(golden: GoldenSet) -> dict[str, int]:
    llm = golden.config["llm"]
    return {
        "vocab_size": llm["vocab"],
        "hidden_size": llm["hidden"],
        "intermediate_size": llm["inter"],
        "num_hidden_layers": llm["layers"],
        "num_attention_heads": llm["heads"],
        "num_key_value_heads": llm["kv"],
    }


def text_config(golden: GoldenSet) -> dict[str, Any]:
    """Of the question's encoder."""
    c = golden.config["adapter"]
    words = f"{TEXT_ENCODER}embeddings.word_embeddings.weight"
    return {
        "vocab_size": golden.spec["weights"]["spot_checks"][words]["shape"][0],
        "hidden_size": 1024,
        "num_hidden_layers": c["bert_layers"],
        "num_attention_heads": 16,
        "intermediate_size": c["bert_inter"],
        "max_position_embeddings": c["bert_pos"],
    }


def specs_of(golden: GoldenSet, state: dict[str, Tensor]) -> list[Spec]:
    """Of the base and the seven experts, as the set has them."""
    c = golden.config["tower"]
    states = [
        {name.removeprefix(start): tensor for name, tensor in state.items() if start in name}
        for start in (f"{TOWER}{number}." for number in range(len(TOWERS)))
    ]
    specs = tower_specs(c, states, max_patches=c["p2s_grid"] ** 2, size=c["img"])
    return [spec | {"name": tower} for spec, tower in zip(specs, TOWERS, strict=True)]


def released_state(golden: GoldenSet, tower: GoldenSet) -> dict[str, Tensor]:
    """Every weight by its rule, CLIP's positions resized as the released code does."""
    shapes = released_shapes(golden, tower)
    state = {name: golden.recipe_weight(name, shape) for name, shape in shapes.items()}
    clip = golden.config["tower"]["clip"]
    patch = shapes[f"{TOWER}0.vision_model.embeddings.patch_embedding.weight"][-1]
    before = (1 + (clip["pre_img"] // patch) ** 2, clip["dim"])
    state[POSITIONS] = resize_table(golden.recipe_weight(POSITIONS, before), shapes[POSITIONS])
    for name in golden.spec["weights"]["spot_checks"]:
        if name != POSITIONS:  # rounding of the resize
            golden.check_spot(name, state[name])
    return state


def converted(golden: GoldenSet, tower: GoldenSet) -> MovaForConditionalGeneration:
    """Our model with what the conversion's plan makes of the released weights."""
    llm = golden.config["llm"]
    state = released_state(golden, tower)
    tensors = Tensors(state)
    told, plan = plan_release(
        {
            "mm_projector_type": "mov_adapter",
            **language_sizes(golden),
            "rope_theta": llm["rope_theta"],
            "rms_norm_eps": llm["rms_norm_eps"],
            "topk_experts": golden.config["adapter"]["topk"],
            "num_routing_tokens": llm["num_routing_tokens"],
            "image_feat_size": llm["image_feat_size"],
            "eos_token_id": None,
        },
        tensors,
        specs=specs_of(golden, state),
        text=text_config(golden),
    )
    plan.check()
    model = MovaForConditionalGeneration(told).eval()
    main = {e.name: plan.tensor(e) for e in plan.entries if e.file == "model.safetensors"}
    missing, unexpected = model.load_state_dict(main, strict=False)
    assert not unexpected and all(name.startswith("model.experts.") for name in missing)
    for j, name in enumerate(told.expert_names):
        file = f"experts/{name}.safetensors"
        own = {e.name: plan.tensor(e) for e in plan.entries if e.file == file}
        model.model.experts.get(j).float().load_state_dict(own)
    return model.float()


def released_views(golden: GoldenSet) -> list[Tensor]:
    """Of the base and the seven experts."""
    pixels = inputs(golden)["flattened_patches"]  # [1, n * n, 768]
    side = math.isqrt(pixels.shape[1])
    rows, columns = torch.meshgrid(*[torch.arange(1.0, side + 1)] * 2, indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=-1)[None]
    return views(golden, torch.cat([places, pixels], dim=-1))


@pytest.mark.parametrize(("golden", "tower"), pairs())
@torch.no_grad()
def test_both_passes(golden: GoldenSet, tower: GoldenSet) -> None:
    model = converted(golden, tower)
    core, given = model.model, golden.spec["inputs"]
    experts = [core.experts.get(j) for j in range(len(core.experts))]
    for expert, view in zip((core.base, *experts), released_views(golden), strict=True):
        # The released input in place of what the expert would make of a picture.
        object.__setattr__(expert, "view", lambda images, sizes, view=view: view)
    words = golden.config["adapter"].get("bert_vocab_file", "bert_vocab.txt").split()[0]
    tokenizer = BertTokenizer(vocab=str(FOLDER / words), do_lower_case=True)
    question = tokenizer(gate_text(given["prompt (BERT)"]), return_tensors="pt")
    picture = torch.zeros(1, 3, 4, 4, dtype=torch.uint8)
    size = torch.tensor([[4, 4]])
    tolerance = golden.spec["tolerance_max_abs"]
    passes = (("routing", "first"), ("answer", "second"))
    for number, (name, which) in enumerate(passes):
        stored = golden.part(f"out.{name}_")
        routing = torch.tensor([given[f"{which}_pass_routing_weights"]], dtype=torch.bool)
        tokens, _ = core.image_tokens(picture, size, routing, question["input_ids"])
        if name == "routing":  # as many as the router sees
            grids = (model.config.adapter.token_grid, model.config.routing.grid)
            tokens = pool_tokens(tokens, *grids)
        prompt = expand_placeholders(
            torch.tensor([given[f"{name}_input_ids"]]),
            tokens=[tokens.shape[1]],
            image_token_id=model.config.image_token_id,
        )
        places = prompt["input_ids"] == model.config.image_token_id
        close(tokens[0], stored["inputs_embeds"][places], tolerance["inputs_embeds"])
        out = model.generate(
            prompt["input_ids"],
            attention_mask=prompt["attention_mask"],
            image_tokens=tokens,
            max_new_tokens=given["max_new_tokens"][number],
            do_sample=False,
            return_dict_in_generate=True,
            output_logits=True,
        )
        assert torch.equal(out.sequences[0, places.shape[1] :], stored["new_ids"])
        close(torch.cat(out.logits), stored["logits"], tolerance["logits"])
