"""openmova assemble: a folder that answers, and every mistake as one line."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import yaml
from transformers import AutoModelForCausalLM, LlamaConfig

from checkpoints import public
from commands import mistake, output
from tiny import WORDS, pictures, tiny_question_tokenizer, tiny_tokenizer


@pytest.fixture
def recipe(tmp_path: Path) -> dict[str, Any]:
    sizes = {"hidden_size": 16, "intermediate_size": 24, "num_hidden_layers": 1}
    sizes |= {"num_attention_heads": 2, "max_position_embeddings": 256}
    config = LlamaConfig(vocab_size=len(WORDS), **sizes)
    AutoModelForCausalLM.from_config(config).save_pretrained(tmp_path / "language")
    tiny_tokenizer().save_pretrained(tmp_path / "language")
    public.clip_vision().save_pretrained(tmp_path / "clip")
    public.sam_file(tmp_path / "sam.pth")
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
    *_, line = output("assemble", written(recipe, tmp_path), target, "--json").splitlines()
    told = json.loads(line)
    assert (told["folder"], told["experts"]) == (str(target), ["sam"])
    assert told["tensors"] == len(json.loads((target / "conversion.json").read_text())["tensors"])
    pictures(1)[0].save(tmp_path / "picture.png")
    options = ("--model", target, "--experts", "sam", "--max-new-tokens", "2", "--device", "cpu")
    output("ask", tmp_path / "picture.png", "what is this ?", *options)


def test_what_is_said_without_json(recipe: dict[str, Any], tmp_path: Path) -> None:
    command = ("assemble", written(recipe, tmp_path), tmp_path / "mova")
    assert "the adapter has to be trained" in output(*command)
    assert "exists already" in mistake(*command)
    other = written(recipe | {"expert": []}, tmp_path)
    assert "did you mean experts?" in mistake("assemble", other, tmp_path / "other")
