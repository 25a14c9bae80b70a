"""Tar shards: found once, read in any order; a cut costs only what lies behind it."""

from __future__ import annotations

import json
import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.files import llava, picture, shard_members, sort_out, write_tar
from openmova.data.formats import read_samples
from openmova.errors import UserError


def test_a_shard_holds_the_samples_of_its_keys(tmp_path: Path) -> None:
    members = {
        **shard_members(1),
        "0002.png": picture(),
        "0003.json": b"{",
        "folder/0004.json": json.dumps(llava(id="s4")).encode(),
        "folder/0004.seg.PNG": b"another member",
        "folder/0004.JPG": picture(),
        "0005.json": json.dumps(llava(id="s5")).encode(),
        "0006.json": json.dumps(llava(id="s6")).encode(),
        "0006.png": picture(),
        "0006.jpg": picture(),
        "README": b"not a sample",
    }
    good, bad = sort_out(read_samples(write_tar(tmp_path / "a.tar", members)))
    assert [sample.id for sample in good] == ["s0", "s4"]
    for reason, part in zip(bad, ("no .json", "no JSON", "no member", "several"), strict=True):
        assert part in reason


def test_several_shards_are_one_source_in_the_order_of_their_names(tmp_path: Path) -> None:
    for number, start in ((1, 3), (0, 0)):
        write_tar(tmp_path / f"shard-{number}.tar", shard_members(3, start))
    by_pattern, folder = read_samples(tmp_path / "shard-*.tar"), read_samples(tmp_path)
    assert [by_pattern[i].id for i in range(6)] == [f"s{i}" for i in range(6)]
    assert [folder[i].id for i in range(6)] == [f"s{i}" for i in range(6)]


@pytest.mark.parametrize("cut", range(600, 7168, 331))
def test_a_shard_that_is_cut_short_keeps_its_whole_samples(tmp_path: Path, cut: int) -> None:
    path = write_tar(tmp_path / "a.tar", shard_members(3))
    path.write_bytes(path.read_bytes()[:cut])
    good, bad = sort_out(read_samples(path))
    assert [sample.id for sample in good] == [f"s{i}" for i in range(len(good))]
    assert any("cut short" in reason for reason in bad) == (cut < 6144 + 512)


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_shards_give_samples_bad_samples_or_one_error(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = write_tar(tmp_path / f"{seed}.tar", shard_members(3))
    data = bytearray(path.read_bytes()[:7168])
    for _ in range(rng.randint(1, 30)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.randint(1, len(data))])
    try:
        sort_out(read_samples(path))
    except UserError as error:
        assert "no plain tar" in str(error)


def test_a_shard_is_indexed_once_a_change(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from openmova.data import tars

    scans: list[Path] = []
    scan = tars._scan
    monkeypatch.setattr(tars, "_scan", lambda p, size: scans.append(p) or scan(p, size))
    path = write_tar(tmp_path / "a.tar", shard_members(2))
    assert len(read_samples(path)) == len(read_samples(path)) == 2
    assert len(scans) == 1
    write_tar(path, shard_members(9))
    assert len(read_samples(path)) == 9
