"""QLoRA: matrices learn beside a quantised language model, and join the weights as stored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file
from torch import Tensor

from openmova.checkpoints.tiny import tiny_mova
from openmova.errors import UserError
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.train import training as run_module
from openmova.train.preparation import RunSetup, prepare
from openmova.train.training import save_model, train
from openmova.train.training_recipe import load_recipe
from train.runs import FAST, SMOKE, assert_same, stopped_after, weights

pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")
CHANGES = [*FAST, "stage=lora", "learning_rates={}", "lora.rank=4", "lora.quantize=4bit"]
TARGETS = {"q_proj", "k_proj", "v_proj", "o_proj"}


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    save_model(*tiny_mova(), folder)
    return folder


def run(start: Path, output: Path, *changes: str, resume: bool = False) -> None:
    recipe = load_recipe(SMOKE, [*CHANGES, f"model={start}", *changes])
    train(recipe, output, resume=resume, tell=print)


def layers(found: dict[str, Tensor]) -> set[str]:
    return {name.split(".")[-2] for name in found if name.startswith("model.language_model")}


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_what_was_learned_joins_the_weights_as_they_are_stored(
    start: Path, tmp_path: Path, bits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    ended: list[RunSetup] = []
    original = run_module._final_model

    def trained(prepared: RunSetup) -> MovaForConditionalGeneration:
        ended.append(prepared)
        return original(prepared)

    monkeypatch.setattr(run_module, "_final_model", trained)
    run(start, tmp_path, f"lora.quantize={bits}")
    before, after = load_file(start / "model.safetensors"), weights(tmp_path)
    assert before.keys() == after.keys()
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    changed = {name: t for name, t in after.items() if not torch.equal(t, before[name])}
    assert layers(changed) == TARGETS
    assert not any(name.startswith(("model.base", "model.gate", "lm_head")) for name in changed)
    small = ended[0].model
    assert torch.equal(after["model.adapter.position"], small.model.adapter.position)
    # Beside the quantised weights the same was learned: the answers differ by their rounding only.
    final = MovaForConditionalGeneration.from_pretrained(tmp_path / "final")
    begin = MovaForConditionalGeneration.from_pretrained(start)
    ids = torch.arange(5, 45)[None]
    small.train()  # bitsandbytes' kernel for answers on a CPU has no layers as narrow as these
    expected, found, first = (m(input_ids=ids).logits for m in (small, final, begin))
    assert (found - expected).norm() < 0.5 * (first - expected).norm()


def test_a_stopped_run_ends_as_one_that_was_not(
    start: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    run(start, tmp_path / "whole")
    with stopped_after(5, monkeypatch):
        run(start, tmp_path / "stopped")
    run(start, tmp_path / "stopped", resume=True)
    assert_same(tmp_path / "whole", tmp_path / "stopped")


def test_tiny_has_nothing_stored() -> None:
    with pytest.raises(UserError, match="needs the folder of a checkpoint"):
        prepare(load_recipe(SMOKE, CHANGES))
