"""Generated training samples: each from its number, of all kinds, annotated."""

from __future__ import annotations

import pytest

from openmova.data.synthetic import SyntheticSamples


def test_a_sample_is_a_function_of_seed_and_number() -> None:
    one, same, other = SyntheticSamples(9), SyntheticSamples(4), SyntheticSamples(9, seed=1)
    assert one[3] == same[3]
    assert one[3] != other[3]
    assert len(one) == 9
    with pytest.raises(IndexError):
        one[9]


def test_all_kinds_are_there_with_the_experts_that_they_need() -> None:
    samples = [SyntheticSamples(30)[i] for i in range(30)]
    assert {s.domain for s in samples} == {"text", "chart", "location"}
    named = {name for s in samples for name in s.experts or ()}
    assert named == {"text", "chart", "location"}
    assert any(s.experts == () for s in samples)
