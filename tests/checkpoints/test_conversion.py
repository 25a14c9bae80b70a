"""A checkpoint is written tensor by tensor, whole or not at all, and compared with its source."""

from __future__ import annotations

import hashlib
import json
import resource
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors import safe_open
from safetensors.torch import load_file, save_file
from torch import Tensor

from commands import fault
from openmova.checkpoints.alignment import ALIGNMENT, align_file
from openmova.checkpoints.conversion import Conversion
from openmova.checkpoints.plan import Drop, Part
from openmova.checkpoints.tensors import Tensors, open_tensors
from openmova.runtime.files import new_folder
from tiny import tiny_model

CONFIG = '{"model_type": "x"}'
KEY_MAP = {
    **{name: f"model.{name}" for name in ("one", "odd", "count", "two", "table")},
    "eye": "experts/sam/eye.weight",
    "old": Drop("not used"),
}


def state() -> dict[str, Tensor]:
    torch.manual_seed(0)
    return {
        "one": torch.randn(40, 5),
        "odd": torch.randn(7).bfloat16(),
        "count": torch.tensor([3, 4]),
        "two": torch.randn(64, 4),
        "table": torch.randn(1 + 3 * 3, 4),
        "eye": torch.randn(16, 16),
        "old": torch.randn(3),
    }


def conversion(folder: Path, dtype: str | None = None, **changes: Tensor) -> Conversion:
    """Of a folder with the state, which is made."""
    folder.mkdir(exist_ok=True)
    if not (folder / "pytorch_model.bin").is_file():
        torch.save(state() | changes, folder / "pytorch_model.bin")
    tensors = open_tensors(folder)
    expected = {place: tensors[key] for key, place in KEY_MAP.items() if isinstance(place, str)}
    expected["model.table"] = torch.empty(1 + 5 * 5, 4)
    part = Part(tensors=tensors, key_map=KEY_MAP, expected=expected, resizable=["model.table"])

    return Conversion(
        title="tiny",
        plan=part.plan(dtype, shard_bytes=1000),
        about={"source": "tiny"},
        write_small_files=lambda target: (target / "config.json").write_text(CONFIG),
    )


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_every_tensor_arrives_with_its_checksum(tmp_path: Path) -> None:
    target = tmp_path / "out" / "model"
    report = conversion(tmp_path / "src").write(target)
    assert sorted(content(target)) == [
        "config.json",
        "conversion.json",
        "experts/sam.safetensors",
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "model.safetensors.index.json",
    ]
    assert [folder.name for folder in target.parent.iterdir()] == ["model"]
    assert json.loads((target / "conversion.json").read_text()) == report
    assert report["source"] == "tiny" and report["dropped"] == {"old": "not used"}
    assert list(report["source_files"]) == ["pytorch_model.bin"]
    stored = open_tensors(target)
    stored["experts/sam/eye.weight"] = load_file(target / "experts/sam.safetensors")["eye.weight"]
    assert stored.keys() == report["tensors"].keys()
    for place, fields in report["tensors"].items():
        written = stored[place]
        if place != "model.table":
            assert torch.equal(written, state()[fields["source"]])
        raw = written.reshape(-1).view(torch.uint8).numpy().tobytes()
        assert hashlib.sha256(raw).hexdigest() == fields["sha256"]
        assert list(written.shape) == fields["shape"]
        assert str(written.dtype) == f"torch.{fields['dtype']}"
    assert report["tensors"]["model.table"]["make"] == "resize_positions"


def test_one_small_file_needs_no_index(tmp_path: Path) -> None:
    plan = Part.of(Tensors({"one": torch.ones(40, 5)})).plan()
    whole = Conversion(title="one", plan=plan, about={}, write_small_files=lambda folder: None)
    whole.write(tmp_path / "out")
    assert sorted(content(tmp_path / "out")) == ["conversion.json", "model.safetensors"]
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_a_given_type_is_for_floats(tmp_path: Path) -> None:
    """And what is compared afterwards is of the type that the report names."""
    conversion(tmp_path / "src", dtype="float16").write(tmp_path / "out")
    stored = open_tensors(tmp_path / "out")
    assert {tensor.dtype for tensor in stored.values()} == {torch.float16, torch.int64}
    assert torch.equal(stored["model.one"], state()["one"].half())
    assert conversion(tmp_path / "src").verify(tmp_path / "out") == 6


def test_a_type_that_safetensors_has_not_is_told(tmp_path: Path) -> None:
    whole = conversion(tmp_path / "src", count=torch.ones(2, dtype=torch.complex64))
    assert "count is of the type complex64" in fault(whole.write, tmp_path / "out")


def test_what_exists_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    whole = conversion(tmp_path / "src")
    whole.write(target)  # an empty folder will do
    before = content(target)
    (tmp_path / "file").write_text("x")
    for name in ("out", "file"):
        assert f"{name!r} exists already" in fault(whole.write, tmp_path / name)
    assert content(target) == before


# Whole or not at all


def test_a_full_disk_is_told_and_nothing_is_left(tmp_path: Path) -> None:
    whole = conversion(tmp_path / "src")
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        assert "is full: make room, or give a folder" in fault(whole.write, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert [folder.name for folder in tmp_path.iterdir()] == ["src"]


def test_two_conversions_do_not_write_the_same_folder(tmp_path: Path) -> None:
    whole = conversion(tmp_path / "src")
    with new_folder(tmp_path / "out"):
        assert "another run is writing into" in fault(whole.write, tmp_path / "out")


# Compared with the source


@pytest.mark.parametrize(
    ("change", "told"),
    [
        (lambda s: s.update({"eye.weight": s["eye.weight"] + 1}), "eye.weight differs from eye of"),
        (lambda s: s.update({"eye.weight": s["eye.weight"].half()}), "eye.weight is float16"),
        (lambda s: s.update({"eye.weight": s["eye.weight"][1:].clone()}), "is float32 [15, 16]"),
        (lambda s: s.pop("eye.weight"), "eye.weight is missing, the source has"),
        (lambda s: s.update(more=torch.ones(1)), "holds more, which the source has not"),
    ],
)
def test_what_differs_is_named(
    tmp_path: Path, change: Callable[[dict[str, Tensor]], object], told: str
) -> None:
    whole = conversion(tmp_path / "src")
    whole.write(tmp_path / "out")
    file = tmp_path / "out" / "experts" / "sam.safetensors"
    changed = load_file(file)
    change(changed)
    save_file(changed, file)
    message = fault(whole.verify, tmp_path / "out")
    assert "experts/sam.safetensors" in message and told in message


def test_a_lost_file_and_a_changed_report_are_named(tmp_path: Path) -> None:
    whole, folder = conversion(tmp_path / "src"), tmp_path / "out"
    report = whole.write(folder)
    own = report["tensors"].pop("experts/sam/eye.weight")
    for fields, told in (
        ({}, "conversion.json of all its tensors ('experts/sam/eye.weight')"),
        ({"experts/sam/eye.weight": own | {"sha256": "0"}}, "eye.weight has not the checksum"),
    ):
        report["tensors"] |= fields
        (folder / "conversion.json").write_text(json.dumps(report))
        assert told in fault(whole.verify, folder)
    (folder / own["file"]).unlink()
    assert "out lacks experts/sam.safetensors" in fault(whole.verify, folder)
    (folder / "conversion.json").unlink()
    assert "'out' has no conversion.json" in fault(whole.verify, folder)


# Round places


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
    conversion(tmp_path / "src").write(tmp_path / "out")
    for tensor in (*after.values(), *open_tensors(tmp_path / "out").values()):
        assert not tensor.numel() or tensor.data_ptr() % ALIGNMENT == 0 or tensor.nbytes % ALIGNMENT


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
