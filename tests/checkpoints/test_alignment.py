"""A file with its tensors at round places holds what it held, and is not copied when loaded."""

from __future__ import annotations

from pathlib import Path

import torch
from safetensors.torch import load_file, save_file

from openmova.checkpoints.alignment import ALIGNMENT, align_file
from tiny import tiny_model


def test_the_same_tensors_at_round_places(tmp_path: Path) -> None:
    file = tmp_path / "model.safetensors"
    before = {
        "count": torch.tensor(7),
        "empty": torch.zeros(0, 3),
        "half": torch.randn(5).bfloat16(),
        "matrix": torch.randn(16, 4),
        "vector": torch.randn(32),
    }
    save_file(before, file, metadata={"format": "pt"})
    align_file(file)
    after = load_file(file)
    assert after.keys() == before.keys() and [f.name for f in tmp_path.iterdir()] == [file.name]
    for name, tensor in before.items():
        assert torch.equal(after[name], tensor) and after[name].dtype == tensor.dtype
    for name in ("matrix", "vector"):
        assert after[name].data_ptr() % ALIGNMENT == 0


def test_an_aligned_checkpoint_stays_in_its_file_and_answers_alike(tmp_path: Path) -> None:
    """What is loaded lies one behind the other, as in the file, in place of copies."""
    tiny_model().save_pretrained(tmp_path)
    model_of = type(tiny_model()).from_pretrained
    ids = torch.arange(5)[None]
    copied = model_of(tmp_path)
    align_file(tmp_path / "model.safetensors")
    mapped = model_of(tmp_path)
    with torch.no_grad():
        assert torch.equal(copied(input_ids=ids).logits, mapped(input_ids=ids).logits)
    size = (tmp_path / "model.safetensors").stat().st_size
    places = [p.data_ptr() for p in mapped.parameters() if p.nbytes % ALIGNMENT == 0]
    assert max(places) - min(places) < size
