"""Image tokens take their places in the sequence as in the released model (set 12), and the
language model then says the same in both passes (set 15)."""

from __future__ import annotations

import hashlib
import math
from dataclasses import replace

import pytest
import torch

from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import IGNORED, expand_placeholders
from openmova.model.splicing import merge_image_tokens
from openmova.routing import pool_tokens
from tiny import tiny_config

from .golden import GoldenSet, find, ids

pytestmark = pytest.mark.parity

PADDING = 0  # which id stands for padding makes no difference: its embedding becomes zero


def assembly_cases() -> list[object]:
    sets = find(lambda module: "prepare_inputs_labels_for_multimodal" in module)
    return [
        pytest.param(golden, name, id=f"{ids(golden)}-{name}")
        for golden in sets
        for name in golden.spec["cases"]
    ]


@pytest.mark.parametrize("golden, name", assembly_cases())
@torch.no_grad()
def test_sequence_assembly(golden: GoldenSet, name: str) -> None:
    case, c = golden.spec["cases"][name], golden.config
    given, expected = golden.part(f"in.{name}."), golden.part(f"out.{name}.")
    features = golden.tensors["in.image_features"]
    table = golden.tensors["w.model.embed_tokens.weight"]
    placeholder = golden.spec["image_token_index"]
    row_ids = given["input_ids"]
    if "attention_mask" in given:
        row_ids = row_ids.masked_fill(given["attention_mask"] == 0, PADDING)

    # A row takes the pictures that it marks, or one that it does not use.
    tokens, taken = [], 0
    for i, ids_ in enumerate(row_ids):
        pictures = max(int((ids_ == placeholder).sum()), 1)
        own = features[taken : taken + pictures]
        taken += pictures
        if case["has_routing"] and case["has_routing"][i]:
            side, pooled = math.isqrt(features.shape[1]), math.isqrt(c["num_routing_tokens"])
            own = pool_tokens(own, (side, side), (pooled, pooled))
        tokens.append(own)
    assert taken == case["n_image_features_given"]

    expanded = expand_placeholders(
        given["input_ids"],
        given.get("attention_mask"),
        given.get("labels"),
        tokens=[own.shape[1] for own in tokens],
        image_token_id=c["vocab"],  # an id that no text has
        placeholder=placeholder,
        max_length=case["tokenizer_model_max_length"],
        padding_side=case["padding_side"],
    )
    embeddings = table[expanded["input_ids"].clamp(max=c["vocab"] - 1)]
    for i, own in enumerate(tokens):
        merged = merge_image_tokens(
            embeddings[i : i + 1],
            expanded["input_ids"][i : i + 1],
            own.flatten(0, 1)[None],
            c["vocab"],
        )
        merged = merged * expanded["attention_mask"][i : i + 1, :, None]
        torch.testing.assert_close(
            merged[0], expected["inputs_embeds"][i], atol=golden.tolerance, rtol=0
        )
    for part in ("attention_mask", "labels"):
        if part in expected:
            assert torch.equal(expanded[part], expected[part])
        else:
            assert part in case["returned_None"]
    assert golden.spec["ignore_index"] == IGNORED


def two_pass_cases() -> list[object]:
    sets = find(lambda module: "MovaLlamaForCausalLM" in module)
    return [
        pytest.param(golden, name, i, id=f"{ids(golden)}-{name}")
        for golden in sets
        for i, name in enumerate(("routing", "answer"))
    ]


def whole_model(golden: GoldenSet) -> MovaForConditionalGeneration:
    """Ours around the released language model; the encoders are not looked at."""
    c = golden.config["llm"]
    plain = tiny_config()
    config = tiny_config(
        text_config={
            "model_type": "llama",
            "vocab_size": c["vocab"] + 1,  # and an image token
            "hidden_size": c["hidden"],
            "intermediate_size": c["inter"],
            "num_hidden_layers": c["layers"],
            "num_attention_heads": c["heads"],
            "num_key_value_heads": c["kv"],
            "rope_parameters": {"rope_type": "default", "rope_theta": c["rope_theta"]},
            "rms_norm_eps": c["rms_norm_eps"],
            "tie_word_embeddings": False,
            "eos_token_id": None,
        },
        adapter=replace(plain.adapter, output_width=c["hidden"]),
        image_token_id=c["vocab"],
    )
    model = MovaForConditionalGeneration(config).eval()
    spots = golden.spec["weights"]["spot_checks"]
    ours = {f"model.{name}": t for name, t in model.model.language_model.named_parameters()}
    ours["lm_head.weight"] = model.lm_head.weight
    for name, parameter in ours.items():
        has_vocabulary = name in ("lm_head.weight", "model.embed_tokens.weight")
        shape = (c["vocab"], c["hidden"]) if has_vocabulary else tuple(parameter.shape)
        weight = golden.recipe_weight(name, shape)
        if name in spots:
            digest = hashlib.sha256(weight.numpy().tobytes()).hexdigest()
            assert digest == spots[name]["sha256_float32"]
        parameter[: len(weight)] = weight
    return model


@pytest.mark.parametrize("golden, name, i", two_pass_cases())
@torch.no_grad()
def test_greedy_generation(golden: GoldenSet, name: str, i: int) -> None:
    model = whole_model(golden)
    stored, spec = golden.part(f"out.{name}_"), golden.spec
    written = torch.tensor([spec["inputs"][f"{name}_input_ids"]])
    pictures = stored["inputs_embeds"].shape[1] - written.shape[1] + 1
    prompt = expand_placeholders(
        written, tokens=[pictures], image_token_id=model.config.image_token_id
    )
    places = prompt["input_ids"] == model.config.image_token_id
    vocabulary = golden.config["llm"]["vocab"]
    out = model.generate(
        prompt["input_ids"],
        attention_mask=prompt["attention_mask"],
        image_tokens=stored["inputs_embeds"][places][None],
        max_new_tokens=spec["inputs"]["max_new_tokens"][i],
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    tolerance = spec["tolerance_max_abs"]
    words = model.get_input_embeddings()(prompt["input_ids"])[~places]
    torch.testing.assert_close(
        words, stored["inputs_embeds"][~places], atol=tolerance["inputs_embeds"], rtol=0
    )
    assert torch.equal(out.sequences[0, places.shape[1] :], stored["new_ids"])
    logits = torch.cat(out.logits)[:, :vocabulary]
    torch.testing.assert_close(logits, stored["logits"], atol=tolerance["logits"], rtol=0)
