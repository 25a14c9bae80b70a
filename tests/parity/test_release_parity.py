"""The whole release, converted: both passes give the released model's ids, logits and embeddings.

The weights stand under their released names, go through the plan of the conversion, and what it
makes of them is what our model runs.
"""

from __future__ import annotations

import hashlib
import math
from typing import Any

import pytest
import torch
from torch import Tensor
from transformers import BertConfig, BertModel, BertTokenizer, LlamaConfig, LlamaModel

from openmova.checkpoints.plan import resize_table
from openmova.checkpoints.release_plan import TEXT_ENCODER, plan_release
from openmova.checkpoints.released import ADAPTER_PREFIX, released_names
from openmova.checkpoints.tensors import MemoryTensors
from openmova.checkpoints.writer import made
from openmova.experts import Expert
from openmova.model.adapter import AdapterConfig, MoVAdapter
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import expand_placeholders
from openmova.routing import gate_text, pool_tokens

from .golden import FOLDER, GoldenSet, find, ids

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
    bert_words = golden.spec["weights"]["spot_checks"][
        f"{TEXT_ENCODER}embeddings.word_embeddings.weight"
    ]["shape"][0]
    bert = BertConfig(
        vocab_size=bert_words,
        hidden_size=1024,
        num_hidden_layers=c["bert_layers"],
        num_attention_heads=16,
        intermediate_size=c["bert_inter"],
        max_position_embeddings=c["bert_pos"],
    )
    adapter = AdapterConfig(
        width=c["in_channels"],
        expert_channels=c["expert_channels"],
        text_width=1024,
        output_width=c["out_channels"],
        grid=(c["image_feat_size"], c["image_feat_size"]),
        blocks=c["blocks"],
    )
    llama = LlamaConfig(
        vocab_size=llm["vocab"],
        hidden_size=llm["hidden"],
        intermediate_size=llm["inter"],
        num_hidden_layers=llm["layers"],
        num_attention_heads=llm["heads"],
        num_key_value_heads=llm["kv"],
    )
    with torch.device("meta"):
        state = MoVAdapter(adapter).state_dict()
        for ours, released in released_names(state).items():
            shapes[ADAPTER_PREFIX + released] = tuple(state[ours].shape)
        for name, tensor in BertModel(bert, add_pooling_layer=False).state_dict().items():
            shapes[TEXT_ENCODER + name] = tuple(tensor.shape)
        for name, tensor in LlamaModel(llama).state_dict().items():
            shapes[f"model.{name}"] = tuple(tensor.shape)
    return shapes | {"lm_head.weight": (llm["vocab"], llm["hidden"])}


def released_state(golden: GoldenSet, tower: GoldenSet) -> dict[str, Tensor]:
    """Every weight by its rule, CLIP's positions resized as the released code does."""
    shapes = released_shapes(golden, tower)
    state = {name: golden.recipe_weight(name, shape) for name, shape in shapes.items()}
    clip = golden.config["tower"]["clip"]
    patch = shapes[f"{TOWER}0.vision_model.embeddings.patch_embedding.weight"][-1]
    before = (1 + (clip["pre_img"] // patch) ** 2, clip["dim"])
    state[POSITIONS] = resize_table(golden.recipe_weight(POSITIONS, before), shapes[POSITIONS])
    for name, spot in golden.spec["weights"]["spot_checks"].items():
        if name != POSITIONS:  # rounding of the resize
            digest = hashlib.sha256(state[name].numpy().tobytes()).hexdigest()
            assert digest == spot["sha256_float32"]
    return state


def converted(golden: GoldenSet, tower: GoldenSet) -> MovaForConditionalGeneration:
    """Our model with what the conversion's plan makes of the released weights."""
    llm, c = golden.config["llm"], golden.config["tower"]
    tensors = MemoryTensors(released_state(golden, tower))
    told, plan = plan_release(
        {
            "mm_projector_type": "mov_adapter",
            "vocab_size": llm["vocab"],
            "hidden_size": llm["hidden"],
            "intermediate_size": llm["inter"],
            "num_hidden_layers": llm["layers"],
            "num_attention_heads": llm["heads"],
            "num_key_value_heads": llm["kv"],
            "rope_theta": llm["rope_theta"],
            "rms_norm_eps": llm["rms_norm_eps"],
            "topk_experts": golden.config["adapter"]["topk"],
            "num_routing_tokens": llm["num_routing_tokens"],
            "image_feat_size": llm["image_feat_size"],
            "eos_token_id": None,
        },
        tensors,
    )
    plan.check(tensors)
    fields = told.to_dict()
    specs = {spec["name"]: spec for spec in (fields["base"], *fields["experts"])}
    # What shapes don't tell where heads are not 64 wide and the tables are left out.
    for name, part in (("clip", "clip"), ("dinov2", "dino"), ("biomedclip", "bio")):
        specs[name]["heads"] = c[part]["heads"]
    specs["dinov2"]["size"] = c["img"]
    specs["codetr"] |= {"heads": c["codetr"]["heads"], "global_layers": [1]}
    patches = c["p2s_grid"] ** 2
    for name, part in (("pix2struct", "p2s"), ("deplot", "deplot")):
        heads, head_dim = c[part]["heads"], c[part]["d_kv"]
        specs[name] |= {"heads": heads, "head_dim": head_dim, "max_patches": patches}
    model = MovaForConditionalGeneration(MovaConfig(**fields)).eval()
    main = {e.name: made(e, tensors) for e in plan.entries if e.file == "model.safetensors"}
    missing, unexpected = model.load_state_dict(main, strict=False)
    assert not missing and not unexpected
    for j, name in enumerate(told.expert_names):
        file = f"experts/{name}.safetensors"
        own = {e.name: made(e, tensors) for e in plan.entries if e.file == file}
        model.model.experts.get(j).float().load_state_dict(own)
    return model.float()


def see(expert: Expert, view: Tensor) -> None:
    """Give an expert the released input in place of what it would make of a picture."""
    object.__setattr__(expert, "view", lambda images, sizes: view)


def released_views(golden: GoldenSet) -> list[Tensor]:
    """Of the base and the seven experts."""
    made_inputs = {
        name.split(" ")[0]: golden.recipe_input(recipe)
        for name, recipe in golden.spec["inputs"].items()
        if isinstance(recipe, dict)
    }
    for_clip, for_dinov2 = made_inputs["images"].chunk(2, dim=1)
    pixels = made_inputs["flattened_patches"]  # [1, n * n, 768]
    side = math.isqrt(pixels.shape[1])
    rows, columns = torch.meshgrid(*[torch.arange(1.0, side + 1)] * 2, indexing="ij")
    places = torch.stack([rows.flatten(), columns.flatten()], dim=-1)[None]
    patches = torch.cat([places, pixels], dim=-1)
    high = made_inputs["high_images"]
    return [for_clip, for_dinov2, high, high, patches, patches, for_clip, high]


@pytest.mark.parametrize(("golden", "tower"), pairs())
@torch.no_grad()
def test_both_passes(golden: GoldenSet, tower: GoldenSet) -> None:
    model = converted(golden, tower)
    core, given = model.model, golden.spec["inputs"]
    experts = [core.experts.get(j) for j in range(len(core.experts))]
    for expert, view in zip((core.base, *experts), released_views(golden), strict=True):
        see(expert, view)
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
        if name == "routing":
            tokens = pooled(model, tokens)
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


def pooled(model: MovaForConditionalGeneration, tokens: Tensor) -> Tensor:
    """As many image tokens as the router sees."""
    token_grid = model.config.adapter.token_grid
    return pool_tokens(tokens, token_grid, model.config.routing.grid)


def close(found: Tensor, expected: Tensor, tolerance: float) -> None:
    torch.testing.assert_close(found, expected, atol=tolerance, rtol=0)
