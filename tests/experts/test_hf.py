"""Any vision model of transformers: maps, views, weights and wrong configs."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file, load_model, save_model
from transformers import AutoConfig, AutoModel, CLIPConfig, CLIPModel

from openmova.errors import UserError
from openmova.experts import build_expert
from openmova.experts.hf import hf_spec

from .pictures import assert_batch_changes_nothing, padded_batch

VIT = {
    "hidden_size": 32,
    "num_hidden_layers": 3,
    "num_attention_heads": 2,
    "intermediate_size": 48,
    "image_size": 56,
    "patch_size": 14,
}
STAGES = {"hidden_sizes": [8, 16, 24, 32], "depths": [1, 1, 1, 1]}
CONFIGS: dict[str, dict[str, Any]] = {
    "vit": VIT,
    "dinov2": VIT | {"mlp_ratio": 2},
    "dinov2_with_registers": VIT | {"mlp_ratio": 2, "num_register_tokens": 4},
    "clip_vision_model": VIT,
    "siglip_vision_model": VIT,
    "convnext": STAGES,
    "resnet": STAGES | {"embedding_size": 8, "layer_type": "basic"},
}
TRANSFORMERS = [name for name in CONFIGS if name not in ("convnext", "resnet")]


def spec(model_type: str, **keywords: Any) -> dict[str, Any]:
    config = {"model_type": model_type, **CONFIGS.get(model_type, {})}
    return {
        "kind": "hf",
        "name": model_type,
        "descriptions": ["sees"],
        "config": config,
        **keywords,
    }


@pytest.mark.parametrize("model_type", TRANSFORMERS)
@pytest.mark.parametrize(("size", "select_layer"), [(56, None), (84, -2), ((56, 112), None)])
def test_tokens_become_a_map_of_the_patches(
    model_type: str, size: int | tuple[int, int], select_layer: int | None
) -> None:
    torch.manual_seed(0)
    expert = build_expert(spec(model_type, size=size, select_layer=select_layer))
    assert expert.channels == 32
    assert_batch_changes_nothing(expert)
    height, width = (size, size) if isinstance(size, int) else size
    view = expert.view(*padded_batch())
    assert view.shape == (4, 3, height, width)
    assert expert(view).shape == (4, 32, height // 14, width // 14)


@pytest.mark.parametrize("model_type", ["convnext", "resnet"])
def test_convolutional_models_give_the_map_of_a_stage(model_type: str) -> None:
    torch.manual_seed(0)
    last = build_expert(spec(model_type, size=64))
    before = build_expert(spec(model_type, size=64, select_layer=-2))
    view = last.view(*padded_batch())
    assert last(view).shape == (4, last.channels, 2, 2)
    assert before(view).shape == (4, before.channels, 4, 4)
    assert (last.channels, before.channels) == (32, 24)
    assert_batch_changes_nothing(before, tolerance=1e-4)


def test_the_map_is_the_hidden_state_row_by_row_without_class_token() -> None:
    expert = build_expert(spec("vit", select_layer=1))
    view = expert.view(*padded_batch())
    state = expert.model(view, output_hidden_states=True).hidden_states[1]
    assert torch.equal(expert(view)[:, :, 1, 2], state[:, 1 + 1 * 4 + 2])


def test_the_map_follows_the_dtype_of_the_model() -> None:
    expert = build_expert(spec("vit")).to(torch.bfloat16)
    assert expert(expert.view(*padded_batch())).dtype == torch.bfloat16


def folder_with(path: Path, model_type: str) -> Path:
    torch.manual_seed(1)
    model = AutoModel.from_config(AutoConfig.for_model(model_type, **CONFIGS[model_type]))
    model.save_pretrained(path)
    preprocessor = {"crop_size": {"height": 84, "width": 84}, "image_mean": [0.4, 0.5, 0.6]}
    preprocessor["image_std"] = [0.2, 0.2, 0.2]
    (path / "preprocessor_config.json").write_text(json.dumps(preprocessor))
    return path


def spec_of(folder: Path) -> dict[str, Any]:
    half = [0.5] * 3
    return hf_spec(folder, name="made", descriptions=["sees"], size=56, mean=half, std=half)


def test_a_spec_made_from_a_folder_needs_the_folder_once(tmp_path: Path) -> None:
    source = folder_with(tmp_path / "source", "dinov2")
    made = hf_spec(source, name="dino", descriptions=["sees"], select_layer=-2)
    assert json.loads(json.dumps(made)) == made
    assert (made["size"], made["mean"], made["channels"]) == ([84, 84], [0.4, 0.5, 0.6], 32)

    assembled = build_expert(made)
    view = assembled.view(*padded_batch())
    expected = (
        AutoModel.from_pretrained(source).eval()(view, output_hidden_states=True).hidden_states[-2]
    )
    assert torch.equal(assembled(view).flatten(2).transpose(1, 2), expected[:, 1:])

    checkpoint = tmp_path / "checkpoint"
    checkpoint.mkdir()
    save_model(assembled, str(checkpoint / "dino.safetensors"))
    source.rename(tmp_path / "gone")
    loaded = build_expert(made, folder=checkpoint)
    load_model(loaded, str(checkpoint / "dino.safetensors"))
    assert torch.equal(loaded(view), assembled(view))


def test_the_vision_part_of_a_model_with_text_is_enough(tmp_path: Path) -> None:
    text = {"hidden_size": 16, "num_hidden_layers": 1, "num_attention_heads": 2, "vocab_size": 50}
    both = CLIPModel(CLIPConfig(text_config=text, vision_config=VIT)).eval()
    both.save_pretrained(tmp_path)
    made = spec_of(tmp_path)
    assert made["config"]["model_type"] == "clip_vision_model"
    expert = build_expert(made)
    view = expert.view(*padded_batch())
    state = both.vision_model(view).last_hidden_state
    assert torch.allclose(expert(view).flatten(2).transpose(1, 2), state[:, 1:], atol=1e-6)


def test_weights_under_the_names_of_the_hub_are_renamed_on_loading(tmp_path: Path) -> None:
    source = folder_with(tmp_path, "dinov2")  # saved under the hub's names
    stored = {f"model.{k}": v for k, v in load_file(source / "model.safetensors").items()}
    expert = build_expert(spec("dinov2"))
    expert.load_state_dict(stored)
    view = expert.view(*padded_batch())
    expected = AutoModel.from_pretrained(source).eval()(view).last_hidden_state
    assert torch.equal(expert(view).flatten(2).transpose(1, 2), expected[:, 1:])

    del stored[next(key for key in stored if "attention" in key)]
    with pytest.raises(RuntimeError, match="Missing key"):
        expert.load_state_dict(stored)


def test_weights_of_another_model_are_refused(tmp_path: Path) -> None:
    folder_with(tmp_path, "vit")
    with pytest.raises(UserError, match="not those of the dinov2"):
        build_expert(spec("dinov2", source=str(tmp_path)))
    (tmp_path / "model.safetensors").unlink()
    with pytest.raises(UserError, match="no weights in safetensors"):
        build_expert(spec("dinov2", source=str(tmp_path)))


def test_a_config_may_be_a_folder_and_its_code_is_not_run(tmp_path: Path) -> None:
    config = {"model_type": "vit", **VIT, "auto_map": {"AutoModel": "evil.Model"}}
    (tmp_path / "config.json").write_text(json.dumps(config))
    (tmp_path / "evil.py").write_text("raise SystemExit('remote code ran')")
    expert = build_expert(spec("vit", config=str(tmp_path)))
    assert expert.channels == 32
    assert "auto_map" not in spec_of(tmp_path)["config"]


@pytest.mark.parametrize(
    ("keywords", "message"),
    [
        ({"config": {"model_type": "no-such"}}, "transformers knows no model_type 'no-such'"),
        ({"config": {"model_type": "bert"}, "size": 56}, "takes input_ids, not pictures"),
        ({"config": {"model_type": "resnet"}}, 'has no size: give it a "size"'),
        ({"config": "no-folder"}, "'no-folder', which is not there"),
        ({"select_layer": 9}, "hidden states 0 to 3, not 9"),
        ({"config": {"model_type": "sam_vision_model", "image_size": 64}, "size": 32}, "32x32"),
        ({"config": {"model_type": "vit_mae", **VIT}}, "no grid of its 56x56 pictures"),
    ],
)
def test_a_spec_that_gives_no_map_is_refused(keywords: dict[str, Any], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build_expert(spec("vit", **keywords))


def test_a_folder_that_does_not_say_how_pictures_go_in_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "vit", **VIT}))
    with pytest.raises(UserError, match=r"no preprocessor_config\.json: give size, mean and std"):
        hf_spec(tmp_path, name="v", descriptions=["sees"])
    (tmp_path / "preprocessor_config.json").write_text('{"size": {"shortest_edge": 56}}')
    with pytest.raises(UserError, match="does not say size, mean and std"):
        hf_spec(tmp_path, name="v", descriptions=["sees"])
