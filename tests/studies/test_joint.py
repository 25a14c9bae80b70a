"""Nano's joint training: rows in ids as the processor writes them, questions apart."""

from __future__ import annotations

import random
from pathlib import Path

import pytest
import torch

from openmova.checkpoints import nano_spec as spec
from openmova.checkpoints.nano import nano_folder
from openmova.model.processing_mova import MovaProcessor
from studies.nano import joint, said
from studies.nano.export import mean
from studies.nano.joint import Model

TURNS = [
    ("What is this?", "a red kite"),
    ("How many dogs are there?", "3"),
    ("Where is the kite?", "left"),
]
WORDS = {"object": "kite 71%"}


@pytest.fixture(scope="module")
def model() -> Model:
    neck = torch.nn.ModuleDict(
        {"proj": torch.nn.Linear(472, spec.WIDTH), "norm": torch.nn.LayerNorm(spec.WIDTH)}
    )
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(joint, "new_neck", lambda data: neck)
        return Model(Path(), Path("models/nano")).eval()


@torch.no_grad()
def test_a_question_that_follows_sees_no_other_that_follows(model: Model) -> None:
    torch.manual_seed(0)
    tokens = model.image_tokens(WORDS, torch.randn(25, spec.WIDTH))

    def loss(turns: list[tuple[str, str]]) -> float:
        encoding = model.encode(len(tokens), turns, is_routing=False)
        answers = sum(label != joint.IGNORED for label in encoding.labels)
        return model.loss([encoding], [tokens]).item() * answers

    assert model.encode(len(tokens), TURNS, is_routing=False).questions == 3
    first, second, third = TURNS
    rounding = 2e-2 if joint.compute_dtype() == torch.bfloat16 else 1e-3
    apart = loss([first, second]) + loss([first, third]) - loss([first])
    assert loss(TURNS) == pytest.approx(apart, rel=rounding)


@pytest.mark.parametrize("is_routing", [False, True])
def test_the_ids_are_those_of_the_processor(model: Model, is_routing: bool) -> None:
    processor = MovaProcessor.from_pretrained(nano_folder())
    question = "How many dogs are there?"
    image = torch.zeros(3, 8, 8, dtype=torch.uint8)
    made = processor(images=[image], questions=[question])
    prompt = made["routing_input_ids" if is_routing else "input_ids"]
    theirs = torch.as_tensor(prompt).flatten().tolist()
    images = theirs.count(processor.image_token_id)
    encoding = model.encode(images, [(question, "3")], is_routing=is_routing)
    ours = list(encoding.ids)
    ours[encoding.first : encoding.first + images] = [processor.image_token_id] * images
    length = next(i for i, label in enumerate(encoding.labels) if label != joint.IGNORED)
    assert ours[:length] == theirs


def test_a_mean_with_weights_of_a_lower_rank_is_that_of_what_they_add() -> None:
    torch.manual_seed(0)
    own = {"x.lora_A.weight": torch.randn(3, 5), "x.lora_B.weight": torch.randn(4, 3)}
    old = {"x.lora_A.weight": own["x.lora_A.weight"][:2], "x.lora_B.weight": torch.randn(4, 2)}
    expected = 0.7 * own["x.lora_B.weight"] @ own["x.lora_A.weight"]
    expected += 0.3 * old["x.lora_B.weight"] @ old["x.lora_A.weight"]
    mean(own, [(0.3, old)])
    torch.testing.assert_close(own["x.lora_B.weight"] @ own["x.lora_A.weight"], expected)


def test_the_labels_of_a_plot_stand_where_a_reader_finds_them() -> None:
    rng = random.Random(0)
    for _ in range(50):
        words, turns = said.labels_row(rng)
        lines = words["text"].split("\n")
        for question, answer in turns:
            assert answer in words["text"]
            assert answer in words.get("chart", answer) or "=" in words["text"]
            axis = question.lower()
            if "axis" in axis and any(name in axis for name in ("horizontal", "lower", "bottom")):
                assert answer == lines[-1]
