"""What vLLM's worker remembers of pictures; all of it without vLLM."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from torch import Tensor

from inference.asking import tiny_mova
from openmova import Mova
from openmova.inference.session import Picture
from openmova.model.splicing import filled_tokens
from openmova.serve.vllm.vision_memory import VisionMemory
from serve.sparse import sparse_mova
from tiny import TinyExpert, pictures

ASKED = "what is this ?"


def look(mova: Mova, number: int, experts: Sequence[str], text: str = ASKED) -> dict[str, Tensor]:
    picture = Picture.of(pictures(3)[number], mova.processor)
    inputs = mova.processor.image_processor([picture.image])
    inputs |= mova.processor.question_inputs([text])
    return {
        **{name: torch.as_tensor(values[0]) for name, values in inputs.items()},
        "routing": torch.tensor([name in experts for name in mova.experts]),
        "fingerprint": torch.tensor(list(picture.fingerprint), dtype=torch.uint8),
    }


def alone(mova: Mova, one: dict[str, Tensor]) -> Tensor:
    """[N, D], as the model itself makes them."""
    inputs = {name: value[None] for name, value in one.items() if name != "fingerprint"}
    with torch.no_grad():
        return mova.model.model.image_tokens(**inputs)[0][0]


@pytest.fixture(params=[tiny_mova, sparse_mova])
def mova(request: pytest.FixtureRequest) -> Mova:
    made: Mova = request.param()
    return made


def test_image_tokens_are_those_of_the_model(mova: Mova) -> None:
    looks = [
        look(mova, 0, ["one"]),
        look(mova, 1, [], "what ?"),
        look(mova, 0, ["two", "three"], "what is question : this ?"),
        look(mova, 2, ["one", "two", "three"], "what ?"),
    ]
    memory = VisionMemory(mova.model.model)
    for _ in range(2):
        for tokens, one in zip(memory.image_tokens(looks), looks, strict=True):
            torch.testing.assert_close(tokens, alone(mova, one))


def test_encoders_run_once_for_all_looks_at_a_picture(mova: Mova) -> None:
    core = mova.model.model
    memory = VisionMemory(core)
    memory.image_tokens([look(mova, 0, [])])  # the routing pass
    memory.count(look(mova, 0, ["one"]))
    memory.image_tokens([look(mova, 0, ["one"])])  # the answer
    memory.image_tokens([look(mova, 0, ["one"], "what ?"), look(mova, 1, ["one"])])
    base, one = core.base, core.experts.get(0)
    assert isinstance(base, TinyExpert) and isinstance(one, TinyExpert)
    assert sum(base.batches) == sum(one.batches) == 2


def test_a_count_is_that_of_the_tokens_which_the_next_look_gets() -> None:
    mova = sparse_mova()
    memory = VisionMemory(mova.model.model)
    counts = set()
    for experts in (["one"], ["two"], ["one", "two", "three"]):
        one = look(mova, 0, experts)
        count = memory.count(one)
        (tokens,) = memory.image_tokens([one])
        assert count == filled_tokens(tokens).sum() == filled_tokens(alone(mova, one)).sum()
        counts.add(count)
    assert len(counts) > 1


def test_memory_keeps_to_its_limit() -> None:
    mova = sparse_mova()
    memory = VisionMemory(mova.model.model, most=1)
    one = look(mova, 0, ["one"])
    count = memory.count(one)
    assert not memory._waiting and not len(memory._known)
    (tokens,) = memory.image_tokens([one])
    assert filled_tokens(tokens).sum() == count
