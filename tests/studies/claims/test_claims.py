"""Verdicts on made-up outcomes whose truth is known."""

from __future__ import annotations

import random

import numpy as np
import pytest

from openmova.checkpoints.nano_spec import EXPERTS
from openmova.evaluate.intervals import Mean, Share
from studies.claims.claims import (
    AUGMENTED,
    FAILS,
    HOLDS,
    LANGUAGE_MODEL,
    MINILM,
    NOT_RUN,
    UNDECIDED,
    Results,
    claims,
    router_claims,
)
from studies.claims.questions import GROUPS

N = 60
GROUP_OF = [group for group in GROUPS for _ in range(N)]


def outcomes(shares: dict[str, float], seed: int) -> dict[int, list[bool]]:
    """Three seeds that answer a group with this share, "" the others."""
    rng = random.Random(seed)
    return {
        s: [rng.random() < shares.get(group, shares[""]) for group in GROUP_OF] for s in (1, 2, 3)
    }


def world(**changes: dict[str, float]) -> Results:
    """The paper's world: an encoder is good in its own domain, and MoVA everywhere."""
    shares = {
        "base": {"": 0.3, "object": 0.6},
        **{name: {"": 0.1, name: 0.9} for name in EXPERTS},
        "plain-fusion": {"": 0.6},
        "mova": {"": 0.99},
        "all-experts": {"": 0.7},
        "linear": {"": 0.6},
        "blocks-3": {"": 0.99},
        "blocks-4": {"": 0.7},
        "uniform": {"": 0.99, "text+chart": 0.4},
    } | changes
    sides = {
        (name, "dynamic"): outcomes(share, i) for i, (name, share) in enumerate(shares.items())
    }
    for i, choice in enumerate(("random", "best-1", "best-2", "best-3")):
        sides["mova", choice] = outcomes({"": 0.4}, 50 + i)
    return Results(sides, GROUP_OF)


def verdicts(results: Results) -> dict[str, str]:
    return {claim.text.partition(" (")[0]: claim.verdict for claim in claims(results)}


def test_in_the_papers_world_its_claims_hold() -> None:
    found = verdicts(world())
    assert found.pop("3 blocks are above 2 and 4") == UNDECIDED  # as good as 2
    assert set(found.values()) == {HOLDS}


def test_an_encoder_that_wins_everywhere_refutes_the_first_claim() -> None:
    found = verdicts(world(base={"": 0.99}))
    assert found["No single encoder wins everywhere"] in (FAILS, UNDECIDED)
    assert found["MoVA matches or beats the best single encoder in every domain"] != HOLDS


def test_mova_below_an_encoder_in_one_domain_refutes_the_claim() -> None:
    name = "MoVA matches or beats the best single encoder in every domain"
    assert verdicts(world(mova={"": 0.99, "chart": 0.5}))[name] == FAILS


def test_what_is_alike_is_undecided() -> None:
    found = verdicts(world(linear={"": 0.99}))
    assert found["The MoV-Adapter is above linear layers"] == UNDECIDED


def test_what_was_not_trained_was_not_run() -> None:
    sides = {("base", "dynamic"): outcomes({"": 0.5}, 0)}
    found = claims(Results(sides, GROUP_OF))
    assert {claim.verdict for claim in found} == {NOT_RUN}
    assert all(claim.reason for claim in found)


def test_routers_are_compared_question_by_question() -> None:
    right = np.ones((1, 100))
    half = np.tile([0.0, 1.0], 50)[None]
    verdict = {
        claim.text.partition(" the language")[0]: claim.verdict
        for claim in router_claims(
            {LANGUAGE_MODEL: right, MINILM: half},
            {LANGUAGE_MODEL: half, AUGMENTED: right, MINILM: right},
        )
    }
    assert verdict["Over its own pool"] == HOLDS
    assert verdict["Over experts never seen"] == FAILS


def test_the_interval_of_one_seed_is_that_of_its_questions() -> None:
    mean = Mean.of(np.array([[1.0] * 80 + [0.0] * 20]))
    wilson = Share.of([True] * 80 + [False] * 20)
    found = (mean.value, mean.low, mean.high)
    assert found == pytest.approx((0.8, wilson.low, wilson.high), abs=0.015)


def test_what_never_failed_is_not_taken_for_certain() -> None:
    mean, wilson = Mean.of(np.ones((3, 40))), Share.of([True] * 40)
    assert mean.value == mean.high == 1.0
    assert mean.low == pytest.approx(wilson.low, abs=0.035)
    alike = Mean.of_differences(np.zeros((3, 40)))
    assert -0.1 < alike.low < -0.05 < 0.05 < alike.high < 0.1


def test_seeds_that_differ_widen_the_interval() -> None:
    alike = Mean.of(np.tile([0.0, 1.0], (3, 200)))
    apart = Mean.of(np.array([[0.0] * 400, [1.0] * 400, [0.5] * 400]))
    assert apart.value == alike.value == 0.5
    assert apart.high - apart.low > 5 * (alike.high - alike.low)


def test_a_difference_is_taken_within_each_question() -> None:
    hard = [True, False] * 150
    sides = {("mova", "dynamic"): {1: hard, 2: hard}, ("base", "dynamic"): {1: hard, 2: hard}}
    gap = Results(sides, GROUP_OF).difference(("mova", "dynamic"), ("base", "dynamic"))
    assert (gap.value, gap.low, gap.high) == pytest.approx((0, 0, 0), abs=0.015)
