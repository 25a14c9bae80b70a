"""openmova convert: what is told, and every bad input as one line that names file and key."""

from __future__ import annotations

import json
import os
import resource
import shutil
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM
from typer.testing import CliRunner, Result

from checkpoints import tiny_release
from openmova import Mova
from openmova.cli import app

SHARD = "pytorch_model-00002-of-00002.bin"


def convert(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["convert", *map(str, arguments)])


def told(result: Result) -> str:
    """The one line of a mistake."""
    assert result.exit_code == 2, result.output
    assert result.stderr.startswith("openmova: ")
    assert len(result.stderr.splitlines()) == 1
    return result.stderr


@pytest.fixture(scope="module", autouse=True)
def tiny_sizes() -> Iterator[None]:
    with tiny_release.published():
        yield


@pytest.fixture(scope="module")
def source(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_release.write_release(tmp_path_factory.mktemp("release") / "llama3-mova-8b")


@pytest.fixture
def release(source: Path, tmp_path: Path) -> Path:
    """A copy that may be broken."""
    return Path(shutil.copytree(source, tmp_path / "release"))


def manifest(path: Path, **changes: Any) -> Path:
    """The tiny release's names and shapes; a change of None takes a key out."""
    shapes: dict[str, Any] = {name: list(shape) for name, shape in tiny_release.shapes().items()}
    shapes |= changes
    tensors = {
        name: {"shape": shape, "dtype_in_hub_checkpoint": "bfloat16"}
        for name, shape in shapes.items()
        if shape is not None
    }
    path.write_text(json.dumps({"tensors": tensors}))
    return path


def nothing_is_left(target: Path) -> bool:
    return not list(target.parent.glob(f"{target.name}*"))


def test_a_release_is_converted_verified_and_answers(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "mova"
    result = convert(source, target, "--verify")
    assert result.exit_code == 0, result.output
    count = len(json.loads((target / "conversion.json").read_text())["tensors"])
    assert f"{count} tensors of the released MoVA" in result.stdout
    assert f"{count} tensors equal those of {source}" in result.stdout
    assert Mova.from_pretrained(target).experts[0] == "dinov2"
    again = convert(source, target, "--verify")
    assert again.exit_code == 0 and "not needed" not in again.stdout


def test_json_ends_with_one_object(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "mova"
    result = convert(source, target, "--json", "--verify", "--dtype", "float32")
    fields = json.loads(result.stdout.splitlines()[-1])
    assert fields["folder"] == str(target)
    assert fields["tensors"] == fields["verified"] > 400
    assert all(reason for reason in fields["dropped"].values())


def test_a_dry_run_writes_nothing(source: Path, tmp_path: Path) -> None:
    result = convert(source, tmp_path / "out", "--dry-run", "--json")
    fields = json.loads(result.stdout.splitlines()[-1])
    assert result.exit_code == 0
    assert sorted([*fields["consumed"], *fields["dropped"]]) == sorted(tiny_release.shapes())
    assert fields["unfilled"] == fields["mismatched"] == fields["unknown"] == []
    assert "0 unfilled, 0 mismatched" in convert(source, "--dry-run").stdout
    assert not list(tmp_path.iterdir())


def test_a_manifest_stands_for_the_source(tmp_path: Path) -> None:
    result = convert("--dry-run", "--manifest", manifest(tmp_path / "m.json"), "--json")
    assert result.exit_code == 0, result.output
    fields = json.loads(result.stdout.splitlines()[-1])
    assert len(fields["consumed"]) + len(fields["dropped"]) == len(tiny_release.shapes())
    assert fields["unfilled"] == fields["mismatched"] == []


def test_a_manifest_that_does_not_fit_is_told_twice(tmp_path: Path) -> None:
    """As data on standard output, and as an error."""
    changed = manifest(
        tmp_path / "m.json",
        **{
            "model.norm.weight": None,
            "lm_head.weight": [tiny_release.VOCABULARY, 3],
            "model.extra": [1],
        },
    )
    result = convert("--dry-run", "--manifest", changed, "--json")
    fields = json.loads(result.stdout.splitlines()[-1])
    assert fields["unfilled"] == ["model.language_model.norm.weight"]
    assert [fault["key"] for fault in fields["mismatched"]] == ["lm_head.weight"]
    assert fields["unknown"] == ["model.extra"]
    line = told(result)
    for key in ("model.language_model.norm.weight", "lm_head.weight", "m.json: unknown key"):
        assert key in line


class Attack:
    """Runs a command when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self) -> Any:
        return os.system, (f"touch {self.mark}",)


def with_tensors(release: Path, change: Callable[[dict[str, Any]], object]) -> None:
    content = torch.load(release / SHARD)
    change(content)
    torch.save(content, release / SHARD)


def cut(release: Path) -> None:
    (release / SHARD).write_bytes((release / SHARD).read_bytes()[:-50])


def lose(release: Path) -> None:
    (release / SHARD).unlink()


def attack(release: Path) -> None:
    with_tensors(release, lambda content: content.update(more=Attack(release / "was_here")))


def add(release: Path) -> None:
    with_tensors(release, lambda content: content.update(more=torch.ones(1)))


def reshape(release: Path) -> None:
    key = "model.vision_tower.vision_tower_7.neck.3.bias"
    with_tensors(release, lambda content: content.update({key: torch.zeros(5)}))


def forget(release: Path) -> None:
    (release / "pytorch_model.bin.index.json").unlink()
    with_tensors(release, lambda content: content.pop("model.layers.0.self_attn.q_proj.weight"))


def other_model(release: Path) -> None:
    config = tiny_release.config() | {"mm_projector_type": "mlp2x_gelu"}
    (release / "config.json").write_text(json.dumps(config))


def other_sizes(release: Path) -> None:
    config = tiny_release.config() | {"num_key_value_heads": 2}
    (release / "config.json").write_text(json.dumps(config))


@pytest.mark.parametrize(
    ("spoil", "message"),
    [
        (cut, f"{SHARD} is damaged"),
        (lose, f"lacks {SHARD}, which pytorch_model.bin.index.json names"),
        (attack, f"{SHARD} was not loaded, because its pickle asks for posix.system"),
        (add, f"{SHARD}: unknown key more"),
        (reshape, "vision_tower_7.neck.3.bias has the shape [5] instead of [16]"),
        (forget, "fills model.language_model.layers.0.self_attn.q_proj.weight"),
        (other_model, "config.json is of another model"),
        (other_sizes, "model.layers.0.self_attn.k_proj.weight has the shape"),
    ],
)
def test_a_source_that_can_not_be_converted_is_one_line_and_leaves_nothing(
    release: Path, tmp_path: Path, spoil: Callable[[Path], None], message: str
) -> None:
    spoil(release)
    assert message in told(convert(release, tmp_path / "out"))
    assert nothing_is_left(tmp_path / "out") and not (release / "was_here").exists()


def test_a_target_that_exists(source: Path, tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    (target / "notes.txt").write_text("mine")
    assert "'out' exists already" in told(convert(source, target))
    assert [file.name for file in target.iterdir()] == ["notes.txt"]


def test_a_full_disk_halfway_and_a_second_run(source: Path, tmp_path: Path) -> None:
    target, whole = tmp_path / "out", tmp_path / "whole"
    assert convert(source, whole).exit_code == 0
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    limit = (whole / "model.safetensors").stat().st_size - 5
    resource.setrlimit(resource.RLIMIT_FSIZE, (limit, before[1]))
    try:
        assert "is full: make room" in told(convert(source, target))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert nothing_is_left(target)
    assert convert(source, target).exit_code == 0
    assert files(target) == files(whole)


def files(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


@pytest.fixture
def converted(source: Path, tmp_path: Path) -> Path:
    assert convert(source, tmp_path / "out").exit_code == 0
    return tmp_path / "out"


def test_a_changed_number_is_found(source: Path, converted: Path) -> None:
    file = converted / "experts" / "sam.safetensors"
    raw = bytearray(file.read_bytes())
    raw[-3] ^= 1
    file.write_bytes(raw)
    line = told(convert(source, converted, "--verify"))
    assert "experts/sam.safetensors: " in line and "differs from model.vision_tower" in line


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
    assert "was converted already" in told(convert(target, tmp_path / "again"))


def test_a_language_model_alone(tmp_path: Path) -> None:
    config = LlamaConfig(
        vocab_size=30,
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=2,
        num_attention_heads=2,
        tie_word_embeddings=True,
    )
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


def test_wrong_arguments(source: Path, converted: Path, tmp_path: Path) -> None:
    assert "SRC is missing" in told(convert())
    assert "DST is missing" in told(convert(source))
    assert "--dtype int8" in told(convert(source, tmp_path / "x", "--dtype", "int8"))
    listed = manifest(tmp_path / "m.json")
    assert "--manifest stands for SRC" in told(convert("--manifest", listed))
    assert "--manifest stands for SRC" in told(convert(source, "--dry-run", "--manifest", listed))
    assert "is no manifest" in told(convert("--dry-run", "--manifest", tmp_path / "none.json"))
    assert "there is no file or folder" in told(convert("nowhere", tmp_path / "x"))
    assert "needs no conversion" in told(convert(converted, tmp_path / "x"))
    shard = next(source.glob("*.bin"))
    assert "give its folder" in told(convert(shard, tmp_path / "x"))


def test_help_has_examples() -> None:
    result = convert("--help")
    assert result.exit_code == 0
    assert "openmova convert zongzhuofan/llama3-mova-8b mova-8b --yes" in result.stdout
