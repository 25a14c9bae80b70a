"""The released layout to ours: every key has its place, and a converted folder answers."""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from torch import Tensor

from checkpoints import tiny_release
from openmova import Mova
from openmova.checkpoints.conversion import Conversion
from openmova.checkpoints.plan import Plan
from openmova.checkpoints.release import plan_release, release_conversion, release_specs
from openmova.checkpoints.release_names import released_names
from openmova.checkpoints.source_files import source_name
from openmova.checkpoints.tensors import Tensors, open_tensors
from openmova.errors import UserError
from openmova.model.adapter import AdapterConfig, MoVAdapter
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration

W = tiny_release.W
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


def planned(
    state: dict[str, Tensor], config: dict[str, Any] | None = None
) -> tuple[MovaConfig, Plan]:
    return plan_release(config or {}, Tensors(state))


def test_every_key_is_taken_or_dropped_for_a_reason() -> None:
    state = tiny_release.state()
    config, plan = planned(state, tiny_release.config())
    plan.check(Tensors(state))
    assert sorted([*plan.consumed, *plan.dropped]) == sorted(state)
    assert len(plan.consumed) == len(plan.entries)
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
    config, _ = planned(tiny_release.state(), tiny_release.config())
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


def test_without_a_config_names_and_shapes_are_planned_all_the_same() -> None:
    told, _ = planned(tiny_release.state(), tiny_release.config())
    config, plan = planned(tiny_release.state())
    plan.check(Tensors({}))
    assert str(config.gate_text_config) == str(told.gate_text_config)


def test_rotary_tables_may_be_there_or_not() -> None:
    state = {key: t for key, t in tiny_release.state().items() if not key.endswith(ROPE)}
    planned(state, tiny_release.config())[1].check(Tensors(state))


@pytest.mark.parametrize(
    "key",
    [
        "model.layers.0.self_attn.rotary_emb.inv_freq",
        "model.vision_tower.vision_tower_0.vision_model.embeddings.position_ids",
        "model.mm_projector.text_encoder.bert.embeddings.position_ids",
    ],
)
def test_tables_of_older_saves_are_dropped(key: str) -> None:
    state = tiny_release.state() | {key: torch.ones(3)}
    _, plan = planned(state, tiny_release.config())
    plan.check(Tensors(state))
    assert plan.dropped[key] == "recomputed when the model is built"


def test_a_tied_head_is_dropped() -> None:
    state = tiny_release.state()
    config, plan = planned(state, tiny_release.config() | {"tie_word_embeddings": True})
    plan.check(Tensors(state))
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
    _, plan = planned(state, tiny_release.config())
    assert plan.unknown == [key]
    with pytest.raises(UserError, match=rf"shard\.bin: unknown key {key}"):
        plan.check(Tensors(state, file="shard.bin"))


def test_any_wrong_shape_and_any_missing_key_is_named() -> None:
    """Of every tower some norms, matrices and tables: whatever the sizes are read from."""
    state = tiny_release.state()
    taken = planned(state, tiny_release.config())[1].consumed[::11]
    missing, wrong = taken[::2], taken[1::2]
    for key in wrong:
        state[key] = state[key].new_zeros(*state[key].shape[:-1], state[key].shape[-1] + 3)
    for key in missing:
        del state[key]
    _, plan = planned(state, tiny_release.config())
    assert len(plan.unfilled) == len(missing) > 20
    assert [fault["key"] for fault in plan.mismatched] == [key for key in state if key in wrong]


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"mm_projector_type": "mlp2x_gelu"}, "is of another model .*'mlp2x_gelu'"),
        ({"mm_projector_type": None, "model_type": "llama"}, "model_type 'llama'"),
        ({"hidden_size": 128}, r"mlp.0.weight has the shape \[64, 64\] instead of \[128, 64\]"),
        ({"num_hidden_layers": 3}, "fills model.language_model.layers.2"),
        ({"num_hidden_layers": 1}, "unknown key model.layers.1"),
        ({"intermediate_size": 97}, r"has the shape \[96, 64\] instead of \[97, 64\]"),
        ({"image_feat_size": 24}, r"has the shape \[17, 64\] instead of \[577, 64\]"),
        ({"mm_vision_tower": "clip"}, "names other towers"),
        ({"mm_vision_tower": ["clip"]}, "names other towers"),
        ({"mm_vision_select_feature": "cls_patch"}, "'cls_patch'"),
        ({"mm_use_im_start_end": True}, "sets mm_use_im_start_end"),
        ({"image_aspect_ratio": "anyres"}, "anyres"),
    ],
)
def test_a_config_of_another_model_is_told(
    source: Path, tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    config = tiny_release.config() | change
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(UserError, match=told):
        tensors = Tensors(tiny_release.state())
        release_conversion(tmp_path, tensors).plan.check(tensors)


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
    vary = model.model.experts.get(1).state_dict()
    assert torch.equal(
        vary["net_2.weight"], released["model.vision_tower.vision_tower_2.net_2.weight"]
    )


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


def stated(folder: Path, tower: str, fields: dict[str, Any]) -> Path:
    (folder / "towers" / tower).mkdir(parents=True)
    (folder / "towers" / tower / "preprocessor_config.json").write_text(json.dumps(fields))
    return folder


def specs(folder: Path, **changes: Any) -> dict[str, dict[str, Any]]:
    found = release_specs(tiny_release.config() | changes, folder)
    return {spec["name"]: spec for spec in found}


def test_the_towers_own_configs_tell_their_sizes(tmp_path: Path) -> None:
    towers = [f"towers/{number}" for number in range(8)]
    for number, fields in {
        0: {"vision_config": {"num_attention_heads": 4, "image_size": 28, "patch_size": 14}},
        1: {"num_attention_heads": 2, "hidden_size": W, "num_hidden_layers": 5},
        4: {"vision_config": {"num_attention_heads": 8, "d_kv": 8, "d_ff": 48}},
    }.items():
        folder = tmp_path / "towers" / str(number)
        folder.mkdir(parents=True)
        (folder / "config.json").write_text(json.dumps(fields))
    told = specs(tmp_path, mm_vision_tower=towers)
    assert (told["clip"]["heads"], told["clip"]["size"]) == (4, 56)  # as MoVA runs it
    assert (told["dinov2"]["heads"], told["dinov2"]["layers"]) == (2, 5)
    pix2struct = told["pix2struct"]
    assert (pix2struct["heads"], pix2struct["head_dim"], pix2struct["mlp"]) == (8, 8, 48)
    assert told["biomedclip"]["heads"] == 1


def test_without_padding_the_processors_see_the_picture_itself(tmp_path: Path) -> None:
    told = specs(tmp_path, image_aspect_ratio="square")
    assert told["clip"]["frame"] == told["sam"]["frame"] == "crop"
    stated(tmp_path, "vary", {"image_processor_type": "SamImageProcessor"})
    told = specs(tmp_path, image_aspect_ratio="square")
    frames = {name: spec["frame"] for name, spec in told.items()}
    assert frames["clip"] == frames["dinov2"] == frames["biomedclip"] == "crop"
    assert frames["pix2struct"] == frames["deplot"] == "none"
    assert frames["vary"] == frames["codetr"] == frames["sam"] == "corner"
    config = tiny_release.config()
    assert planned(tiny_release.state(), config)[0].box_frame == "pad"
    del config["image_aspect_ratio"]
    assert planned(tiny_release.state(), config)[0].box_frame == "image"


def test_a_filter_that_the_views_have_not_is_told(tmp_path: Path) -> None:
    stated(tmp_path, "clip", {"resample": 1})
    with pytest.raises(UserError, match="clip asks for the filter 1"):
        specs(tmp_path)


def test_a_number_of_patches_that_is_no_square_is_not_what_runs(tmp_path: Path) -> None:
    stated(tmp_path, "pix2struct", {"max_patches": 2048})
    assert specs(tmp_path)["pix2struct"]["max_patches"] == 2025


def test_only_folders_in_the_releases_own_are_read(tmp_path: Path) -> None:
    outside = tmp_path / "outside"
    outside.mkdir()
    (outside / "preprocessor_config.json").write_text(json.dumps({"image_mean": [9, 9, 9]}))
    inside = tmp_path / "release"
    inside.mkdir()
    for path in (str(outside), "../outside"):
        told = specs(inside, mm_vision_tower=[path] * 8)
        assert not any("mean" in spec for spec in told.values())


def test_the_hubs_cache_is_told_by_its_repository() -> None:
    folder = Path("hub/models--zongzhuofan--llama3-mova-8b/snapshots/1a2b")
    assert source_name(folder) == "zongzhuofan/llama3-mova-8b"


def broken(folder: Path, act: Callable[[Path], None]) -> str:
    """The line that a broken release gives; nothing that loads is left."""
    tiny_release.write_release(folder)
    act(folder)
    target = folder.parent / "out"
    with pytest.raises(UserError) as caught:
        convert(folder, target)
    assert not list(folder.parent.glob("out*"))
    assert "\n" not in str(caught.value)
    return str(caught.value)


def without_words(folder: Path) -> None:
    (folder / "checkpoints" / "bert" / "vocab.txt").write_text("[UNK]\nwhat\n")


def without_question_tokenizer(folder: Path) -> None:
    (folder / "checkpoints" / "bert" / "vocab.txt").unlink()


def test_a_folder_without_its_small_files_is_told(tmp_path: Path) -> None:
    assert "lacks config.json" in broken(tmp_path / "a", lambda f: (f / "config.json").unlink())
    assert "config.json is not readable" in broken(
        tmp_path / "b", lambda f: (f / "config.json").write_text("{")
    )
    assert "has no tokenizer" in broken(tmp_path / "c", lambda f: (f / "tokenizer.json").unlink())
    assert "knows 10 words, but the tokenizer that was found for it 6" in broken(
        tmp_path / "d", without_words
    )
    assert "'bert' holds no tokenizer of the question's encoder" in broken(
        tmp_path / "e", without_question_tokenizer
    )


def test_a_question_tokenizer_can_be_given(source: Path, tmp_path: Path) -> None:
    other = tmp_path / "words"
    other.mkdir()
    words = [*tiny_release.QUESTION_WORDS[:-1], "other"]
    (other / "vocab.txt").write_text("\n".join(words))
    (other / "tokenizer_config.json").write_text('{"do_lower_case": false}')
    convert(source, tmp_path / "out", question_tokenizer=other)
    tokenizer = Mova.from_pretrained(tmp_path / "out").processor.question_tokenizer
    assert tokenizer.convert_tokens_to_ids("other") == 9


def test_every_parameter_of_the_adapter_has_one_released_name() -> None:
    with torch.device("meta"):
        state = MoVAdapter(AdapterConfig()).state_dict()
    names = released_names(state)
    assert len(set(names.values())) == len(state)
    assert names["blocks.2.extractors.6.attention.k_proj.weight"] == (
        "blocks.2.cross_attn.6.k_proj.weight"
    )
    with pytest.raises(KeyError, match=r"is called: blocks\.0\.norm9\.weight"):
        released_names(["blocks.0.norm9.weight"])
