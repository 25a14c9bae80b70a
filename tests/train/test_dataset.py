"""Random subsets of the pool: their shares, and that nothing but seed and place decides them."""

from __future__ import annotations

from collections import Counter

import pytest

from openmova.data.bad_samples import BadSamples
from openmova.train.dataset import TrainDataset, random_subset
from openmova.train.preparation import prepare
from openmova.train.training_recipe import load_recipe
from train.runs import SMOKE

POOL = ("one", "two", "three")


def test_a_third_is_seen_by_none_a_third_by_all_and_a_third_by_a_coin_for_each() -> None:
    drawn = [random_subset(POOL, share=1.0, seed=0, place=i) for i in range(6000)]
    counts = Counter(drawn)
    assert counts[()] / 6000 == pytest.approx(1 / 3 + 1 / 24, abs=0.02)
    assert counts[POOL] / 6000 == pytest.approx(1 / 3 + 1 / 24, abs=0.02)
    others = [count for subset, count in counts.items() if subset not in ((), POOL)]
    assert len(others) == 6
    assert all(count / 6000 == pytest.approx(1 / 24, abs=0.01) for count in others)


def test_the_annotation_decides_for_all_but_the_share_by_seed_and_place() -> None:
    def drawn(seed: int) -> list[tuple[str, ...] | None]:
        return [random_subset(POOL, share=0.25, seed=seed, place=i) for i in range(4000)]

    assert drawn(0).count(None) / 4000 == pytest.approx(0.75, abs=0.02)
    assert drawn(0) == drawn(0) != drawn(1)
    assert random_subset(POOL, share=0.0, seed=0, place=1) is None


def test_a_place_shows_its_subset_whenever_it_is_asked() -> None:
    prepared = prepare(load_recipe(SMOKE, ["random_experts=0.5", "data.0.samples=12"]))

    def dataset(share: float) -> TrainDataset:
        return TrainDataset(prepared.mixture, prepared.collator, BadSamples(), random_experts=share)

    mixed, annotated = dataset(0.5), dataset(0.0)
    pool = prepared.collator.experts
    for place in (17, 3, 4, 5, 23, 0):
        subset = random_subset(pool, share=0.5, seed=0, place=place)
        own = annotated[place].routing
        wanted = own if subset is None else tuple(name in subset for name in pool)
        assert mixed[place].routing == wanted
    assert any(mixed[i].routing != annotated[i].routing for i in range(24))
    assert mixed[0].input_ids == annotated[0].input_ids
