"""What nano's finetuning added to the language model fits into the small file that is carried."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from openmova.checkpoints.nano_spec import LORA_RANK, LORA_SCALE
from openmova.errors import UserError
from studies.toy.export import export_lora

QUERY = "model.language_model.layers.0.self_attn.q_proj.weight"
NORM = "model.language_model.norm.weight"


def _folders(tmp_path: Path, added: dict[str, Tensor]) -> tuple[Path, Path, dict[str, Tensor]]:
    before = {QUERY: torch.randn(48, 40), NORM: torch.randn(40), "lm_head.weight": torch.ones(2, 2)}
    after = {name: tensor + added.get(name, 0) for name, tensor in before.items()}
    for folder, tensors in (("start", before), ("final", after)):
        (tmp_path / folder).mkdir()
        save_file(tensors, tmp_path / folder / "model.safetensors")
    return tmp_path / "start", tmp_path / "final", after


def test_the_carried_product_gives_the_trained_matrix_back(tmp_path: Path) -> None:
    torch.manual_seed(0)
    added = torch.randn(48, LORA_RANK) @ torch.randn(LORA_RANK, 40) * 0.05
    start, final, after = _folders(tmp_path, {QUERY: added})
    export_lora(start, final, tmp_path / "carried")
    lora = {k: v.float() for k, v in load_file(tmp_path / "carried/lora.safetensors").items()}
    stem = "model.layers.0.self_attn.q_proj"
    assert lora.keys() == {f"{stem}.lora_A.weight", f"{stem}.lora_B.weight"}
    product = lora[f"{stem}.lora_B.weight"] @ lora[f"{stem}.lora_A.weight"]
    before = load_file(start / "model.safetensors")[QUERY]
    torch.testing.assert_close(before + LORA_SCALE * product, after[QUERY], atol=5e-3, rtol=0)


@pytest.mark.parametrize(
    ("added", "message"),
    [
        ({QUERY: torch.eye(48, 40)}, "more than rank"),
        ({NORM: torch.ones(40)}, "was trained too"),
        ({"lm_head.weight": torch.ones(2, 2)}, "was trained too"),
    ],
)
def test_other_training_is_refused(tmp_path: Path, added: dict[str, Tensor], message: str) -> None:
    start, final, _ = _folders(tmp_path, added)
    with pytest.raises(UserError, match=message):
        export_lora(start, final, tmp_path / "carried")
