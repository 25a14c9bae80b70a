"""A pool grows by an expert: its letter and its line are there, and nothing else changes."""

from __future__ import annotations

import itertools
import json
from pathlib import Path
from typing import Any

import pytest
import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from checkpoints import public
from commands import fault
from experts.onnx_files import tiny_graph
from openmova import Mova
from openmova.checkpoints.add_expert import named_expert, plan_addition
from openmova.experts.token_codes import WordExpert
from openmova.model.adapter import ExpertMap
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import MovaProcessor
from tiny import Echo, pictures, tiny_model, tiny_tokenizer

DESCRIPTION = "This model sees outlines."
QUESTION = "What is this?"
LOOK = {"kind": "hf", "size": 28, "mean": [0.5] * 3, "std": [0.5] * 3}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A model of three experts whose adapter is not that of the start."""
    folder = public.save_tiny_mova(tmp_path_factory.mktemp("models") / "three")
    save_file({"codes": torch.zeros(2)}, folder / "experts" / "words.codes.safetensors")
    return folder


@pytest.fixture(scope="module")
def dino(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A file that names the folder of a vision model of transformers."""
    folder = tmp_path_factory.mktemp("dino")
    public.dinov2(use_swiglu_ffn=False).save_pretrained(folder / "weights")
    return write(folder / "dino.yaml", source=str(folder / "weights"), **LOOK)


@pytest.fixture(scope="module")
def grown(model: Path, dino: Path) -> Path:
    target = model.with_name("four")
    add(model, dino, target)
    return target


def write(file: Path, **keys: Any) -> Path:
    file.write_text(yaml.safe_dump(keys))
    return file


def add(model: Path, expert: object, target: Path) -> dict[str, Any]:
    return plan_addition(model, named_expert(str(expert), DESCRIPTION)).write(target)


def refused(model: Path, expert: object, target: Path) -> str:
    told = fault(add, model, expert, target)
    assert not target.exists()
    return told


@torch.no_grad()
def seen(folder: Path, routing: Tensor) -> tuple[Tensor, Tensor]:
    """Gates and logits of a question under every one of these routings."""
    model = MovaForConditionalGeneration.from_pretrained(folder).eval()
    processor = MovaProcessor.from_pretrained(folder)
    count = len(routing)
    inputs = processor(
        images=pictures(1) * count, questions=[QUESTION] * count, return_tensors="pt"
    )
    inputs = {name: tensor for name, tensor in inputs.items() if not name.startswith("routing")}
    looked = {n: tensor for n, tensor in inputs.items() if not n.startswith(("input", "att"))}
    _, gates = model.model.image_tokens(routing=routing, **looked)
    return gates, model(routing=routing, **inputs).logits


def test_every_other_routing_gives_the_same_bits(model: Path, grown: Path) -> None:
    routing = torch.tensor(list(itertools.product([False, True], repeat=3)))
    gates, logits = seen(model, routing)
    grown_gates, grown_logits = seen(grown, torch.nn.functional.pad(routing, (0, 1)))
    assert torch.equal(grown_gates, torch.nn.functional.pad(gates, (0, 1)))
    assert torch.equal(grown_logits, logits)


def test_all_that_was_stored_is_stored(model: Path, grown: Path) -> None:
    before, after = (load_file(folder / "model.safetensors") for folder in (model, grown))
    for name, tensor in before.items():
        kept = after[name][: len(tensor)] if "gate.score" in name else after[name]
        assert torch.equal(kept, tensor), name
    assert all(".extractors.3." in name for name in after.keys() - before.keys())
    for file in model.glob("experts/*"):
        assert load_file(grown / "experts" / file.name).keys() == load_file(file).keys()
    small = {f.name for f in model.iterdir() if f.suffix != ".safetensors"}
    assert {f.name for f in grown.iterdir() if f.suffix != ".safetensors"} == small | {
        "conversion.json"
    }


def test_the_router_reads_its_line_and_it_runs_with_the_weights_of_its_source(grown: Path) -> None:
    mova = Mova.from_pretrained(grown, device="cpu")
    assert mova.experts[-1] == "dino"
    assert mova.model.config.routing.unlearned == ("dino",)
    inputs = mova.processor(images=pictures(1), questions=[QUESTION], return_tensors="pt")
    prompt = mova.processor.tokenizer.decode(inputs["routing_input_ids"][0])
    assert f"\nD. {DESCRIPTION}\n" in prompt
    base = mova.model.model.encode_base(inputs["pixel_values"], inputs["image_sizes"])
    routed = mova.model.route(inputs["routing_input_ids"], None, base)
    assert routed.scores.shape == (1, 4) and routed.scores[0, 3] > 0
    answer = mova.ask(pictures(1)[0], QUESTION, experts="dino", max_new_tokens=2)
    assert answer.gates.tolist() == [[1.0], [1.0]]
    view = torch.rand(1, 3, 28, 28)
    found = mova.model.model.experts.get(3)(view)
    theirs = public.dinov2(use_swiglu_ffn=False)(view).last_hidden_state[:, 1:]
    torch.testing.assert_close(found.flatten(2).mT, theirs)


def test_words_are_read_as_those_of_the_pool(tmp_path: Path) -> None:
    """Its codes are the pool's, and the same words give the same tokens, whoever says them."""
    named = public.save_tiny_mova_with_names(tmp_path / "names")
    target = tmp_path / "grown"
    about = add(named, write(tmp_path / "echo.yaml", kind="echo", rows=[0, 8]), target)
    assert about["reads_like"] == "object"
    model = Mova.from_pretrained(target, device="cpu").model.model
    said, echo = (model.experts.get(place) for place in (2, 3))
    assert isinstance(said, WordExpert) and isinstance(echo, Echo)
    assert torch.equal(echo.codes.table, said.codes.table)
    assert echo.grid == said.grid
    maps = echo(torch.tensor([[30, 40]]))
    assert torch.equal(maps, said.write(["30 x 40"]))
    config = model.adapter.config
    base = torch.rand(1, config.width, *config.grid)
    text = torch.zeros(1, config.text_width)
    tokens = []
    for place in (2, 3):
        routing = torch.zeros(1, 4, dtype=torch.bool)
        routing[0, place] = True
        given = {place: ExpertMap(torch.tensor([0]), maps)}
        tokens.append(model.adapter(base, given, routing, text)[0])
    assert torch.equal(*tokens)
    assert not torch.equal(tokens[0], torch.zeros_like(tokens[0]))


def test_twice(grown: Path, model: Path, tmp_path: Path) -> None:
    """The second is an expert of another model of ours."""
    other = tmp_path / "other"
    tiny_model().save_pretrained(other)
    add(grown, write(tmp_path / "five.yaml", name="one", source=str(other)), tmp_path / "five")
    mova = Mova.from_pretrained(tmp_path / "five", device="cpu")
    assert mova.experts[-2:] == ("dino", "one")
    mova.ask(pictures(1)[0], QUESTION, experts="dino,one", max_new_tokens=1)


def test_a_graph_comes_along(model: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    pytest.importorskip("onnxruntime")
    monkeypatch.chdir(tmp_path)
    Path("graph.onnx").write_bytes(tiny_graph())
    graph = {"kind": "onnx", "path": "graph.onnx", "output": "both", "descriptions": "Other words."}
    add(model, write(Path("graph.yaml"), **graph), Path("m"))
    Path("graph.onnx").unlink()
    mova = Mova.from_pretrained("m", device="cpu")
    mova.ask(pictures(1)[0], QUESTION, experts="graph", max_new_tokens=1)
    spec = mova.model.config.experts[-1]
    assert (spec["channels"], spec["descriptions"]) == (6, [DESCRIPTION, "Other words."])


def test_a_kind_of_one_s_own_needs_its_weights(model: Path, tmp_path: Path) -> None:
    assert "begins with random weights (conv.weight): give" in refused(
        model, "tiny", tmp_path / "never"
    )
    weights = {"conv.weight": torch.ones(6, 3, 2, 2), "conv.bias": torch.ones(6)}
    save_file(weights, tmp_path / "mine.safetensors")
    source = str(tmp_path / "mine.safetensors")
    add(model, write(tmp_path / "mine.yaml", kind="tiny", source=source), tmp_path / "with-mine")
    pool = Mova.from_pretrained(tmp_path / "with-mine", device="cpu").model.model.experts
    assert torch.equal(pool.get(3).state_dict()["conv.weight"], weights["conv.weight"])


@pytest.mark.parametrize(
    ("keys", "told"),
    [
        ({"name": "text", "source": "."}, "has an expert 'text' already"),
        ({"name": "a/b", **LOOK, "source": "weights"}, "names a file"),
        ({"kind": "onnx"}, "path"),
        ({"kind": "onnx", "path": "nowhere.onnx"}, "nowhere.onnx"),
        ({"kind": "onxx"}, "did you mean onnx?"),
        ({"source": "/no/such/folder"}, "there is no file or folder '/no/such/folder'"),
        ({"source": "."}, "holds no"),
        ({}, "lacks source"),
    ],
)
def test_an_expert_that_can_not_be_meant(
    model: Path, dino: Path, tmp_path: Path, keys: dict[str, Any], told: str
) -> None:
    if keys.get("source") == "weights":
        keys = keys | {"source": str(dino.parent / "weights")}
    if keys.get("source") == ".":
        keys = keys | {"source": str(tmp_path)}
    file = write(tmp_path / "mine.yaml", **keys)
    assert told in refused(model, file, tmp_path / "never")


def test_weights_that_are_none(model: Path, dino: Path, tmp_path: Path) -> None:
    torn = tmp_path / "torn"
    torn.mkdir()
    config = (dino.parent / "weights" / "config.json").read_text()
    (torn / "config.json").write_text(config)
    (torn / "model.safetensors").write_bytes(b"torn")
    file = write(tmp_path / "torn.yaml", source=str(torn), **LOOK)
    assert "can't be read" in refused(model, file, tmp_path / "never")
    assert "give a YAML file" in refused(model, tmp_path / "no.yaml", tmp_path / "never")


def test_a_model_that_can_take_none(dino: Path, tmp_path: Path) -> None:
    """The tokenizer has no letter after C; a model without experts has no pool."""
    folder = tmp_path / "tiny"
    tiny_model().save_pretrained(folder)
    tiny_tokenizer().save_pretrained(folder)
    assert "it can't write D: 3 are the most" in refused(folder, dino, tmp_path / "never")
    config = json.loads((folder / "config.json").read_text())
    config["experts"], config["adapter"]["expert_channels"] = [], []
    (folder / "config.json").write_text(json.dumps(config))
    assert "has no pool" in refused(folder, dino, tmp_path / "never")
