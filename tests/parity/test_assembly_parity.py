"""Image tokens take their places in the sequence as in the released model (set 12), and the
language model then says the same in both passes (set 15)."""

from __future__ import annotations

import math
from dataclasses import replace

import pytest
import torch

from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import IGNORED
from openmova.model.splicing import merge_image_tokens
from openmova.routing import pool_tokens
from tiny import tiny_config

from .comparing import close
from .golden import GoldenSet, cases, find
from .placeholders import expand_placeholders

pytestmark = pytest.mark.parity

PADDING = 0  # which id stands for padding makes no difference: its embedding becomes zero


ASSEMBLED = find(lambda module: "prepare_inputs_labels_for_multimodal" in module)


@pytest.mark.parametrize("golden, name", cases(ASSEMBLED, lambda golden: golden.spec["cases"]))
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
        ids_, seen = expanded["input_ids"][i : i + 1], own.flatten(0, 1)[None]
        merged = merge_image_tokens(embeddings[i : i + 1], ids_, seen, c["vocab"])[0]
        merged = merged * expanded["attention_mask"][i, :, None]
        close(merged, expected["inputs_embeds"][i], golden.tolerance)
    for part in ("attention_mask", "labels"):
        if part in expected:
            assert torch.equal(expanded[part], expected[part])
        else:
            assert part in case["returned_None"]
    assert golden.spec["ignore_index"] == IGNORED


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
    ours = {f"model.{name}": t for name, t in model.model.language_model.named_parameters()}
    ours["lm_head.weight"] = model.lm_head.weight
    for name, parameter in ours.items():
        has_vocabulary = name in ("lm_head.weight", "model.embed_tokens.weight")
        shape = (c["vocab"], c["hidden"]) if has_vocabulary else tuple(parameter.shape)
        weight = golden.recipe_weight(name, shape)
        golden.check_spot(name, weight)
        parameter[: len(weight)] = weight
    return model


PASSES = ("routing", "answer")
TWO_PASS = find(lambda module: "MovaLlamaForCausalLM" in module)


@pytest.mark.parametrize("golden, name", cases(TWO_PASS, lambda golden: PASSES))
@torch.no_grad()
def test_greedy_generation(golden: GoldenSet, name: str) -> None:
    model = whole_model(golden)
    stored, spec = golden.part(f"out.{name}_"), golden.spec
    written = torch.tensor([spec["inputs"][f"{name}_input_ids"]])
    pictures = stored["inputs_embeds"].shape[1] - written.shape[1] + 1
    image = model.config.image_token_id
    prompt = expand_placeholders(written, tokens=[pictures], image_token_id=image)
    places = prompt["input_ids"] == image
    vocabulary = golden.config["llm"]["vocab"]
    out = model.generate(
        prompt["input_ids"],
        attention_mask=prompt["attention_mask"],
        image_tokens=stored["inputs_embeds"][places][None],
        max_new_tokens=spec["inputs"]["max_new_tokens"][PASSES.index(name)],
        do_sample=False,
        return_dict_in_generate=True,
        output_logits=True,
    )
    tolerance = spec["tolerance_max_abs"]
    words = model.get_input_embeddings()(prompt["input_ids"])[~places]
    close(words, stored["inputs_embeds"][~places], tolerance["inputs_embeds"])
    assert torch.equal(out.sequences[0, places.shape[1] :], stored["new_ids"])
    close(torch.cat(out.logits)[:, :vocabulary], stored["logits"], tolerance["logits"])
