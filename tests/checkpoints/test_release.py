"""The released layout to ours: every key has its place, and a converted folder answers."""

from __future__ import annotations

import json
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from checkpoints import tiny_release
from commands import fault
from openmova import Mova
from openmova.checkpoints.conversion import Conversion
from openmova.checkpoints.plan import Plan
from openmova.checkpoints.release import plan_release, release_conversion, release_specs
from openmova.checkpoints.source_files import source_name
from openmova.checkpoints.tensors import Tensors, open_tensors
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration

W = tiny_release.W
PROCESSOR = "preprocessor_config.json"
ROPE = ("freqs_cos", "freqs_sin")


@pytest.fixture(scope="module", autouse=True)
def tiny_sizes() -> Iterator[None]:
    with tiny_release.published():
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release.write_release(tmp_path_factory.mktemp("release") / "llama3-mova-8b")


@pytest.fixture(scope="module")
def converted(source: Path) -> Path:
    convert(source, source.parent / "converted")
    return source.parent / "converted"


def convert(source: Path, target: Path, **options: Any) -> Conversion:
    conversion = release_conversion(source, open_tensors(source), **options)
    conversion.write(target)
    return conversion


def planned(state: dict[str, Tensor], **changes: Any) -> tuple[MovaConfig, Plan]:
    return plan_release(tiny_release.config() | changes, Tensors(state, "shard.bin"))


def taken(plan: Plan) -> list[str]:
    return [entry.source for entry in plan.entries]


def test_every_key_is_taken_or_dropped_for_a_reason() -> None:
    state = tiny_release.state()
    config, plan = planned(state)
    plan.check()
    assert sorted([*taken(plan), *plan.dropped]) == sorted(state)
    for key, reason in plan.dropped.items():
        if key.endswith(ROPE):
            assert reason == "recomputed when the model is built"
        else:
            assert reason.startswith("not used: the map is ")
    model = MovaForConditionalGeneration(config)
    ours = {name for name in model.state_dict() if not name.startswith("model.experts.")}
    for j, name in enumerate(config.expert_names):
        ours |= {f"experts/{name}/{key}" for key in model.model.experts.get(j).state_dict()}
    assert {entry.place for entry in plan.entries} == ours


def test_the_config_is_of_the_published_sizes_and_of_config_json() -> None:
    config, _ = planned(tiny_release.state())
    assert config.base["size"] == 56 and config.base["layers"] == 3
    names = ["dinov2", "vary", "codetr", "pix2struct", "deplot", "biomedclip", "sam"]
    assert config.expert_names == names
    assert config.descriptions[3].endswith("across diverse areas")
    by_name = dict(zip(names, config.experts, strict=True))
    assert by_name["dinov2"]["view_size"] == 56
    assert by_name["vary"]["heads"] == 2 and by_name["vary"]["global_layers"] == [1]
    assert by_name["codetr"]["global_layers"] == [1] and by_name["codetr"]["view_size"] == 64
    assert config.adapter.grid == (4, 4) and config.adapter.blocks == 2
    assert config.adapter.top_k == 2
    assert config.adapter.expert_channels == tiny_release.EXPERT_CHANNELS
    assert config.routing.grid == (1, 1) and config.routing.max_new_tokens == 16
    assert config.text_config.rope_parameters["rope_theta"] == 500000.0
    assert config.text_config.num_key_value_heads == 1
    assert config.gate_text_config.num_hidden_layers == 1
    assert config.dtype == torch.bfloat16


@pytest.mark.parametrize(
    "key",
    [
        None,
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.vision_tower.vision_tower_0.vision_model.embeddings.position_ids",
        "model.mm_projector.text_encoder.bert.embeddings.position_ids",
    ],
)
def test_tables_may_be_there_or_not(key: str | None) -> None:
    state = {name: t for name, t in tiny_release.state().items() if not name.endswith(ROPE)}
    _, plan = planned(state | ({key: torch.ones(3)} if key else {}))
    plan.check()
    assert key is None or plan.dropped[key] == "recomputed when the model is built"


def test_a_tied_head_is_dropped() -> None:
    state = tiny_release.state()
    config, plan = planned(state, tie_word_embeddings=True)
    plan.check()
    assert plan.dropped["lm_head.weight"] == "tied to the embeddings"
    assert "lm_head.weight" not in {entry.place for entry in plan.entries}
    assert config.tie_word_embeddings


@pytest.mark.parametrize(
    "key",
    [
        "model.extra.weight",
        "model.layers.2.mlp.up_proj.weight",
        "model.vision_tower.vision_tower_8.norm.weight",
        "model.vision_tower.vision_tower_1.encoder.layer.0.norm9.weight",
        "model.vision_tower.vision_tower_0.text_model.embeddings.weight",
        "model.mm_projector.blocks.0.norm9.weight",
        "model.mm_projector.blocks.0.cross_attn.7.q_proj.weight",
        "model.mm_projector.text_encoder.cls.bias",
        "optimizer",
    ],
)
def test_an_unknown_key_is_told(key: str) -> None:
    state = tiny_release.state() | {key: torch.ones(3)}
    _, plan = planned(state)
    assert plan.unknown == [key]
    assert f"shard.bin: unknown key {key}" in fault(plan.check)


def test_any_wrong_shape_and_any_missing_key_is_named() -> None:
    """Of every tower some norms, matrices and tables: whatever the sizes are read from."""
    state = tiny_release.state()
    some = taken(planned(state)[1])[::11]
    missing, wrong = some[::2], some[1::2]
    for key in wrong:
        state[key] = state[key].new_zeros(*state[key].shape[:-1], state[key].shape[-1] + 3)
    for key in missing:
        del state[key]
    _, plan = planned(state)
    assert len(plan.unfilled) == len(missing) > 20
    assert [fault["key"] for fault in plan.mismatched] == [key for key in state if key in wrong]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mm_projector_type": "mlp2x_gelu"}, "mm_projector_type 'mlp2x_gelu'): take"),
        ({"mm_projector_type": None, "model_type": "llama"}, "model_type 'llama'"),
        ({"hidden_size": 128}, "mlp.0.weight has the shape [64, 64] instead of [128, 64]"),
        ({"num_hidden_layers": 3}, "fills model.language_model.layers.2"),
        ({"num_hidden_layers": 1}, "unknown key model.layers.1"),
        ({"intermediate_size": 97}, "has the shape [96, 64] instead of [97, 64]"),
        ({"image_feat_size": 24}, "has the shape [17, 64] instead of [577, 64]"),
        ({"mm_vision_tower": "clip"}, "names other towers"),
        ({"mm_vision_tower": ["clip"]}, "names other towers"),
        ({"mm_vision_select_feature": "cls_patch"}, "'cls_patch'"),
        ({"mm_use_im_start_end": True}, "sets mm_use_im_start_end"),
        ({"image_aspect_ratio": "anyres"}, "anyres"),
    ],
)
def test_a_config_of_another_model_is_told(
    tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    config = tiny_release.config() | change
    (tmp_path / "config.json").write_text(json.dumps(config))

    def act() -> None:
        release_conversion(tmp_path, Tensors(tiny_release.state())).plan.check()

    assert told in fault(act)


def test_the_converted_folder_holds_the_same_numbers(source: Path, converted: Path) -> None:
    report = json.loads((converted / "conversion.json").read_text())
    assert report["source"] == "llama3-mova-8b"
    conversion = release_conversion(source, open_tensors(source))
    assert conversion.verify(converted) == len(report["tensors"])
    model = MovaForConditionalGeneration.from_pretrained(converted)
    released = tiny_release.state()
    own = model.state_dict()
    for ours, key in (
        ("model.adapter.blocks.1.extractors.6.attention.k_proj.weight",
         "model.mm_projector.blocks.1.cross_attn.6.k_proj.weight"),
        ("model.base.encoder.layers.1.mlp.fc2.bias",
         "model.vision_tower.vision_tower_0.vision_model.encoder.layers.1.mlp.fc2.bias"),
        ("model.gate_text_encoder.embeddings.LayerNorm.weight",
         "model.mm_projector.text_encoder.bert.embeddings.LayerNorm.weight"),
        ("model.language_model.layers.1.mlp.up_proj.weight", "model.layers.1.mlp.up_proj.weight"),
        ("lm_head.weight", "lm_head.weight"),
    ):  # fmt: skip
        assert torch.equal(own[ours], released[key])
    vary = model.model.experts.get(1).get_parameter("net_2.weight")
    assert torch.equal(vary, released["model.vision_tower.vision_tower_2.net_2.weight"])


def test_the_converted_folder_answers(converted: Path) -> None:
    mova = Mova.from_pretrained(converted, device="cpu")
    picture = Image.new("RGB", (50, 40), (200, 10, 10))
    answer = mova.ask(picture, "What is it?", experts="all", max_new_tokens=3)
    assert len(answer.routing.experts) == 7
    assert mova.ask(picture, "What is it?", max_new_tokens=3).routing.scores.keys() == set(
        answer.routing.experts
    )
    processor = mova.processor
    assert processor.image_token_id == tiny_release.VOCABULARY  # beyond the embedding
    assert processor.image_processor.max_side == 4096
    assert processor.split_at_image and processor.question_length == 512
    generation = mova.model.generation_config
    end = processor.tokenizer.convert_tokens_to_ids("<|eot_id|>")
    assert generation.eos_token_id == generation.pad_token_id == end
    assert not generation.do_sample
    assert "helpful language and vision assistant" in processor.chat_template


def test_the_towers_own_processors_count(converted: Path) -> None:
    experts = {
        spec["name"]: spec
        for spec in json.loads((converted / "config.json").read_text())["experts"]
    }
    for name in ("vary", "codetr", "sam"):
        assert experts[name]["mean"] == [0.5, 0.5, 0.5] and experts[name]["std"] == [0.25] * 3
        assert experts[name]["resample"] == "bilinear"
    assert experts["pix2struct"]["max_patches"] == experts["deplot"]["max_patches"] == 9
    assert "mean" not in experts["dinov2"]


def stated(folder: Path, name: str, towers: dict[str, dict[str, Any]]) -> Path:
    """A release's folder with a file of this name for each of these towers."""
    for tower, fields in towers.items():
        (folder / "towers" / tower).mkdir(parents=True)
        (folder / "towers" / tower / name).write_text(json.dumps(fields))
    return folder


def specs(folder: Path, **changes: Any) -> dict[str, dict[str, Any]]:
    found = release_specs(tiny_release.config() | changes, folder)
    return {spec["name"]: spec for spec in found}


def test_the_towers_own_configs_tell_their_sizes(tmp_path: Path) -> None:
    vision = {"num_attention_heads": 4, "image_size": 28, "patch_size": 14}
    towers = {
        "clip": {"vision_config": vision},
        "dinov2": {"num_attention_heads": 2, "hidden_size": W, "num_hidden_layers": 5},
        "pix2struct": {"vision_config": {"num_attention_heads": 8, "d_kv": 8, "d_ff": 48}},
    }
    told = specs(stated(tmp_path, "config.json", towers))
    assert (told["clip"]["heads"], told["clip"]["size"]) == (4, 56)  # as MoVA runs it
    assert (told["dinov2"]["heads"], told["dinov2"]["layers"]) == (2, 5)
    pix2struct = told["pix2struct"]
    assert (pix2struct["heads"], pix2struct["head_dim"], pix2struct["mlp"]) == (8, 8, 48)
    assert told["biomedclip"]["heads"] == 1


def test_without_padding_the_processors_see_the_picture_itself(tmp_path: Path) -> None:
    told = specs(tmp_path, image_aspect_ratio="square")
    assert told["clip"]["frame"] == told["sam"]["frame"] == "crop"
    stated(tmp_path, PROCESSOR, {"vary": {"image_processor_type": "SamImageProcessor"}})
    told = specs(tmp_path, image_aspect_ratio="square")
    frames = {name: spec["frame"] for name, spec in told.items()}
    assert frames["clip"] == frames["dinov2"] == frames["biomedclip"] == "crop"
    assert frames["pix2struct"] == frames["deplot"] == "none"
    assert frames["vary"] == frames["codetr"] == frames["sam"] == "corner"
    assert planned(tiny_release.state())[0].box_frame == "pad"
    assert planned(tiny_release.state(), image_aspect_ratio=None)[0].box_frame == "image"


def test_a_filter_that_the_views_have_not_is_told(tmp_path: Path) -> None:
    stated(tmp_path, PROCESSOR, {"clip": {"resample": 1}})
    assert "clip asks for the filter 1" in fault(specs, tmp_path)


def test_a_number_of_patches_that_is_no_square_is_not_what_runs(tmp_path: Path) -> None:
    stated(tmp_path, PROCESSOR, {"pix2struct": {"max_patches": 2048}})
    assert specs(tmp_path)["pix2struct"]["max_patches"] == 2025


def test_only_folders_in_the_releases_own_are_read(tmp_path: Path) -> None:
    outside = stated(tmp_path, PROCESSOR, {"clip": {"image_mean": [9, 9, 9]}}) / "towers" / "clip"
    inside = tmp_path / "release"
    inside.mkdir()
    for path in (str(outside), "../towers/clip"):
        told = specs(inside, mm_vision_tower=[path] * 8)
        assert not any("mean" in spec for spec in told.values())


def test_the_hubs_cache_is_told_by_its_repository() -> None:
    folder = Path("hub/models--zongzhuofan--llama3-mova-8b/snapshots/1a2b")
    assert source_name(folder) == "zongzhuofan/llama3-mova-8b"


@pytest.mark.parametrize(
    ("file", "content", "told"),
    [
        ("config.json", None, "lacks config.json"),
        ("config.json", "{", "config.json is not readable"),
        ("tokenizer.json", None, "has no tokenizer"),
        ("checkpoints/bert/vocab.txt", "[UNK]\nwhat\n", "the tokenizer that was found for it"),
        ("checkpoints/bert/vocab.txt", None, "knows 10 words, but the tokenizer"),
    ],
)
def test_a_folder_without_its_small_files_is_told(
    source: Path, tmp_path: Path, file: str, content: str | None, told: str
) -> None:
    release = Path(shutil.copytree(source, tmp_path / "release"))
    (release / file).unlink()
    if content is not None:
        (release / file).write_text(content)
    assert told in fault(convert, release, tmp_path / "out")
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_a_question_tokenizer_can_be_given(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "words"
    other.mkdir()
    words = [*tiny_release.QUESTION_WORDS[:-1], "other"]
    (other / "vocab.txt").write_text("\n".join(words))
    (other / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    convert(source, tmp_path / "out", question_tokenizer=other)
    tokenizer = Mova.from_pretrained(tmp_path / "out").processor.question_tokenizer
    assert tokenizer.convert_tokens_to_ids("other") == 9
