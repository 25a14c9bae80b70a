"""JSONL: a broken line is the only one lost."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from data.files import llava, sort_out, write_lines
from openmova.data.bad_samples import BadSample
from openmova.data.formats import read_samples


def test_a_broken_line_is_the_only_one_lost(tmp_path: Path) -> None:
    nested = "[" * 200_000
    lines = [llava(id="a"), '{"id": "b", "conversa', "", "[1]", "\x00", nested, llava(id="c")]
    samples = read_samples(write_lines(tmp_path / "a.jsonl", lines))
    good, bad = sort_out(samples)
    assert [sample.id for sample in good] == ["a", "c"]
    assert len(bad) == 4
    assert bad[0].startswith("its record is no JSON")
    with pytest.raises(BadSample) as caught:
        samples[1]
    assert caught.value.id == "line 2"


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(seed=st.integers(0, 2**32 - 1))
def test_damaged_lines_never_raise_anything_else(seed: int, tmp_path: Path) -> None:
    rng = random.Random(seed)
    path = write_lines(tmp_path / "a.jsonl", [llava(id=str(i)) for i in range(4)])
    data = bytearray(path.read_bytes())
    for _ in range(rng.randint(1, 20)):
        data[rng.randrange(len(data))] = rng.randrange(256)
    path.write_bytes(data[: rng.randint(1, len(data))])
    sort_out(read_samples(path))
