"""QLoRA: matrices learn beside a quantised language model, and join the weights as stored."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from openmova.checkpoints.tiny import tiny_mova
from openmova.errors import UserError
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.train import training as run_module
from openmova.train.preparation import RunSetup, prepare
from openmova.train.training import save_model
from openmova.train.training_recipe import load_recipe
from train.runs import SMOKE, assert_same, run, stopped_after, weights

pytest.importorskip("peft")
pytest.importorskip("bitsandbytes")
CHANGES = ["stage=lora", "learning_rates={}", "lora.rank=4", "lora.quantize=4bit", "steps=6"]


@pytest.fixture(scope="module")
def start(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("start")
    save_model(*tiny_mova(), folder)
    return folder


@pytest.mark.parametrize("bits", ["4bit", "8bit"])
def test_what_was_learned_joins_the_weights_as_they_are_stored_also_of_a_stopped_run(
    start: Path, tmp_path: Path, bits: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    changes = [*CHANGES, f"model={start}", f"lora.quantize={bits}"]
    ended: list[RunSetup] = []
    original = run_module._final_model

    def trained(prepared: RunSetup) -> MovaForConditionalGeneration:
        ended.append(prepared)
        return original(prepared)

    monkeypatch.setattr(run_module, "_final_model", trained)
    run(tmp_path / "whole", *changes)
    before, after = load_file(start / "model.safetensors"), weights(tmp_path / "whole")
    assert before.keys() == after.keys()
    assert {tensor.dtype for tensor in after.values()} == {torch.float32}
    changed = [name for name, t in after.items() if not torch.equal(t, before[name])]
    language = [name for name in changed if name.startswith("model.language_model")]
    assert {name.split(".")[-2] for name in language} == {"q_proj", "k_proj", "v_proj", "o_proj"}
    assert not any(name.startswith(("model.base", "model.gate", "lm_head")) for name in changed)
    small = ended[0].model
    assert torch.equal(after["model.adapter.position"], small.model.adapter.position)
    # Beside the quantised weights the same was learned: the answers differ by their rounding only.
    final = MovaForConditionalGeneration.from_pretrained(tmp_path / "whole" / "final")
    begin = MovaForConditionalGeneration.from_pretrained(start)
    ids = torch.arange(5, 45)[None]
    small.train()  # bitsandbytes' kernel for answers on a CPU has no layers as narrow as these
    expected, found, first = (m(input_ids=ids).logits for m in (small, final, begin))
    assert (found - expected).norm() < 0.6 * (first - expected).norm()

    with stopped_after(5, monkeypatch):
        run(tmp_path / "stopped", *changes)
    run(tmp_path / "stopped", *changes)
    assert_same(tmp_path / "whole", tmp_path / "stopped")


def test_tiny_has_nothing_stored() -> None:
    with pytest.raises(UserError, match="needs the folder of a checkpoint"):
        prepare(load_recipe(SMOKE, CHANGES))
