"""The language model in fewer bits: what changes, what does not, and what is told beforehand."""

from __future__ import annotations

import importlib.util
import json
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

import pytest
import torch
from torch import nn
from transformers import BitsAndBytesConfig

from commands import fault
from openmova import Mova, MovaConfig, MovaForConditionalGeneration
from openmova.checkpoints.memory import measure
from openmova.errors import UserError
from openmova.model.processing_mova import MovaProcessor
from openmova.model.quantization import QUANTIZATIONS, find_quantization, quantized_weights
from tiny import image_inputs, pictures, tiny_model, tiny_question_tokenizer, tiny_tokenizer

WAYS = [
    pytest.param(
        name,
        marks=pytest.mark.skipif(
            importlib.util.find_spec(way.package) is None, reason=f"{way.package} is not installed"
        ),
    )
    for name, way in QUANTIZATIONS.items()
]
SIZES = {"hidden_size": 64, "intermediate_size": 128, "num_attention_heads": 4}
SIZES |= {"num_key_value_heads": 2, "head_dim": 16}
EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTIONS = json.loads((EXAMPLES / "questions.json").read_text())[::2]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A tiny model with layers that are wide enough for blocks of 64 weights."""
    folder = tmp_path_factory.mktemp("checkpoint")
    config = tiny_model().config
    text = {**config.text_config.to_dict(), **SIZES}
    adapter = {**config.to_dict()["adapter"], "output_width": 64}
    model = tiny_model(text_config=text, adapter=adapter)
    with torch.no_grad():
        for name, parameter in model.model.language_model.named_parameters():
            parameter.mul_(0.3 if name.startswith("layers") and parameter.ndim > 1 else 1)
    model.save_pretrained(folder)
    MovaProcessor.from_config(
        model.config, tiny_tokenizer(), tiny_question_tokenizer(), max_side=64
    ).save_pretrained(folder)
    return folder


@pytest.fixture
def inputs() -> dict[str, Any]:
    return {
        "input_ids": torch.tensor(
            [[2, 5, 4, 4, 4, 4, 12, 13, 14, 6], [2, 5, 4, 4, 4, 4, 20, 19, 8, 6]]
        ),
        "question_input_ids": torch.tensor([[2, 5, 6, 3], [2, 6, 7, 3]]),
        "routing": torch.tensor([[1, 0, 1], [0, 1, 0]]).bool(),
        **image_inputs(2),
    }


def loaded(folder: Path, **options: Any) -> MovaForConditionalGeneration:
    return Mova.from_pretrained(folder, device="cpu", **options).model


@pytest.mark.parametrize("name", WAYS)
@torch.no_grad()
def test_only_linear_layers_change_slightly(
    folder: Path, name: str, inputs: dict[str, Any]
) -> None:
    plain, small = loaded(folder, dtype="float32"), loaded(folder, quantization=name)
    expected, got = plain(**inputs).logits, small(**inputs).logits
    allowed = 0.2 if name == "4bit" else 0.03
    assert 0 < (got - expected).norm() / expected.norm() < allowed
    assert small.model.experts.built == ["one", "two", "three"]  # read on first use
    linear = quantized_weights(plain)
    assert len(linear) == 2 * 7
    before, after = dict(plain.named_parameters()), dict(small.named_parameters())
    assert before.keys() == after.keys()
    for key, parameter in before.items():
        if key in linear:
            assert after[key].dtype != parameter.dtype or type(after[key]) is not type(parameter)
        else:
            assert torch.equal(after[key], parameter), key


@pytest.mark.parametrize("name", WAYS)
@torch.no_grad()
def test_saved_and_loaded_it_says_the_same(
    folder: Path, name: str, inputs: dict[str, Any], tmp_path: Path
) -> None:
    mova = Mova.from_pretrained(folder, device="cpu", quantization=name)
    # Before it runs: bitsandbytes rounds the scales of 4 bits anew for some processors.
    mova.model.save_pretrained(tmp_path)
    mova.processor.save_pretrained(tmp_path)
    expected = mova.model(**inputs).logits
    assert (tmp_path / "experts" / "three.safetensors").is_file()
    again = Mova.from_pretrained(tmp_path, device="cpu")
    assert torch.equal(again.model(**inputs).logits, expected)
    with pytest.raises(UserError, match="is quantised already: leave out quantization"):
        Mova.from_pretrained(tmp_path, device="cpu", quantization=name)


@pytest.mark.parametrize("name", WAYS)
def test_it_is_as_small_as_was_told(folder: Path, name: str) -> None:
    small = loaded(folder, quantization=name, dtype="bfloat16")
    told = measure(MovaConfig.from_pretrained(folder)).parts[0].bytes
    real = sum(_bytes(module) for module in (small.model.language_model, small.lm_head))
    assert real == pytest.approx(told[f"{QUANTIZATIONS[name].bits}bit"], rel=0.02)


@pytest.mark.parametrize("name", WAYS)
def test_a_picture_is_asked_about(folder: Path, name: str) -> None:
    mova = Mova.from_pretrained(folder, device="cpu", quantization=name, offload=True)
    answer = mova.ask(pictures(1)[0], "what is this ?", experts="all", max_new_tokens=3)
    assert answer.routing.experts == ("one", "two", "three")


@pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
def test_a_config_of_transformers_leaves_the_same_parts_alone(folder: Path) -> None:
    plain = loaded(folder, dtype="float32")
    small = MovaForConditionalGeneration.from_pretrained(
        folder, quantization_config=BitsAndBytesConfig(load_in_8bit=True)
    )
    changed = {key for key, weight in small.named_parameters() if weight.dtype == torch.int8}
    assert changed == quantized_weights(plain)


def answers(mova: Mova, maps: dict[Any, Any]) -> list[str]:
    """Of nano to every other example. maps: what its encoders made, which stay as they are."""

    def known(encode: Callable[..., Any]) -> Callable[..., Any]:
        def encoded(*inputs: torch.Tensor) -> Any:
            key = encode.__name__, *(tensor.numpy().tobytes() for tensor in inputs)
            if key not in maps:
                maps[key] = encode(*inputs)
            return maps[key]

        return encoded

    core = mova.model.model
    with pytest.MonkeyPatch.context() as patch:
        for name in ("encode_base", "encode_experts"):
            patch.setattr(core, name, known(getattr(core, name)))
        return [
            mova.ask(EXAMPLES / q["image"], q["question"], max_new_tokens=8).text for q in QUESTIONS
        ]


@pytest.fixture(scope="module")
def maps() -> dict[Any, Any]:
    return {}


@pytest.fixture(scope="module")
def full_answers(nano: Mova, maps: dict[Any, Any]) -> list[str]:
    return answers(nano, maps)


@pytest.mark.slow
@pytest.mark.parametrize("name", WAYS)
def test_nano_answers_nearly_as_in_full_precision(
    name: str, full_answers: list[str], maps: dict[Any, Any]
) -> None:
    """Eight bits cost so small a language model a quarter, four bits on some processors a third."""
    least = {"4bit": 0.5}.get(name, 0.65) * len(QUESTIONS)
    small = answers(Mova.from_pretrained("nano", device="cpu", quantization=name), maps)
    same = sum(a == b for a, b in zip(small, full_answers, strict=True))
    assert same >= least, (small, full_answers)


def test_mistakes_are_told_before_anything_is_read(monkeypatch: pytest.MonkeyPatch) -> None:
    ask = partial(fault, Mova.from_pretrained, "/no/such/folder")
    assert "did you mean 4bit" in ask(quantization="4bits")
    assert "give only one" in ask(device="cpu", device_map="auto")
    assert "give 'auto'" in ask(device_map="all")
    assert "the device 'cuda:99' cannot be used" in ask(device="cuda:99")
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    for name, way in QUANTIZATIONS.items():
        assert f'pip install "openmova[{way.package}]"' in ask(quantization=name)
        with pytest.raises(UserError):
            find_quantization(name)


def _inner(tensor: torch.Tensor) -> list[torch.Tensor]:
    """The plain tensors inside a tensor of torchao."""
    if type(tensor) in (torch.Tensor, nn.Parameter) or not hasattr(tensor, "__tensor_flatten__"):
        return []
    names, _ = tensor.__tensor_flatten__()
    return [getattr(tensor, name) for name in names]


def _bytes(module: nn.Module) -> int:
    """All that a module keeps in memory, with the scales of its quantised weights."""
    return sum(
        sum(part.nbytes for part in _inner(tensor)) or tensor.nbytes
        for name, tensor in module.state_dict().items()
        if not name.endswith(("weight_format", "quant_state.bitsandbytes__nf4"))  # of files only
    )
