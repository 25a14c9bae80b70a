"""A MoVA assembled from tiny public parts loads, has the parts' weights, and answers."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import save_file
from torch.testing import assert_close
from transformers import (
    AutoModelForCausalLM,
    CLIPConfig,
    Gemma2Config,
    GPT2Config,
    LlamaConfig,
    OPTConfig,
    PhiConfig,
    PreTrainedConfig,
    Qwen2Config,
    Qwen3MoeConfig,
)

from checkpoints import public
from commands import fault
from experts.onnx_files import tiny_graph
from openmova import Mova
from openmova.checkpoints.assemble import fetch, plan_assembly
from openmova.checkpoints.mova_specs import RELEASED_ORDER
from openmova.checkpoints.recipe import Recipe
from openmova.experts import KINDS
from tiny import WORDS, pictures, tiny_question_tokenizer, tiny_tokenizer

LANGUAGE_SIZES: dict[str, Any] = {
    "vocab_size": len(WORDS),
    "hidden_size": 16,
    "intermediate_size": 24,
    "num_hidden_layers": 2,
    "num_attention_heads": 2,
    "num_key_value_heads": 1,
    "max_position_embeddings": 256,
    "bos_token_id": 2,
    "eos_token_id": 3,
    "pad_token_id": 0,
}
LANGUAGE_MODELS: dict[str, PreTrainedConfig] = {
    "llama": LlamaConfig(**LANGUAGE_SIZES),
    "qwen2-tied": Qwen2Config(**LANGUAGE_SIZES, tie_word_embeddings=True),
    "gemma2-tied": Gemma2Config(**LANGUAGE_SIZES, head_dim=8, query_pre_attn_scalar=8),
    "opt": OPTConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        word_embed_proj_dim=16,
        ffn_dim=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        max_position_embeddings=256,
    ),
    "gpt2-tied": GPT2Config(vocab_size=len(WORDS), n_embd=16, n_layer=2, n_head=2, n_positions=256),
    "qwen3-moe": Qwen3MoeConfig(
        **LANGUAGE_SIZES, head_dim=8, moe_intermediate_size=8, num_experts=4, num_experts_per_tok=2
    ),
}


def language_model(folder: Path, name: str) -> Any:
    torch.manual_seed(0)
    model = AutoModelForCausalLM.from_config(LANGUAGE_MODELS[name])
    public.random_weights(model)
    model.save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    return model.eval()


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of public parts."""
    folder = tmp_path_factory.mktemp("parts")
    language_model(folder / "language", "llama")
    public.clip().save_pretrained(folder / "clip")
    public.dinov2().save_pretrained(folder / "dinov2")
    public.sam_file(folder / "sam_vit_t.pth")
    public.pix2struct().save_pretrained(folder / "deplot")
    public.bert().save_pretrained(folder / "bert")
    tiny_question_tokenizer().save_pretrained(folder / "bert")
    return folder


@pytest.fixture(scope="module")
def recipe(parts: Path) -> dict[str, Any]:
    return {
        "language_model": str(parts / "language"),
        "base": {"source": str(parts / "clip"), "size": 28},
        "experts": [
            {"name": "dinov2", "source": str(parts / "dinov2"), "view_size": 56},
            {"name": "sam", "source": str(parts / "sam_vit_t.pth"), **public.SAM_SPEC},
            {"name": "deplot", "source": str(parts / "deplot"), "max_patches": 9},
        ],
        "gate_text_encoder": str(parts / "bert"),
        "adapter": {"blocks": 2, "head_dim": 8},
        "routing": {"grid": [1, 2], "max_new_tokens": 4},
        "dtype": "float32",
    }


def build(recipe: dict[str, Any], target: Path) -> dict[str, Any]:
    parsed = Recipe.from_dict(recipe)
    conversion, _ = plan_assembly(parsed, fetch(parsed))
    return conversion.write(target)


@pytest.fixture(scope="module")
def assembled(recipe: dict[str, Any], parts: Path) -> Path:
    build(recipe, parts / "mova")
    return parts / "mova"


def read(folder: Path | str) -> Mova:
    return Mova.from_pretrained(folder, device="cpu", dtype="float32")


def test_it_loads_and_answers(assembled: Path) -> None:
    mova = read(assembled)
    assert mova.experts == ("dinov2", "sam", "deplot")
    picture = pictures(1)[0]
    answer = mova.ask(picture, "what is this ?", max_new_tokens=3, experts="all")
    assert answer.routing.experts == ("dinov2", "sam", "deplot")
    assert answer.gates.shape == (2, 3)
    mova.ask(picture, "what is this ?", max_new_tokens=3)


@torch.no_grad()
def test_every_part_has_the_published_weights(assembled: Path, parts: Path, tmp_path: Path) -> None:
    model = read(assembled).model
    ids = torch.tensor([[2, 9, 10, 11]])
    theirs = AutoModelForCausalLM.from_pretrained(parts / "language")(ids).logits
    assert_close(model(ids).logits, theirs)
    view = torch.randn(1, 3, 28, 28, generator=torch.Generator().manual_seed(0))
    clip = public.clip().vision_model(view, output_hidden_states=True).hidden_states[-2]
    assert_close(model.model.base(view).flatten(2).mT, clip[:, 1:], atol=1e-5, rtol=0)
    view = torch.nn.functional.interpolate(view, (64, 64))
    sam = public.sam_file(tmp_path / "sam.pth")
    assert_close(model.model.experts.get(1)(view), sam(view))
    bert = public.bert().bert(ids).last_hidden_state
    assert_close(model.model.gate_text_encoder(ids).last_hidden_state, bert)


def test_the_report_knows_every_tensor(assembled: Path) -> None:
    report = json.loads((assembled / "conversion.json").read_text())
    table = report["tensors"]["model.base.embeddings.position_embedding.weight"]
    assert table["source"] == "base:vision_model.embeddings.position_embedding.weight"
    assert report["tensors"]["model.adapter.position"]["file"] == "model.safetensors"
    assert report["dropped"]["gate_text_encoder:cls.predictions.bias"] == "not of this encoder"
    assert report["recipe"]["dtype"] == "float32"


def test_the_seed_decides_on_the_adapter(recipe: dict[str, Any], tmp_path: Path) -> None:
    def adapter(name: str, **changes: Any) -> list[str]:
        tensors = build(recipe | changes, tmp_path / name)["tensors"]
        return [t["sha256"] for place, t in tensors.items() if "adapter." in place]

    first = adapter("a")
    assert adapter("b") == first
    assert adapter("c", seed=1) != first


def test_a_template_of_the_release_ends_where_it_ends_a_turn(
    recipe: dict[str, Any], tmp_path: Path
) -> None:
    build(recipe | {"template": "vicuna_v1"}, tmp_path / "mova")
    mova = read(tmp_path / "mova")
    turns = [{"role": "user", "content": [{"type": "image"}, {"type": "text", "text": "Hi"}]}]
    prompt = mova.processor.apply_chat_template(turns, add_generation_prompt=True)
    assert prompt.endswith("USER: <image>\nHi ASSISTANT:")
    assert mova.model.generation_config.eos_token_id == [3]
    assert not mova.model.generation_config.do_sample


def test_an_image_token_that_the_language_model_never_had(
    recipe: dict[str, Any], tmp_path: Path
) -> None:
    build(recipe | {"image_token": "<picture>"}, tmp_path / "mova")
    mova = read(tmp_path / "mova")
    assert mova.model.config.image_token_id >= len(WORDS)
    mova.ask(pictures(1)[0], "what is this ?", max_new_tokens=3, experts="sam")
    mova.ask(pictures(1)[0], "what is this ?", max_new_tokens=3)


def test_an_encoder_of_an_assembled_model_and_any_of_transformers(
    recipe: dict[str, Any], assembled: Path, tmp_path: Path
) -> None:
    public.dinov2(use_swiglu_ffn=False).save_pretrained(tmp_path / "small-dinov2")
    look = {"kind": "hf", "size": 28, "mean": [0.5] * 3, "std": [0.5] * 3}
    experts = [
        {"name": "sam", "source": str(assembled)},
        {
            "name": "small",
            "source": str(tmp_path / "small-dinov2"),
            "descriptions": "a small one",
            **look,
        },
    ]
    report = build(recipe | {"experts": experts}, tmp_path / "second")
    before = json.loads((assembled / "conversion.json").read_text())["tensors"]
    name = "experts/sam/pos_embed"
    assert report["tensors"][name]["sha256"] == before[name]["sha256"]
    mova = read(tmp_path / "second")
    assert mova.model.config.descriptions[1] == "a small one"
    mova.ask(pictures(1)[0], "what ?", max_new_tokens=2, experts="all")


def test_a_graph_a_kind_of_one_s_own_and_an_expert_that_says_in_words(
    recipe: dict[str, Any], parts: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setitem(KINDS, "words", "experts.words:SayingExpert")
    monkeypatch.setitem(KINDS, "more", "experts.words:WeighingExpert")
    Path("graph.onnx").write_bytes(tiny_graph())
    tiny_tokenizer().backend_tokenizer.save("words.json")
    weights = {"conv.weight": torch.ones(6, 3, 2, 2), "conv.bias": torch.ones(6)}
    save_file(weights, "mine.safetensors")
    save_file({"weight": torch.ones(2)}, "more.safetensors")
    experts = [
        {"name": "graph", "kind": "onnx", "path": "graph.onnx", "output": "both"},
        {"name": "mine", "kind": "tiny", "source": "mine.safetensors"},
        {"name": "words", "kind": "words", "tokenizer": "words.json", "width": 8},
        {
            "name": "more",
            "kind": "more",
            "tokenizer": "words.json",
            "width": 8,
            "source": "more.safetensors",
        },
    ]
    described = [{"descriptions": "sees", **expert} for expert in experts]
    build(recipe | {"experts": described}, Path("mova"))
    for file in ("graph.onnx", "words.json", "mine.safetensors"):
        Path(file).unlink()
    mova = read("mova")
    mova.ask(pictures(1)[0], "what ?", max_new_tokens=1, experts="all")
    pool = mova.model.model.experts
    assert torch.equal(pool.get(1).state_dict()["conv.weight"], weights["conv.weight"])
    assert pool.get(2).codes.table.any()
    assert torch.equal(pool.get(3).codes.table, pool.get(2).codes.table)
    taken = [{**described[i], "kind": None, "source": "mova"} for i in (0, 2)]
    build(recipe | {"experts": taken}, Path("again"))
    assert Path("again/graph.onnx").is_file()
    assert Path("again/experts/words.codes.safetensors").is_file()
    # vLLM reads all of them as the model's.
    assert [p.name for p in Path("again").glob("*.safetensors")] == ["model.safetensors"]
    told = refused(recipe | {"experts": [{**described[1], "source": ""}]})
    assert "mine: the kind tiny begins with random weights" in told


@torch.no_grad()
@pytest.mark.parametrize("name", LANGUAGE_MODELS)
def test_any_causal_language_model(recipe: dict[str, Any], tmp_path: Path, name: str) -> None:
    theirs = language_model(tmp_path / "language", name)
    build(recipe | {"language_model": str(tmp_path / "language")}, tmp_path / "mova")
    mova = read(tmp_path / "mova")
    ids = torch.tensor([[2, 9, 10, 11]])
    assert_close(mova.model(ids).logits, theirs(ids).logits)
    mova.ask(pictures(1)[0], "what ?", max_new_tokens=2, experts="sam")


def test_a_language_model_in_pickles(recipe: dict[str, Any], parts: Path, tmp_path: Path) -> None:
    """Tables of older saves are left out; a key that nobody knows and one that lacks are told."""
    model = AutoModelForCausalLM.from_pretrained(parts / "language")
    public.save_as_pickle(model, tmp_path / "language")
    tiny_tokenizer().save_pretrained(tmp_path / "language")
    changed = recipe | {"language_model": str(tmp_path / "language")}
    file = tmp_path / "language" / "pytorch_model.bin"
    state = torch.load(file) | {"model.layers.0.self_attn.rotary_emb.inv_freq": torch.ones(4)}
    torch.save(state, file)
    first, again = (build(r, tmp_path / n)["tensors"] for r, n in ((recipe, "a"), (changed, "b")))
    name = "model.language_model.embed_tokens.weight"
    assert first[name]["sha256"] == again[name]["sha256"]
    torch.save(state | {"more": torch.ones(1)}, file)
    assert "has unknown weights of its language model, such as more" in refused(changed)
    del state["model.norm.weight"]
    torch.save(state, file)
    assert "lacks weights of its language model, such as model.norm.weight" in refused(changed)


# Mistakes


def refused(recipe: dict[str, Any]) -> str:
    """The line that a recipe gives; nothing is written."""
    target = Path("never-written")
    message = fault(build, recipe, target)
    assert not target.exists()
    return message


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"languge_model": "x"}, "unknown key, 'languge_model': did you mean language_model?"),
        ({"template": "vicuna"}, "unknown template, 'vicuna': did you mean vicuna_v1?"),
        ({"dtype": "int8"}, "unknown dtype, 'int8': known are bfloat16"),
        ({"adapter": {"block": 2}}, "unknown key of adapter, 'block': did you mean blocks?"),
        ({"adapter": {"head_dim": 7}}, "adapter: head_dim is 7"),
        ({"routing": {"girds": [1, 1]}}, "did you mean grid?"),
        ({"experts": {"name": "sam"}}, "experts can't be {'name': 'sam'}: give a list"),
        ({"experts": [{"name": "sam"}]}, "lacks experts.0.source"),
        ({"experts": [{"name": "mine", "source": "x"}]}, "lacks descriptions"),
        ({"base": "clip"}, "base must hold keys"),
        ({"language_model": None}, "lacks language_model"),
        ({"language_model": 3}, "language_model can't be 3: give a text"),
        ({"language_model": "no/such/model"}, "there is no file or folder 'no/such/model'"),
    ],
)
def test_a_recipe_that_can_not_be_meant(
    recipe: dict[str, Any], change: dict[str, Any], told: str
) -> None:
    assert told in refused(recipe | change)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"source": "/no/such/file"}, "dinov2: there is no file or folder '/no/such/file'"),
        (
            {"source": "clip"},
            "dinov2: clip holds CLIP (kind clip), not an encoder of the kind dino",
        ),
        ({"view_sice": 4}, "view_sice"),
        ({"size": "28 pixels"}, "dinov2: the spec of the 'dinov2' expert does not fit"),
        ({"width": 64}, "has the shape [32] instead of [64]"),
    ],
)
def test_an_encoder_that_can_not_be_meant(
    recipe: dict[str, Any], parts: Path, change: dict[str, Any], told: str
) -> None:
    if change.get("source") == "clip":
        change = {"source": str(parts / "clip")}
    first, *others = recipe["experts"]
    assert told in refused(recipe | {"experts": [first | change, *others]})


def test_a_text_encoder_that_is_no_bert(recipe: dict[str, Any], parts: Path) -> None:
    told = refused(recipe | {"gate_text_encoder": str(parts / "clip")})
    assert "not an encoder of the kind bert" in told


@pytest.mark.parametrize(
    ("config", "told"),
    [
        (CLIPConfig(), "clip, which is no plain causal language model"),
        (LlamaConfig(**LANGUAGE_SIZES, quantization_config={"bits": 4}), "is quantised already"),
        (PhiConfig(**LANGUAGE_SIZES), "the head of this language model (phi) has a bias"),
        (
            {"model_type": "mine", "auto_map": {"AutoConfig": "code.Config"}},
            "holds no language model that transformers knows",
        ),
    ],
)
def test_a_language_model_that_can_be_no_decoder(
    recipe: dict[str, Any], tmp_path: Path, config: Any, told: str
) -> None:
    """Code that comes with one is not run, and nobody is asked whether it may be."""
    fields = config if isinstance(config, dict) else config.to_dict()
    (tmp_path / "config.json").write_text(json.dumps(fields, default=str))
    (tmp_path / "code.py").write_text("raise SystemExit('this code was run')")
    assert told in refused(recipe | {"language_model": str(tmp_path)})


def test_a_language_model_without_tokenizer_or_template(
    recipe: dict[str, Any], tmp_path: Path
) -> None:
    folder = tmp_path / "language"
    language_model(folder, "llama")
    changed = recipe | {"language_model": str(folder)}
    for file in folder.glob("*chat_template*"):
        file.unlink()
    settings = json.loads((folder / "tokenizer_config.json").read_text())
    settings.pop("chat_template", None)
    (folder / "tokenizer_config.json").write_text(json.dumps(settings))
    assert "has no chat template: name one" in refused(changed)
    for file in folder.glob("token*"):
        file.unlink()
    assert "has no tokenizer" in refused(changed)


@pytest.mark.parametrize("name", ["mova-7b", "mova-8b", "mova-34b"])
def test_the_recipes_of_the_paper_can_be_meant(name: str) -> None:
    path = Path(__file__).parents[2] / "recipes" / f"{name}.yaml"
    recipe = Recipe.load(path)
    assert tuple(entry.name for entry in recipe.experts) == RELEASED_ORDER
    assert recipe.base.changes["size"] == 672
    assert yaml.safe_load(path.read_text())["dtype"] == "bfloat16"
