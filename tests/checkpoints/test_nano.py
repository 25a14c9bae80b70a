"""The embedded model on real input: assembled from packages, asked about real pictures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch

from openmova import Mova
from openmova.checkpoints.nano import pack, unpack

EXAMPLES = Path(__file__).parents[2] / "examples"
QUESTIONS: list[dict[str, Any]] = json.loads((EXAMPLES / "questions.json").read_text())


@pytest.mark.slow
def test_a_batch_of_mixed_routings_and_a_stream_answer_as_single_questions_do(nano: Mova) -> None:
    few = QUESTIONS[1::11]  # about a photo, an animal and a chart
    pairs = [(EXAMPLES / q["image"], q["question"]) for q in few]
    together = nano.ask_batch(pairs)
    assert len({tuple(answer.routing.experts) for answer in together}) > 1
    for pair, batched in zip(pairs, together, strict=True):
        alone = nano.ask(*pair)
        assert (batched.text, batched.routing.experts) == (alone.text, alone.routing.experts)
    assert "".join(nano.stream(*pairs[0])) == together[0].text


def test_packed_weights_come_back_to_half_a_level() -> None:
    torch.manual_seed(0)
    state = {"a.weight": torch.randn(6, 8) * 3, "b.bias": torch.randn(5), "c": torch.zeros(2, 3)}
    back = unpack(pack(state))
    assert back.keys() == state.keys()
    level = state["a.weight"].abs().amax(1, keepdim=True) / 127
    assert ((back["a.weight"] - state["a.weight"]).abs() <= 0.51 * level + 2e-3).all()
    torch.testing.assert_close(back["b.bias"], state["b.bias"], atol=2e-3, rtol=1e-3)
    assert back["c"].count_nonzero() == 0
