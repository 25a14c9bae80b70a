"""openmova assemble: a folder that answers, and every mistake as one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoModelForCausalLM, LlamaConfig
from typer.testing import CliRunner, Result

from checkpoints import public
from openmova.cli import app
from tiny import WORDS, pictures, tiny_question_tokenizer, tiny_tokenizer


def run(*arguments: object) -> Result:
    return CliRunner().invoke(app, [str(argument) for argument in arguments])


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    config = LlamaConfig(
        vocab_size=len(WORDS),
        hidden_size=16,
        intermediate_size=24,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=256,
    )
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "language")
    tiny_tokenizer().save_pretrained(tmp_path / "language")
    public.clip_vision().save_pretrained(tmp_path / "clip")
    public.sam_file(tmp_path / "sam.pth", public.sam())
    public.bert().save_pretrained(tmp_path / "bert")
    tiny_question_tokenizer().save_pretrained(tmp_path / "bert")
    return {
        "language_model": str(tmp_path / "language"),
        "base": {"source": str(tmp_path / "clip")},
        "experts": [{"name": "sam", "source": str(tmp_path / "sam.pth"), **public.SAM_SPEC}],
        "gate_text_encoder": str(tmp_path / "bert"),
        "adapter": {"head_dim": 8, "top_k": 1},
        "routing": {"grid": [1, 1]},
    }


def written(recipe: dict[str, Any], folder: Path) -> Path:
    path = folder / "recipe.yaml"
    path.write_text(yaml.safe_dump(recipe))
    return path


def test_a_folder_that_answers(recipe: dict[str, Any], tmp_path: Path) -> None:
    target = tmp_path / "mova"
    result = run("assemble", written(recipe, tmp_path), target, "--json")
    assert result.exit_code == 0, result.stderr
    told = json.loads(result.stdout.splitlines()[-1])
    assert told["folder"] == str(target)
    assert told["experts"] == ["sam"]
    assert told["tensors"] == len(json.loads((target / "conversion.json").read_text())["tensors"])
    pictures(1)[0].save(tmp_path / "picture.png")
    options = ("--model", target, "--experts", "sam", "--max-new-tokens", "2", "--device", "cpu")
    answer = run("ask", tmp_path / "picture.png", "what is this ?", *options)
    assert (answer.exit_code, answer.stderr) == (0, "")


def test_what_is_said_without_json(recipe: dict[str, Any], tmp_path: Path) -> None:
    result = run("assemble", written(recipe, tmp_path), tmp_path / "mova")
    assert "the adapter has to be trained" in result.stdout
    again = run("assemble", written(recipe, tmp_path), tmp_path / "mova")
    assert again.exit_code == 2
    assert "exists already" in again.stderr


def test_the_help_has_an_example() -> None:
    assert "openmova assemble recipes/mova-8b.yaml" in run("assemble", "--help").stdout


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"expert": []}, "unknown key, 'expert': did you mean experts?"),
        ({"language_model": "no/such/folder"}, "there is no file or folder"),
        ({"template": "mova_lama3"}, "did you mean mova_llama3?"),
    ],
)
def test_a_mistake_is_one_line(
    recipe: dict[str, Any], tmp_path: Path, change: dict[str, Any], told: str
) -> None:
    result = run("assemble", written(recipe | change, tmp_path), tmp_path / "mova")
    assert result.exit_code == 2
    assert result.stderr.startswith("openmova: ")
    assert result.stderr.count("\n") == 1
    assert told in result.stderr
    assert not (tmp_path / "mova").exists()
