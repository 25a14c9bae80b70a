"""Scores and constraint hold for every way a tokenizer may write the answer."""

from __future__ import annotations

import itertools
import math

import pytest
import torch
from transformers import LlamaConfig, LlamaForCausalLM, LogitsProcessorList
from transformers import PreTrainedTokenizerFast as Tokenizer

from openmova.routing import expert_letters, format_routing, parse_routing
from openmova.routing.decoding import RoutingConstraint, active_steps, letter_scores

from .tokenizers_zoo import ZOO, byte_level, letters_alone, space_with_letter

LETTERS = expert_letters(5)
PROMPTS = ["answer:", "which ones do you want, please:", "q"]


@pytest.fixture(params=ZOO.values(), ids=ZOO.keys())
def tokenizer(request: pytest.FixtureRequest) -> Tokenizer:
    return request.param()


def answers(letters: tuple[str, ...]) -> set[str]:
    chosen = (c for n in range(4) for c in itertools.combinations(range(len(letters)), n))
    return {format_routing(c, letters) for c in chosen}


def constraint(
    tokenizer: Tokenizer, letters: tuple[str, ...] = LETTERS, prompt_length: int = 0
) -> RoutingConstraint:
    return RoutingConstraint(
        tokenizer=tokenizer,
        letters=letters,
        eos_token_ids=tokenizer.eos_token_id,
        prompt_length=prompt_length,
    )


def written_answers(tokenizer: Tokenizer, letters: tuple[str, ...]) -> set[str]:
    """Every text that can be written under the constraint, as the tokenizer decodes it."""
    rule = constraint(tokenizer, letters)
    found, beginnings = set(), [[]]
    while beginnings:
        ids = beginnings.pop()
        scores = rule(torch.tensor([ids], dtype=torch.long), torch.zeros(1, len(tokenizer)))
        following = scores[0].isfinite().nonzero()[:, 0].tolist()
        assert following, f"nothing may follow {tokenizer.decode(ids)!r}"
        for token in following:
            if token == tokenizer.eos_token_id:
                found.add(tokenizer.decode(ids).removeprefix(" "))
            else:
                beginnings.append([*ids, token])
    return found


def test_exactly_the_ordered_answers_of_three_letters_can_be_written(tokenizer: Tokenizer) -> None:
    assert written_answers(tokenizer, LETTERS) == answers(LETTERS)
    rule = constraint(tokenizer)  # and each in its own spelling
    for answer in answers(LETTERS):
        ids = tokenizer.encode(answer, add_special_tokens=False)
        for end, token in enumerate([*ids, tokenizer.eos_token_id]):
            before = torch.tensor([ids[:end]], dtype=torch.long)
            assert rule(before, torch.zeros(1, len(tokenizer)))[0, token] == 0, answer


def tiny_llama(tokenizer: Tokenizer) -> LlamaForCausalLM:
    torch.manual_seed(0)
    sizes = {"hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1}
    config = LlamaConfig(
        vocab_size=len(tokenizer) + 8,  # a padded vocabulary, as many models have
        num_attention_heads=2,
        pad_token_id=tokenizer.pad_token_id,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        **sizes,
    )
    model = LlamaForCausalLM(config).eval()
    model.lm_head.weight.data.mul_(100)  # sure of itself
    return model


def generate(tokenizer: Tokenizer, prompts: list[str], **options: object) -> list[str]:
    padding = {"padding": True, "padding_side": "left", "add_special_tokens": False}
    batch = tokenizer(prompts, return_tensors="pt", **padding)
    length = batch["input_ids"].shape[1]
    ids = tiny_llama(tokenizer).generate(
        input_ids=batch["input_ids"],
        attention_mask=batch["attention_mask"],
        max_new_tokens=16,
        logits_processor=LogitsProcessorList([constraint(tokenizer, prompt_length=length)]),
        **options,
    )
    return tokenizer.batch_decode(ids[:, length:], skip_special_tokens=True)


@pytest.mark.parametrize(
    "options",
    [
        {"do_sample": False},
        {"do_sample": True, "temperature": 5.0, "num_return_sequences": 4},
        {"do_sample": False, "num_beams": 3},
    ],
    ids=["greedy", "sampling", "beams"],
)
def test_any_model_writes_only_answers(tokenizer: Tokenizer, options: dict[str, object]) -> None:
    texts = generate(tokenizer, PROMPTS, **options)
    assert {text.removeprefix(" ") for text in texts} <= answers(LETTERS)
    if options == {"do_sample": False}:  # a row is written as it would be alone
        assert texts == [generate(tokenizer, [prompt], **options)[0] for prompt in PROMPTS]


def test_a_pool_beyond_z_is_written_and_read_back() -> None:
    letters = expert_letters(28)
    texts = written_answers(letters_alone(), letters[-4:])  # Y, Z, AA, AB
    assert texts == answers(letters[-4:])
    assert all(format_routing(parse_routing(t, letters), letters) == t for t in texts)


def test_after_its_end_a_row_only_repeats_the_end() -> None:
    tokenizer = space_with_letter()
    end = tokenizer.eos_token_id
    ids = torch.tensor([[tokenizer.convert_tokens_to_ids("A"), end, tokenizer.pad_token_id]])
    scores = constraint(tokenizer)(ids, torch.zeros(1, len(tokenizer)))
    assert scores[0].isfinite().nonzero()[:, 0].tolist() == [end]


def test_a_tokenizer_that_cannot_spell_the_letters_is_refused() -> None:
    with pytest.raises(ValueError, match="'É'; turn constrained decoding off"):
        constraint(letters_alone(), ("A", "É"))


def steps(tokenizer: Tokenizer, *steps: dict[str, float]) -> list[torch.Tensor]:
    """Logits [1, V] of steps that give these tokens these probabilities."""
    logits = []
    for probabilities in steps:
        rest = 1 - sum(probabilities.values())
        others = math.log(rest / (len(tokenizer) - len(probabilities)))
        row = torch.full((1, len(tokenizer)), others)
        for token, probability in probabilities.items():
            row[0, tokenizer.convert_tokens_to_ids(token)] = math.log(probability)
        logits.append(row)
    return logits


def test_a_score_is_the_best_step_of_all_tokens_that_say_the_letter() -> None:
    tokenizer = ZOO["comma with letter"]()
    logits = steps(tokenizer, {"A": 0.5, "ĠA": 0.25, "B": 0.125}, {",ĠB": 0.75, "A": 0.01})
    scores = letter_scores(logits, tokenizer, ("A", "B", "C"))
    assert scores.shape == (1, 3)
    assert scores[0, :2].tolist() == pytest.approx([0.75, 0.75], abs=0.01)
    assert scores[0, 2] < 0.02


def test_scores_follow_the_order_of_the_pool_and_stay_probabilities(tokenizer: Tokenizer) -> None:
    logits = [torch.randn(3, len(tokenizer) + 8) * 5 for _ in range(4)]
    scores = letter_scores(logits, tokenizer, ("A", "B", "C"))
    assert torch.equal(letter_scores(logits, tokenizer, ("C", "A", "B")), scores[:, [2, 0, 1]])
    assert scores.dtype == torch.float32
    assert ((scores >= 0) & (scores <= 1 + 1e-6)).all()


def test_steps_after_the_end_do_not_count() -> None:
    tokenizer = space_with_letter()
    a, end, pad = (tokenizer.convert_tokens_to_ids(t) for t in ("A", "<eos>", "<pad>"))
    active = active_steps(torch.tensor([[a, end, pad, end], [a, a, a, a]]), end)
    assert active.tolist() == [[True, True, False, False], [True] * 4]
    logits = [step.repeat(2, 1) for step in steps(tokenizer, {"A": 0.5}, {}, {"B": 0.9}, {})]
    scores = letter_scores(logits, tokenizer, ("A", "B"), active)
    assert scores[0, 1] < 0.05
    assert scores[1, 1].item() == pytest.approx(0.9, abs=0.01)


def test_a_letter_without_a_token_has_the_score_of_its_first_token() -> None:
    tokenizer = letters_alone()
    scores = letter_scores(steps(tokenizer, {"A": 0.75}), tokenizer, ("AB",))
    assert scores[0, 0].item() == pytest.approx(0.75)


def test_a_token_added_later_is_found() -> None:
    tokenizer = byte_level([])
    letter_scores([torch.zeros(1, len(tokenizer))], tokenizer, ("A",))
    tokenizer.add_tokens([" A"])
    logits = steps(tokenizer, {" A": 0.5, "A": 0.25})
    assert letter_scores(logits, tokenizer, ("A",))[0, 0].item() == pytest.approx(0.75)
