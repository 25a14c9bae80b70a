"""A checkpoint is written tensor by tensor, whole or not at all, and a stopped one goes on."""

from __future__ import annotations

import errno
import hashlib
import json
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from filelock import FileLock
from safetensors import safe_open
from safetensors.torch import load_file
from torch import Tensor

from openmova.checkpoints import writer
from openmova.checkpoints.plan import Drop, Plan, Take, plan_names
from openmova.checkpoints.tensors import Tensors, open_tensors
from openmova.checkpoints.writer import partial_folder, write_checkpoint
from openmova.errors import UserError

LAST = ("config.json", '{"model_type": "x"}')


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


def source(folder: Path) -> Tensors:
    folder.mkdir(exist_ok=True)
    if not (folder / "pytorch_model.bin").is_file():
        torch.save(state(), folder / "pytorch_model.bin")
    return open_tensors(folder)


def planned(tensors: Tensors, dtype: str | None = None) -> Plan:
    fates: dict[str, Take | Drop] = {
        name: Take(place=f"model.{name}") for name in ("one", "odd", "count", "two")
    }
    fates["table"] = Take(place="model.table", make="resize_positions")
    fates["eye"] = Take(place="experts/sam/eye.weight")
    fates["old"] = Drop(reason="not used")
    names = tensors.names()
    expected = {
        fate.place: names[key].shape for key, fate in fates.items() if isinstance(fate, Take)
    }
    expected["model.table"] = (1 + 5 * 5, 4)
    plan = plan_names(names, fates, expected, dtype=dtype, shard_bytes=1000)
    plan.check(tensors)
    return plan


def write(folder: Path, target: Path, dtype: str | None = None, **options: Any) -> dict[str, Any]:
    tensors = source(folder)
    plan = planned(tensors, dtype)
    return write_checkpoint(plan, tensors, target, last=LAST, about={"source": "tiny"}, **options)


def content(folder: Path) -> dict[str, bytes]:
    return {
        str(file.relative_to(folder)): file.read_bytes()
        for file in sorted(folder.rglob("*"))
        if file.is_file()
    }


def test_every_tensor_arrives_with_its_checksum(tmp_path: Path) -> None:
    target = tmp_path / "out" / "model"
    report = write(tmp_path / "src", target)
    assert sorted(content(target)) == [
        "config.json",
        "conversion.json",
        "experts/sam.safetensors",
        "model-00001-of-00003.safetensors",
        "model-00002-of-00003.safetensors",
        "model-00003-of-00003.safetensors",
        "model.safetensors.index.json",
    ]
    assert not partial_folder(target).exists()
    assert json.loads((target / "conversion.json").read_text()) == report
    assert report["source"] == "tiny" and report["dropped"] == {"old": "not used"}
    assert list(report["source_files"]) == ["pytorch_model.bin"]
    stored = open_tensors(target)
    for place, fields in report["tensors"].items():
        written = (
            load_file(target / fields["file"])["eye.weight"]
            if place.startswith("experts/")
            else stored.read(place)
        )
        if place != "model.table":
            assert torch.equal(written, state()[fields["source"]])
        raw = written.reshape(-1).view(torch.uint8).numpy().tobytes()
        assert hashlib.sha256(raw).hexdigest() == fields["sha256"]
        assert list(written.shape) == fields["shape"]
        assert str(written.dtype) == f"torch.{fields['dtype']}"
    assert report["tensors"]["model.table"]["make"] == "resize_positions"


def test_one_small_file_needs_no_index(tmp_path: Path) -> None:
    tensors = source(tmp_path / "src")
    plan = plan_names(tensors.names(), {"one": Take(place="one")}, {"one": (40, 5)})
    write_checkpoint(plan, tensors, tmp_path / "out", last=LAST, about={})
    assert sorted(content(tmp_path / "out")) == [
        "config.json",
        "conversion.json",
        "model.safetensors",
    ]
    with safe_open(tmp_path / "out" / "model.safetensors", "pt") as file:
        assert file.metadata() == {"format": "pt"}


def test_tensors_begin_where_torchs_own_do(tmp_path: Path) -> None:
    write(tmp_path / "src", tmp_path / "out")
    for file in (tmp_path / "out").glob("model-*.safetensors"):
        raw = file.read_bytes()
        length = int.from_bytes(raw[:8], "little")
        header = json.loads(raw[8 : 8 + length])
        header.pop("__metadata__")
        for fields in header.values():
            start, end = (8 + length + place for place in fields["data_offsets"])
            assert start % 64 == 0 or (end - start) % 64


def test_a_given_type_is_for_floats(tmp_path: Path) -> None:
    write(tmp_path / "src", tmp_path / "out", dtype="float16")
    stored = open_tensors(tmp_path / "out")
    assert {info.dtype for info in stored.names().values()} == {"float16", "int64"}
    assert torch.equal(stored.read("model.one"), state()["one"].half())


def test_the_file_that_makes_it_load_comes_last(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[list[str]] = []
    write_text = writer.write_text

    def watched(path: Path, text: str) -> None:
        seen.append(sorted(content(path.parent)))
        write_text(path, text)

    monkeypatch.setattr(writer, "write_text", watched)
    write(
        tmp_path / "src",
        tmp_path / "out",
        finish=lambda folder: (folder / "tokenizer.json").write_text("{}"),
    )
    assert (tmp_path / "out" / "tokenizer.json").is_file()
    assert {"conversion.json", "tokenizer.json", "experts/sam.safetensors"} <= set(seen[-1])
    assert not any("config.json" in names for names in seen)


def test_what_exists_is_left_alone(tmp_path: Path) -> None:
    target = tmp_path / "out"
    target.mkdir()
    write(tmp_path / "src", target)  # an empty folder will do
    before = content(target)
    with pytest.raises(UserError, match="'out' exists already"):
        write(tmp_path / "src", target)
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match="'file' exists already"):
        write(tmp_path / "src", tmp_path / "file")
    assert content(target) == before


def full(number: int) -> Callable[[Any, Any], None]:
    """A disk that is full after so many writes."""
    write_all, count = writer._write_all, iter(range(number))

    def write_some(file: Any, data: Any) -> None:
        if next(count, None) is None:
            file.write(memoryview(data)[:3])
            raise OSError(errno.ENOSPC, "No space left on device")
        write_all(file, data)

    return write_some


@pytest.mark.parametrize("number", [0, 1, 4, 6, 9])
def test_a_full_disk_is_told_and_the_next_run_goes_on(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    whole = tmp_path / "whole"
    write(tmp_path / "src", whole)
    target = tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(writer, "_write_all", full(number))
        with pytest.raises(UserError, match=r"the disk is full while writing out\.partial"):
            write(tmp_path / "src", target)
    assert not target.exists()
    partial = partial_folder(target)
    assert not (partial / "config.json").exists() and not list(partial.rglob("*.tmp"))
    kept = {file: (partial / file).stat().st_mtime_ns for file in content(partial)}
    write(tmp_path / "src", target)
    assert content(target) == content(whole)
    for file, moment in kept.items():
        if file.endswith(".safetensors"):
            assert (target / file).stat().st_mtime_ns == moment
    assert not partial.exists()


def test_the_systems_own_limit_is_told(tmp_path: Path) -> None:
    folder = tmp_path / "src"
    source(folder)
    before = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, before[1]))
    try:
        with pytest.raises(UserError, match=r"the disk is full while writing out\.partial"):
            write(folder, tmp_path / "out")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, before)
    assert not (tmp_path / "out").exists()


def test_a_full_disk_is_told_while_the_small_files_are_written(tmp_path: Path) -> None:
    def finish(folder: Path) -> None:
        raise RuntimeError("serde: No space left on device (os error 28)")

    with pytest.raises(UserError, match="the disk is full"):
        write(tmp_path / "src", tmp_path / "out", finish=finish)
    assert not (tmp_path / "out").exists()


def test_too_little_room_is_told_before(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    usage = shutil.disk_usage(tmp_path)._replace(free=100)
    monkeypatch.setattr(shutil, "disk_usage", lambda path: usage)
    with pytest.raises(UserError, match=r"out\.partial needs another 0 MB and its disk has 0 MB"):
        write(tmp_path / "src", tmp_path / "out")


def test_a_folder_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("x")
    with pytest.raises(UserError, match=r"can't write out\.partial \(Not a directory\)"):
        write(tmp_path / "src", tmp_path / "file" / "out")


KILLED = """
import os, signal, sys
from pathlib import Path
sys.path.insert(0, "tests/checkpoints")
from openmova.checkpoints import writer
import test_writer

count = int(sys.argv[3])
update = writer.tqdm.update
def update_or_die(bar, n=1):
    global count
    count -= 1
    if count < 0:
        os.kill(os.getpid(), signal.SIGKILL)
    return update(bar, n)
writer.tqdm.update = update_or_die
test_writer.write(Path(sys.argv[1]), Path(sys.argv[2]))
"""


@pytest.mark.parametrize("tensors", [1, 3, 5])
def test_a_killed_conversion_goes_on_and_gives_the_same(tmp_path: Path, tensors: int) -> None:
    whole, target = tmp_path / "whole", tmp_path / "out"
    write(tmp_path / "src", whole)
    killed = subprocess.run(
        [sys.executable, "-c", KILLED, str(tmp_path / "src"), str(target), str(tensors)],
        cwd=Path(__file__).parents[2],
        env={"PYTHONPATH": "src:tests"},
    )
    assert killed.returncode == -signal.SIGKILL
    assert not target.exists()
    partial = partial_folder(target)
    assert not (partial / "config.json").exists()
    finished = [file for file in content(partial) if file.endswith(".safetensors")]
    assert len(finished) == {1: 0, 3: 1, 5: 3}[tensors]
    moments = {file: (partial / file).stat().st_mtime_ns for file in finished}
    write(tmp_path / "src", target)
    assert content(target) == content(whole)
    assert {file: (target / file).stat().st_mtime_ns for file in finished} == moments


@pytest.mark.parametrize("change", ["dtype", "source", "damage", "journal"])
def test_another_conversion_takes_nothing_over(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, change: str
) -> None:
    folder, target = tmp_path / "src", tmp_path / "out"
    with monkeypatch.context() as patched:
        patched.setattr(writer, "_write_all", full(9))
        with pytest.raises(UserError, match="disk is full"):
            write(folder, target)
    partial = partial_folder(target)
    assert (partial / "model-00001-of-00003.safetensors").is_file()
    dtype = None
    if change == "dtype":
        dtype = "float16"
    elif change == "source":
        torch.save({k: t * 2 for k, t in state().items()}, folder / "pytorch_model.bin")
    elif change == "damage":
        with (partial / "model-00001-of-00003.safetensors").open("ab") as file:
            file.write(b"x")
    else:
        (partial / "conversion.partial.json").write_text("[")
    write(folder, target, dtype)
    write(folder, tmp_path / "fresh", dtype)
    assert content(target) == content(tmp_path / "fresh")


def test_two_conversions_do_not_write_the_same_folder(tmp_path: Path) -> None:
    partial = partial_folder(tmp_path / "out")
    partial.mkdir()
    with (
        FileLock(partial / writer.LOCK),
        pytest.raises(UserError, match=r"another conversion is writing out\.partial"),
    ):
        write(tmp_path / "src", tmp_path / "out")


def test_a_source_that_breaks_leaves_nothing_that_loads(tmp_path: Path) -> None:
    tensors = source(tmp_path / "src")
    plan = planned(tensors)
    file = tmp_path / "src" / "pytorch_model.bin"
    file.write_bytes(file.read_bytes()[:1200])
    with pytest.raises(UserError, match=r"pytorch_model\.bin is damaged, it is cut short"):
        write_checkpoint(plan, tensors, tmp_path / "out", last=LAST, about={})
    assert not (tmp_path / "out").exists()
    assert not (partial_folder(tmp_path / "out") / "config.json").exists()
