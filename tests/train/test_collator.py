"""What a sample becomes: ids, labels on the answers only, the annotation as routing, or a random
subset of the pool that seed and place alone decide."""

from __future__ import annotations

from collections import Counter
from typing import Any

import pytest
import torch
from PIL import Image

from openmova.checkpoints.templates import TEMPLATES
from openmova.checkpoints.tiny import tiny_mova
from openmova.data.bad_samples import BadSample, BadSamples
from openmova.data.sample import Sample, Turn
from openmova.errors import UserError
from openmova.model.processing_mova import IGNORED, MovaProcessor
from openmova.routing import routing_prompt
from openmova.train.collator import Collator, TrainDataset, random_subset
from openmova.train.preparation import prepare
from openmova.train.training_recipe import load_recipe
from train.runs import SMOKE

MODEL, PROCESSOR = tiny_mova()
POOL = MODEL.config.expert_names
NAMES = ("one", "two", "three")
CHATML = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{{ m['content'] }}<|im_end|>\n"
    "{% endfor %}{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
ODD = "{% if messages|length > 1 %}!{% endif %}" + CHATML  # a prompt is no beginning of its answer


def sample(*texts: str, picture: bool = True, **changes: Any) -> Sample:
    turns = tuple(
        Turn(role=("user", "assistant")[i % 2], text=text) for i, text in enumerate(texts)
    )
    image = Image.new("RGB", (20, 30), "red") if picture else None
    fields = {"id": "s", "image": image, "turns": turns, "experts": ("text",), "source": "data"}
    return Sample(**{**fields, **changes})


def processor(template: str) -> MovaProcessor:
    _, fresh = tiny_mova()
    fresh.chat_template = template
    return fresh


@pytest.mark.parametrize(
    ("template", "end"),
    [
        (PROCESSOR.chat_template, "<end>"),
        (CHATML, "<|im_end|>"),
        (TEMPLATES["vicuna_v1"], "</s>"),
        (TEMPLATES["mova_llama3"], "<|eot_id|>"),
    ],
)
def test_the_loss_is_on_every_answer_with_its_end_and_no_more(template: str, end: str) -> None:
    collator = Collator(processor(template), POOL)
    row = collator.row(sample("What?", "Red", "And this?", "A blue one"))
    text = collator.processor.tokenizer.decode([i for i in row.labels if i != IGNORED])
    assert text.replace(" ", "") == f"Red{end}Ablueone{end}"
    assert row.question == "question 0: what?\n\nquestion 1: and this?\n\n"  # the gate's


def test_the_prompt_is_what_the_model_is_asked_with_later() -> None:
    row = Collator(PROCESSOR, POOL).row(sample("what?", "Red"))
    asked = PROCESSOR(images=Image.new("RGB", (20, 30)), questions="what?")["input_ids"][0]
    assert row.input_ids[: len(asked)] == asked
    assert row.labels[: len(asked)] == [IGNORED] * len(asked)
    assert row.labels[len(asked) :] == row.input_ids[len(asked) :]


@pytest.mark.parametrize(
    ("choice", "experts", "routing"),
    [
        ({}, ("location",), (False, False, True)),
        ({}, (), (False,) * 3),
        ({}, None, (False,) * 3),
        ({"unannotated": "all"}, None, (True,) * 3),
        ({"chosen": "none"}, ("text",), (False,) * 3),
        ({"chosen": "all"}, ("text",), (True,) * 3),
        ({"chosen": ("chart",)}, ("text",), (False, True, False)),
    ],
)
def test_the_annotation_is_the_routing_unless_the_recipe_chose(
    choice: dict[str, Any], experts: tuple[str, ...] | None, routing: tuple[bool, ...]
) -> None:
    row = Collator(PROCESSOR, POOL, **choice).row(sample("a", "b", experts=experts))
    assert row.routing == routing


@pytest.mark.parametrize(
    ("dependency", "weight"), [(1.0, 1.0), (0.5, 0.6), (0.0, 0.2), (None, 0.2)]
)
def test_a_sample_weighs_more_the_more_it_rests_on_its_picture(
    dependency: float | None, weight: float
) -> None:
    one = sample("a", "b", dependency=dependency)
    assert Collator(PROCESSOR, POOL, dependency=0.8).row(one).weight == pytest.approx(weight)
    assert Collator(PROCESSOR, POOL).row(one).weight == 1


def test_a_routing_instruction_sees_pooled_tokens_and_no_expert() -> None:
    asked = sample("which?", "A, B", routing=True)
    row = Collator(PROCESSOR, POOL, chosen="all").row(asked, experts=POOL)
    assert row.pooled
    assert not any(row.routing)
    assert row.input_ids.count(PROCESSOR.image_token_id) == PROCESSOR.routing_tokens


@pytest.mark.parametrize("pool_first", [False, True])
def test_a_routing_instruction_has_the_prompt_of_the_routing_pass(pool_first: bool) -> None:
    _, fresh = tiny_mova()
    fresh.pool_first = pool_first
    prompt = routing_prompt(fresh.instruction, fresh.descriptions, "what?")
    row = Collator(fresh, POOL).row(sample(prompt, "A, B", routing=True))
    (asked,) = fresh.routing_inputs(["what?"])["routing_input_ids"]
    assert row.input_ids[: len(asked)] == asked


def test_a_mixed_batch_gives_each_row_the_loss_that_it_has_alone() -> None:
    """Answers, routing instructions and plain text in one batch, of different lengths."""
    model, _ = tiny_mova()
    with torch.no_grad():  # so that the adapter and the gate count
        for parameter in model.model.adapter.parameters():
            parameter.add_(torch.randn(parameter.shape), alpha=0.1)
    collator = Collator(PROCESSOR, POOL)
    rows = [
        collator.row(sample("what?", "Red", experts=("text", "chart"))),
        collator.row(sample("which model?", "A, B", routing=True)),
        collator.row(sample("hello, without a picture", "Hi there", picture=False)),
        collator.row(sample("a", "longer answer than all of the others", experts=())),
    ]

    def logits(*rows: Any) -> torch.Tensor:
        batch = collator(rows)
        del batch["names"], batch["labels"]
        return model.eval()(**batch).logits

    for row, together in zip(rows, logits(*rows), strict=True):
        (alone,) = logits(row)
        torch.testing.assert_close(together[: len(alone)], alone, atol=1e-4, rtol=1e-3)


def test_a_long_answer_is_cut_and_one_beyond_the_limit_makes_a_bad_sample() -> None:
    row = Collator(PROCESSOR, POOL, max_tokens=40).row(sample("what?", "Red" * 30))
    assert len(row.input_ids) == 40
    with pytest.raises(BadSample, match="no answer within 20 tokens"):
        Collator(PROCESSOR, POOL, max_tokens=20).row(sample("what?", "Red"))


@pytest.mark.parametrize(
    ("build", "message"),
    [
        (lambda: Collator(PROCESSOR, POOL, chosen=("sam",)), "experts names sam, but the model's"),
        (lambda: Collator(processor(""), POOL), "no chat template"),
        (lambda: Collator(PROCESSOR, POOL).row(sample("a", "b", experts=("sam",))), "sample 's'"),
        (lambda: Collator(processor(ODD), POOL).row(sample("a", "b")), "chat template writes"),
    ],
)
def test_what_does_not_fit_is_told(build: object, message: str) -> None:
    with pytest.raises(UserError, match=message):
        build()  # type: ignore[operator]


def test_a_third_is_seen_by_none_a_third_by_all_and_a_third_by_a_coin_for_each() -> None:
    drawn = [random_subset(NAMES, share=1.0, seed=0, place=i) for i in range(6000)]
    counts = Counter(drawn)
    assert counts[()] / 6000 == pytest.approx(1 / 3 + 1 / 24, abs=0.02)
    assert counts[NAMES] / 6000 == pytest.approx(1 / 3 + 1 / 24, abs=0.02)
    others = [count for subset, count in counts.items() if subset not in ((), NAMES)]
    assert len(others) == 6
    assert all(count / 6000 == pytest.approx(1 / 24, abs=0.01) for count in others)


def test_the_annotation_decides_for_all_but_the_share_by_seed_and_place() -> None:
    def drawn(seed: int) -> list[tuple[str, ...] | None]:
        return [random_subset(NAMES, share=0.25, seed=seed, place=i) for i in range(4000)]

    assert drawn(0).count(None) / 4000 == pytest.approx(0.75, abs=0.02)
    assert drawn(0) == drawn(0) != drawn(1)
    assert random_subset(NAMES, share=0.0, seed=0, place=1) is None


def test_a_place_shows_its_subset_whenever_it_is_asked() -> None:
    changes = ["random_experts=0.5", "data.0.samples=12", "steps=null", "epochs=2", "batch=4"]
    prepared = prepare(load_recipe(SMOKE, changes))
    assert prepared.steps == 2 * 12 // 4

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
    epochs = [[mixed[i].name for i in range(start, start + 12)] for start in (0, 12)]
    assert sorted(epochs[0]) == sorted(epochs[1]) == sorted(f"synthetic:{i}" for i in range(12))
    assert epochs[0] != epochs[1]
