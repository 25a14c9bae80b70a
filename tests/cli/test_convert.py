"""openmova convert: what is told, and every bad input as one line that names file and key."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import Result

from checkpoints import tiny_release
from commands import mistake, output, run
from openmova import Mova

SHARD = "pytorch_model-00002-of-00002.bin"


def convert(*arguments: object) -> Result:
    return run("convert", *arguments)


@pytest.fixture(scope="module", autouse=True)
def tiny_sizes() -> Iterator[None]:
    with tiny_release.published():
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release.write_release(tmp_path_factory.mktemp("release") / "llama3-mova-8b")


def manifest(path: Path, **changes: Any) -> Path:
    """The tiny release's names and shapes; a change of None takes a key out."""
    tensors = {
        name: {"shape": list(shape), "dtype_in_hub_checkpoint": "bfloat16"}
        for name, shape in {**tiny_release.shapes(), **changes}.items()
        if shape is not None
    }
    path.write_text(json.dumps({"tensors": tensors}))
    return path


def test_a_release_is_converted_verified_and_answers(source: Path, tmp_path: Path) -> None:
    converted = tmp_path / "mova"
    command = ("convert", source, converted, "--verify", "--dtype", "float32")
    told = json.loads(output(*command, "--json").splitlines()[-1])
    count = len(json.loads((converted / "conversion.json").read_text())["tensors"])
    assert told["folder"] == str(converted)
    assert told["tensors"] == told["verified"] == count > 400
    assert all(told["dropped"].values())
    assert Mova.from_pretrained(converted).experts[0] == "dinov2"
    assert output(*command) == f"{converted}: {count} tensors equal those of {source}\n"
    assert "needs no conversion" in mistake("convert", converted, tmp_path / "x")


def test_a_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    result = convert(source, tmp_path / "out", "--dry-run", "--json")
    fields = json.loads(result.stdout.splitlines()[-1])
    assert result.exit_code == 0
    assert sorted([*fields["consumed"], *fields["dropped"]]) == sorted(tiny_release.shapes())
    assert fields["unfilled"] == fields["mismatched"] == fields["unknown"] == []
    assert "0 unfilled, 0 mismatched" in convert(source, "--dry-run").stdout
    assert not list(tmp_path.iterdir())


def test_a_manifest_stands_for_the_source_and_what_does_not_fit_is_told_twice(
    tmp_path: Path,
) -> None:
    """As data on standard output, and as an error."""
    output("convert", "--dry-run", "--manifest", manifest(tmp_path / "m.json"))
    changes = {"lm_head.weight": [tiny_release.VOCABULARY, 3], "model.extra": [1]}
    changed = manifest(tmp_path / "m.json", **changes, **{"model.norm.weight": None})
    result = convert("--dry-run", "--manifest", changed, "--json")
    fields = json.loads(result.stdout.splitlines()[-1])
    assert fields["unfilled"] == ["model.language_model.norm.weight"]
    assert [fault["key"] for fault in fields["mismatched"]] == ["lm_head.weight"]
    assert fields["unknown"] == ["model.extra"]
    for key in ("model.language_model.norm.weight", "lm_head.weight", "m.json: unknown key"):
        assert key in result.stderr


class Attack:
    """Runs a command when it is unpickled."""

    def __reduce__(self) -> Any:
        return os.system, ("touch was_here",)


@pytest.mark.parametrize(
    ("more", "message"),
    [
        (None, f"{SHARD} is damaged"),
        (Attack(), f"{SHARD} was not loaded, because its pickle asks for posix.system"),
        (torch.ones(1), f"{SHARD}: unknown key more"),
    ],
    ids=["cut", "attack", "added"],
)
def test_a_source_that_can_not_be_converted_is_one_line_and_leaves_nothing(
    source: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, more: Any, message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    shutil.copytree(source, "release")
    shard = tmp_path / "release" / SHARD
    if more is None:
        shard.write_bytes(shard.read_bytes()[:-50])
    else:
        torch.save({**torch.load(shard), "more": more}, shard)
    assert message in mistake("convert", "release", "out")
    assert [path.name for path in tmp_path.iterdir()] == ["release"]


def test_one_encoder_alone(tmp_path: Path) -> None:
    start = "model.vision_tower.vision_tower_7."
    state = {
        f"image_encoder.{key.removeprefix(start)}": tensor
        for key, tensor in tiny_release.state().items()
        if key.startswith(start)
    }
    torch.save(state, tmp_path / "sam_vit_tiny.pth")
    target = tmp_path / "sam"
    result = convert(tmp_path / "sam_vit_tiny.pth", target, "--name", "sam", "--verify")
    assert result.exit_code == 0, result.output
    assert json.loads((target / "spec.json").read_text())["window"] == 2
    assert (target / "sam.safetensors").is_file()
    assert f"{len(state)} tensors equal" in result.stdout
    assert "was converted already" in mistake("convert", target, tmp_path / "again")


def test_a_language_model_alone(tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 2}
    config = LlamaConfig(vocab_size=30, num_attention_heads=2, tie_word_embeddings=True, **sizes)
    model = LlamaForCausalLM(config)
    model.generation_config.max_new_tokens = 77
    model.save_pretrained(tmp_path / "llm")
    (tmp_path / "llm" / "model.safetensors").unlink()
    torch.save(model.state_dict(), tmp_path / "llm" / "pytorch_model.bin")
    result = convert(tmp_path / "llm", tmp_path / "out", "--verify", "--dtype", "bfloat16")
    assert result.exit_code == 0, result.output
    loaded = LlamaForCausalLM.from_pretrained(tmp_path / "out")
    assert loaded.dtype == torch.bfloat16
    for name, tensor in model.state_dict().items():
        assert torch.equal(loaded.state_dict()[name], tensor.bfloat16())
    assert loaded.generation_config.max_new_tokens == 77


def test_wrong_arguments(source: Path, tmp_path: Path) -> None:
    assert "SRC is missing" in mistake("convert")
    assert "DST is missing" in mistake("convert", source)
    assert "--dtype int8" in mistake("convert", source, tmp_path / "x", "--dtype", "int8")
    listed = manifest(tmp_path / "m.json")
    for given in ((), (source, "--dry-run")):
        assert "stands for SRC" in mistake("convert", *given, "--manifest", listed)
    assert "is no manifest" in mistake("convert", "--dry-run", "--manifest", tmp_path / "none.json")
    assert "there is no file or folder" in mistake("convert", "nowhere", tmp_path / "x")
    shard = next(source.glob("*.bin"))
    assert "give its folder" in mistake("convert", shard, tmp_path / "x")
