"""The router's LoRA: seen by the routing pass and by nothing else, and part of the checkpoint."""

from __future__ import annotations

import copy
import importlib.util
from pathlib import Path
from threading import Thread
from typing import Any

import pytest
import torch

from openmova import Mova, MovaConfig, MovaForConditionalGeneration
from openmova.checkpoints.memory import measure
from openmova.checkpoints.tiny import tiny_mova
from openmova.errors import UserError
from openmova.model.processing_mova import MovaProcessor
from openmova.routing import RouterLoraConfig, RoutingResult
from tiny import pictures

LORA = RouterLoraConfig(rank=4, alpha=64, targets=("q_proj", "v_proj"))
IDS, POOLED = torch.arange(5, 15)[None], torch.ones(1).bool()


def learned(seed: int = 0) -> tuple[MovaForConditionalGeneration, MovaProcessor]:
    """A tiny model with a router's LoRA that learned something."""
    model, processor = tiny_mova(seed)
    torch.manual_seed(seed)
    model.model.add_router_lora(LORA)
    for parameter in model.model.router_lora.parameters():
        torch.nn.init.normal_(parameter, std=0.3)
    return model.eval(), processor


def asked(processor: MovaProcessor) -> Any:
    return processor(
        images=pictures(2), questions=["what is this?", "how many dogs?"], return_tensors="pt"
    )


def route(model: MovaForConditionalGeneration, inputs: Any) -> RoutingResult:
    base_map = model.model.encode_base(inputs["pixel_values"], inputs["image_sizes"])
    return model.route(inputs["routing_input_ids"], inputs["routing_attention_mask"], base_map)


@torch.no_grad()
def test_a_fresh_one_changes_nothing() -> None:
    model, processor = tiny_mova()
    inputs = asked(processor)
    before = model.eval().generate(**inputs, max_new_tokens=5)
    scores = route(model, inputs).scores
    model.model.add_router_lora(LORA)
    assert torch.equal(model.generate(**inputs, max_new_tokens=5), before)
    assert torch.equal(route(model, inputs).scores, scores)
    plain, _ = tiny_mova()  # a model without one says nothing of it
    assert "lora" not in plain.config.to_dict()["routing"]
    assert not [name for name in plain.state_dict() if "lora" in name]


@torch.no_grad()
def test_the_routing_pass_sees_it_and_the_answer_never_does() -> None:
    plain, processor = tiny_mova()
    model, _ = learned()
    inputs = asked(processor)
    one, other = route(plain.eval(), inputs), route(model, inputs)
    assert (one.scores - other.scores).abs().max() > 1e-3
    # In generate too, with the same routing as route's.
    passing: dict[str, Any] = {"max_new_tokens": 6, "min_new_tokens": 6, "do_sample": False}
    whole = model.generate(**inputs, **passing)
    given = {name: value for name, value in inputs.items() if "routing" not in name}
    expected = plain.generate(**given, routing=other.routing, **passing)
    assert torch.equal(whole, expected)


@torch.no_grad()
def test_rows_of_the_routing_pass_see_it_beside_others_in_a_batch() -> None:
    plain, _ = tiny_mova()
    model, _ = learned()
    ids = torch.arange(5, 35).reshape(3, 10)
    none = plain.eval()(input_ids=ids).logits
    assert torch.equal(model(input_ids=ids).logits, none)
    every = model(input_ids=ids, pooled=torch.ones(3).bool()).logits
    mixed = model(input_ids=ids, pooled=torch.tensor([True, False, True])).logits
    assert (every - none).abs().amax(dim=(1, 2)).min() > 1e-3
    assert torch.equal(mixed[1], none[1])
    torch.testing.assert_close(mixed[::2], every[::2])


def test_only_these_rows_give_it_a_gradient_also_with_checkpointing() -> None:
    model, _ = learned()
    model.requires_grad_(False)
    model.model.router_lora.requires_grad_(True)
    ids = torch.arange(5, 35).reshape(3, 10)

    def gradients(pooled: list[bool], rows: slice = slice(None)) -> torch.Tensor:
        model.zero_grad()
        labels = torch.full_like(ids, -100)
        labels[rows] = ids[rows]
        model(input_ids=ids, labels=labels, pooled=torch.tensor(pooled)).loss.backward()
        return torch.cat([p.grad.flatten() for p in model.model.router_lora.parameters()])

    assert gradients([False, False, False]).count_nonzero() == 0
    assert gradients([True, False, False], slice(1, 3)).count_nonzero() == 0
    plain = gradients([True, False, False])
    assert plain.count_nonzero() > 0
    model.train()
    model.gradient_checkpointing_enable({"use_reentrant": False})
    torch.testing.assert_close(gradients([True, False, False]), plain)


@torch.no_grad()
def test_a_thread_that_routes_changes_no_answer_of_another() -> None:
    model, _ = learned()
    expected = model(input_ids=IDS).logits
    at_the_end: list[torch.Tensor] = []

    def route(*_: Any) -> None:
        """Another thread's whole routing pass, in the middle of this one's answer."""
        handle.remove()

        @torch.no_grad()
        def other() -> None:
            at_the_end.append(model(input_ids=IDS, pooled=POOLED).logits)

        thread = Thread(target=other)
        thread.start()
        thread.join()

    handle = model.model.language_model.layers[0].register_forward_pre_hook(route)
    assert torch.equal(model(input_ids=IDS).logits, expected)
    assert not torch.equal(at_the_end[0], expected)


@torch.no_grad()
def test_a_copy_and_what_is_loaded_have_their_own(tmp_path: Path) -> None:
    model, processor = learned()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    loaded = MovaForConditionalGeneration.from_pretrained(tmp_path)
    assert loaded.config.routing.lora == LORA
    expected, copied = model(input_ids=IDS, pooled=POOLED).logits, copy.deepcopy(model)
    for parameter in model.model.router_lora.parameters():
        parameter.zero_()
    for other in (copied, loaded):
        assert torch.equal(other(input_ids=IDS, pooled=POOLED).logits, expected)
    answer = Mova.from_pretrained(tmp_path, device="cpu").ask(pictures(1)[0], "what is this?")
    assert set(answer.routing.scores) == {"text", "chart", "location"}


@pytest.mark.skipif(
    importlib.util.find_spec("bitsandbytes") is None, reason="bitsandbytes is not installed"
)
@torch.no_grad()
def test_it_is_seen_beside_quantised_layers_too(tmp_path: Path) -> None:
    model, processor = learned()
    model.save_pretrained(tmp_path)
    processor.save_pretrained(tmp_path)
    small = Mova.from_pretrained(tmp_path, device="cpu", quantization="8bit").model
    for pooled in (POOLED, None):
        found = small(input_ids=IDS, pooled=pooled).logits
        expected = model(input_ids=IDS, pooled=pooled).logits
        assert (found - expected).norm() / expected.norm() < 0.05


def test_its_memory_is_counted() -> None:
    model, _ = learned()
    (part,) = (p for p in measure(model.config).parts if p.part == "router LoRA")
    assert part.parameters == sum(p.numel() for p in model.model.router_lora.parameters())


@pytest.mark.parametrize(
    ("lora", "message"),
    [
        ({"rank": 4, "alpha": 8, "targets": ["q_proj", "query"]}, "no linear layer called query"),
        ({"rank": 0, "alpha": 8, "targets": ["q_proj"]}, "rank must be 1 or more"),
        ({"rank": 4, "targets": ["q_proj"]}, "alpha"),
    ],
)
def test_what_can_t_be_is_told(lora: dict[str, Any], message: str) -> None:
    fields = tiny_mova()[0].config.to_dict()
    fields["routing"]["lora"] = lora
    with pytest.raises(UserError, match=message):
        MovaForConditionalGeneration(MovaConfig(**fields))
