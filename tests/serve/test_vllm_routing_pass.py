"""How the router is asked in vLLM, and how its answer is read; all of it without vLLM."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from itertools import combinations
from typing import Any

import pytest
from torch import Tensor

from commands import fault
from inference.asking import tiny_mova
from openmova import Mova
from openmova.model import two_pass
from openmova.model.configuration_mova import MovaConfig
from openmova.routing import Routing, RoutingConfig, expert_letters, parse_routing
from openmova.routing.selection import ExpertSelection
from openmova.serve.vllm.routing_pass import MOST_TOKENS, RoutingPass
from tiny import pictures, spec, tiny_config, tiny_tokenizer


@dataclass
class LogProb:
    logprob: float


@dataclass
class Written:
    """As vLLM gives it."""

    text: str
    logprobs: list[Mapping[int, LogProb]]


def routing_pass(config: MovaConfig) -> RoutingPass:
    return RoutingPass(config, tiny_tokenizer())


def steps(asked: RoutingPass, logits: tuple[Tensor, ...], active: Tensor) -> list[Any]:
    """What vLLM tells of each step of a row: of the tokens that it was asked for."""
    tokens = asked.sampling()["logprob_token_ids"]
    rows = [one[0].float().log_softmax(dim=-1) for one in logits]
    return [
        {token: LogProb(float(row[token])) for token in tokens}
        for row, is_active in zip(rows, active[0], strict=False)
        if is_active
    ]


def test_an_expert_that_only_the_texts_could_choose_is_refused() -> None:
    routing = RoutingConfig(text_prior=20.0, unlearned=("three",))
    assert "train it" in fault(routing_pass, tiny_config(routing=routing))
    routing_pass(tiny_config(routing=RoutingConfig(text_prior=20.0)))


@pytest.mark.parametrize("most", [None, 1])
def test_what_vllm_wrote_is_read_as_the_model_reads_it(
    monkeypatch: pytest.MonkeyPatch, most: int | None
) -> None:
    seen: list[Any] = []

    def spy(logits: Any, tokenizer: Any, letters: Any, active: Any, run: Any) -> Tensor:
        seen.append((logits, active))
        scores: Tensor = run(logits, tokenizer, letters, active)
        return scores

    run = two_pass.letter_scores
    monkeypatch.setattr(two_pass, "letter_scores", lambda *given: spy(*given, run=run))
    found = set()
    for seed in range(6):
        mova: Mova = tiny_mova(seed=seed, routing={"grid": (1, 2), "constrained": True})
        answer = mova.ask(pictures(1)[0], "what ?", max_experts=most, max_new_tokens=1)
        asked = routing_pass(mova.model.config)
        said = Written(f" {answer.routing.raw} ", steps(asked, *seen.pop()))
        routing = asked.read(said, ExpertSelection(max_experts=most))
        assert routing.experts == answer.routing.experts
        assert (routing.raw, routing.left_out) == (answer.routing.raw, answer.routing.left_out)
        assert routing.scores == pytest.approx(answer.routing.scores, abs=1e-6)
        found.add(routing.experts)
    assert len(found) > 1


def test_the_router_may_write_anything_but_where_the_config_says_so() -> None:
    assert routing_pass(tiny_config()).answers() is None
    asked = routing_pass(tiny_config(routing=RoutingConfig(constrained=True)))
    answers = asked.answers() or []
    assert {"none", " none", "A", " C", "A, B, C"} <= set(answers) and "B, A" not in answers
    letters = expert_letters(3)
    some = [set(chosen) for count in range(4) for chosen in combinations(range(3), count)]
    read = [parse_routing(answer, letters) for answer in answers]
    assert all(read.count(chosen) == 2 for chosen in some) and len(read) == 2 * len(some)


def test_a_pool_of_any_size_is_asked_about_within_what_vllm_allows() -> None:
    names = [f"expert{number}" for number in range(40)]
    adapter = {**tiny_config().to_dict()["adapter"], "expert_channels": (6,) * len(names)}
    asked = routing_pass(tiny_config(experts=[spec(name) for name in names], adapter=adapter))
    assert 0 < len(asked.sampling()["logprob_token_ids"]) <= MOST_TOKENS
    silent = Written("none", [])
    assert set(asked.read(silent, ExpertSelection()).scores.values()) == {0.0}


def test_an_empty_pool_is_not_asked_about() -> None:
    adapter = {**tiny_config().to_dict()["adapter"], "expert_channels": ()}
    asked = routing_pass(tiny_config(experts=[], adapter=adapter))
    assert asked.without_asking(ExpertSelection()) == Routing.given((), ())
    assert routing_pass(tiny_config()).without_asking(ExpertSelection()) is None
