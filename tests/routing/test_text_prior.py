"""The prior of the texts: a description near the question names an expert never learned."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from unittest.mock import patch

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F
from transformers import PreTrainedTokenizerFast as Tokenizer

from openmova.checkpoints.tiny import tiny_mova
from openmova.inference.mova import Mova
from openmova.routing import RoutingConfig, RoutingResult, expert_letters
from openmova.routing.decoding import LetterPrior, letter_tokens
from tiny import pictures

from .tokenizers_zoo import ZOO

POOL = ["It reads sheet music.", "It knows flags.", "It sees roofs."]
QUESTIONS = ["Is this a flag?", "Which music is it?", "How many roofs?"]
RIGHT = [1, 0, 2]


def mova(**routing: Any) -> Mova:
    model, processor = tiny_mova()
    model.config.routing = replace(model.config.routing, **routing)
    return Mova(model, processor)


def words(input_ids: Tensor, attention_mask: Tensor) -> Tensor:
    """Sentences [B, t] by how often each letter occurs in them, in place of a trained encoder."""
    counts = F.one_hot(input_ids, 200).mul(attention_mask[..., None]).sum(dim=1)
    return F.normalize(counts.float(), dim=-1)


def route(
    mova: Mova, questions: list[str], pool: list[str], size: int = 0, **options: Any
) -> RoutingResult:
    inputs = mova.processor(
        images=pictures(len(questions)), questions=questions, pool=pool, return_tensors="pt"
    )
    with patch.object(mova.model.model, "encode_sentences", words):
        return mova.model.route(
            inputs["routing_input_ids"],
            inputs["routing_attention_mask"],
            mova.model.model.encode_base(inputs["pixel_values"], inputs["image_sizes"]),
            pool_size=size or len(pool),
            **options,
        )


def test_a_pool_that_was_learned_is_routed_as_without_it() -> None:
    plain, weighted = mova(), mova(text_prior=30.0)
    own = plain.model.config.descriptions
    with patch.object(weighted.model.model, "encode_sentences", side_effect=AssertionError):
        one, other = (route(m, QUESTIONS, own) for m in (plain, weighted))
    assert one.texts == other.texts
    assert torch.equal(one.scores, other.scores)
    other = route(mova(text_prior=30.0, unlearned=("chart",)), QUESTIONS, own)
    assert not torch.equal(one.scores, other.scores)


@pytest.mark.parametrize("order", [[0, 1, 2], [2, 0, 1], [1, 2, 0]])
@pytest.mark.parametrize("constrained", [False, True])
def test_of_a_pool_never_seen_the_nearest_is_named(order: list[int], constrained: bool) -> None:
    asked = mova(text_prior=1000.0)
    found = route(asked, QUESTIONS, [POOL[j] for j in order], constrained=constrained)
    assert found.texts == ["ABC"[order.index(j)] for j in RIGHT]
    assert found.scores.argmax(dim=1).tolist() == [order.index(j) for j in RIGHT]


def test_one_never_learned_has_to_be_nearer_than_those_that_were() -> None:
    asked = mova(text_prior=1000.0)
    own = asked.model.config.descriptions
    flags = route(asked, [own[0], POOL[1]], [*own, POOL[1]])
    assert flags.texts[1].startswith("D")
    assert flags.scores[1, 3] == pytest.approx(1.0)
    assert not flags.texts[0].startswith("D")


def test_one_of_the_own_pool_is_named_without_a_line_and_changes_no_other_prompt() -> None:
    plain, grown = mova(), mova(text_prior=1000.0, unlearned=("flags",))
    learned = plain.model.config.descriptions
    grown.model.config.experts.append({"name": "flags", "descriptions": [POOL[1]]})
    shown = grown.model.config.routing_pool
    assert shown == learned
    questions = [POOL[1], learned[0]]
    found, before = route(grown, questions, shown, size=4), route(plain, questions, learned)
    assert found.texts[0] == "D" and found.scores[0, 3] == pytest.approx(1.0)
    assert found.texts[1] == before.texts[1]


def test_a_row_of_a_batch_is_routed_as_alone() -> None:
    asked = mova(text_prior=5.0)
    together = route(asked, QUESTIONS, POOL)
    for row, question in enumerate(QUESTIONS):
        alone = route(asked, [question], POOL)
        torch.testing.assert_close(alone.scores[0], together.scores[row])


@pytest.mark.parametrize("tokenizer", ZOO.values(), ids=ZOO.keys())
def test_the_letters_of_numbers_have_them_and_the_others_are_the_model_s(tokenizer: Any) -> None:
    made: Tokenizer = tokenizer()
    letters = expert_letters(3)
    prior = torch.tensor([[torch.nan, 3.0, torch.nan], [torch.nan] * 3])
    scores = torch.randn(2, len(made))
    end = made.eos_token_id
    rule = LetterPrior(prior, tokenizer=made, letters=letters, eos_token_ids=end, prompt_length=4)
    found = rule(torch.zeros(2, 4), scores)
    logs = scores.log_softmax(dim=-1)
    b = list(letter_tokens(made, len(made), letters)[1])
    others = [token for token in range(len(made)) if token not in b]
    assert found[0, b].logsumexp(dim=0).item() == pytest.approx(3.0, abs=1e-5)
    torch.testing.assert_close(found[0, others], logs[0, others])
    assert torch.equal(found[1], scores[1])
    after = rule(torch.full((2, 5), b[0]), scores)  # the answer ends with the letter
    assert after[0].isfinite().nonzero()[:, 0].tolist() == [end]
    assert torch.equal(after[1], scores[1])
    assert torch.equal(rule(torch.full((2, 5), end), scores), scores)


def test_a_config_says_only_what_is_set() -> None:
    routing = mova().model.config.to_dict()["routing"]
    assert not routing.keys() & {"text_prior", "unlearned"}
    assert RoutingConfig(text_prior=2.0, unlearned=["a"]).unlearned == ("a",)  # type: ignore[arg-type]
    for wrong in (-1.0, float("inf"), float("nan")):
        with pytest.raises(ValueError, match="text_prior"):
            RoutingConfig(text_prior=wrong)
