"""The mixture: an order that is a function of seed, epoch and index, and weights that are kept."""

from __future__ import annotations

from collections import Counter
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.mixture import Mixture, WeightedSource
from openmova.data.sample import Sample
from openmova.data.sources import RecordList
from openmova.errors import UserError


def records(count: int, name: str = "a") -> RecordList:
    turns = [{"from": "human", "value": "q"}, {"from": "gpt", "value": "a"}]
    rows = [{"id": f"{name}{i}", "conversations": turns} for i in range(count)]
    return RecordList(name, rows, Path())


def mixture(*parts: tuple[int, float], seed: int = 0) -> Mixture:
    sources = [
        WeightedSource(samples=records(count, name), weight=weight)
        for name, (count, weight) in zip("abcdef", parts, strict=False)
    ]
    return Mixture(sources, seed=seed)


def epoch_of(mixed: Mixture, epoch: int) -> list[tuple[int, int]]:
    return [mixed.place(epoch, i) for i in range(len(mixed))]


PARTS = st.lists(st.tuples(st.integers(1, 60), st.floats(0.05, 3.0)), min_size=1, max_size=4)


@settings(max_examples=60, deadline=None)
@given(parts=PARTS, seed=st.integers(0, 2**31), epoch=st.integers(0, 50), data=st.data())
def test_an_item_is_a_function_of_seed_epoch_and_index(
    parts: list[tuple[int, float]], seed: int, epoch: int, data: st.DataObject
) -> None:
    uninterrupted = mixture(*parts, seed=seed)
    whole = epoch_of(uninterrupted, epoch)
    index = data.draw(st.integers(0, len(uninterrupted) - 1))
    assert mixture(*parts, seed=seed).place(epoch, index) == whole[index]


@settings(max_examples=60, deadline=None)
@given(parts=PARTS, seed=st.integers(0, 2**31), epoch=st.integers(0, 9))
def test_an_epoch_counts_by_weight(parts: list[tuple[int, float]], seed: int, epoch: int) -> None:
    drawn = Counter(number for number, _ in epoch_of(mixture(*parts, seed=seed), epoch))
    for number, (count, weight) in enumerate(parts):
        assert drawn[number] == max(1, round(count * weight))


@settings(max_examples=60, deadline=None)
@given(parts=PARTS, seed=st.integers(0, 2**31), data=st.data())
def test_every_stretch_of_an_epoch_has_each_source_by_its_weight(
    parts: list[tuple[int, float]], seed: int, data: st.DataObject
) -> None:
    mixed = mixture(*parts, seed=seed)
    places = epoch_of(mixed, 0)
    start = data.draw(st.integers(0, len(places)))
    stretch = places[start : data.draw(st.integers(start, len(places)))]
    drawn = Counter(number for number, _ in stretch)
    for number, count in enumerate(mixed.counts):
        assert abs(drawn[number] - len(stretch) * count / len(mixed)) <= 2 + 2 * len(parts)


@settings(max_examples=40, deadline=None)
@given(count=st.integers(1, 50), seed=st.integers(0, 2**31))
def test_half_a_weight_sees_every_sample_once_in_two_epochs(count: int, seed: int) -> None:
    mixed = mixture((2 * count, 0.5), seed=seed)
    seen = [index for epoch in (0, 1) for _, index in epoch_of(mixed, epoch)]
    assert sorted(seen) == list(range(2 * count))


def test_weight_two_sees_every_sample_twice_in_an_order_of_the_epoch_and_the_seed() -> None:
    mixed = mixture((30, 2.0), (20, 1.0))
    seen = Counter(index for number, index in epoch_of(mixed, 0) if number == 0)
    assert seen == dict.fromkeys(range(30), 2)
    others = (epoch_of(mixed, 1), epoch_of(mixture((30, 2.0), (20, 1.0), seed=1), 0))
    assert epoch_of(mixed, 0) not in others


def test_a_source_without_random_access_is_read_in_its_own_order() -> None:
    mixed = mixture((20, 1.0), (10, 1.5))
    mixed.sources[1].samples.random_access = False
    drawn = [index for e in (0, 1) for number, index in epoch_of(mixed, e) if number == 1]
    assert drawn == [i % 10 for i in range(30)]


def test_a_bad_sample_gives_its_place_to_the_next_of_its_source() -> None:
    mixed = mixture((40, 1.0), (40, 1.0))
    broken = mixed.place(0, 7)
    mixed.sources[broken[0]].samples.records[broken[1]] = "not an object"  # type: ignore[attr-defined]
    bad = BadSamples(share=0.5)
    replaced = mixed.sample(0, 7, bad)
    number, index = mixed.place(0, 7, later=1)
    assert replaced == mixed.sources[number].samples[index]
    assert (number, bad.bad, bad.good) == (broken[0], 1, 1)
    assert replaced == mixed.sample(0, 7, BadSamples())


def test_a_check_of_the_caller_rejects_samples_too() -> None:
    def id_of_even(sample: Sample) -> str:
        if int(sample.id[1:]) % 2:
            raise BadSample("odd", id=sample.id, source=sample.source)
        return sample.id

    mixed, bad = mixture((40, 1.0)), BadSamples(share=0.9)
    ids = [mixed.sample(0, i, bad, id_of_even) for i in range(40)]
    assert all(int(name[1:]) % 2 == 0 for name in ids)
    assert bad.by_source["a"] == bad.bad > 0


def test_sources_that_give_nothing_stop_the_run() -> None:
    mixed = Mixture([WeightedSource(samples=RecordList("x", [1, 2, 3], Path()))], seed=0)
    with pytest.raises(UserError, match="x has no sample that can be used"):
        mixed.sample(0, 0, BadSamples())
    with pytest.raises(UserError, match="no data"):
        Mixture([], seed=0)
    with pytest.raises(UserError, match="a has no samples"):
        mixture((0, 1.0))
    for weight in (0.0, -1.0, float("nan"), float("inf")):
        with pytest.raises(UserError, match="weight of a"):
            mixture((3, weight))
