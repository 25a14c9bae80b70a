"""Evaluation while a model learns: what it measures, and that training goes on as without it."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from openmova.data.bad_samples import BadSamples
from openmova.data.mixture import Mixture, WeightedSource
from openmova.data.synthetic import SyntheticSamples
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.two_pass import VisualContext
from openmova.routing import RoutingResult
from openmova.train.evaluation import Evaluation
from openmova.train.preparation import prepare
from openmova.train.training_recipe import load_recipe
from train.runs import FAST, HELD_OUT, SMOKE, assert_same, entries, run


def evaluation(count: int, *changes: str) -> tuple[Evaluation, MovaForConditionalGeneration]:
    prepared = prepare(load_recipe(SMOKE, [*FAST, *changes]))
    mixture = Mixture([WeightedSource(samples=SyntheticSamples(count, seed=1))], seed=0)
    made = Evaluation(mixture, prepared.collator, samples=count, batch=4, bad=BadSamples())
    return made, prepared.model


def test_a_run_with_evaluation_ends_as_one_without(tmp_path: Path) -> None:
    run(tmp_path / "without", "steps=4")
    said = run(tmp_path / "with", "steps=4", *HELD_OUT)
    assert_same(tmp_path / "without", tmp_path / "with")
    found = [entry["step"] for entry in entries(tmp_path / "with") if "eval_loss" in entry]
    assert found == [2, 4]
    assert any(line.startswith("step 2/4  held out: loss ") for line in said)


def test_the_loss_is_that_of_the_answers_tokens_by_domain() -> None:
    evaluate, model = evaluation(6)
    found = evaluate(model, 0, 1)
    losses: dict[str, list[tuple[float, int]]] = {}
    for place in range(6):
        sample, row = evaluate._open(place)
        batch = evaluate.collator([row])
        del batch["names"], batch["domains"]
        tokens = int((batch["labels"][:, 1:] != -100).sum())
        with torch.no_grad():
            loss = model.eval()(**batch).loss.item()
        for name in ("eval_loss", f"eval_loss/{sample.domain}"):
            losses.setdefault(name, []).append((loss * tokens, tokens))
    assert len(losses) == 4
    for name, each in losses.items():
        total, count = map(sum, zip(*each, strict=True))
        assert found[name] == pytest.approx(total / count, rel=1e-4)
    assert evaluate(model, 0, 1) == found


def test_the_router_s_choice_answers_and_is_judged(monkeypatch: pytest.MonkeyPatch) -> None:
    """The router is always right but for charts, and the model says what the picture holds."""
    evaluate, model = evaluation(6)
    samples = [evaluate._open(place) for place in range(6)]
    right = {s.question: (row.routing, s.turns[1].text, s.domain) for s, row in samples}
    processor = evaluate.collator.processor

    def asked(ids: Tensor) -> list[str]:
        texts = processor.tokenizer.batch_decode(ids)
        return [next(q for q in right if q in text) for text in texts]

    def route(ids: Tensor, mask: Tensor, base_map: Tensor, **_: Any) -> RoutingResult:
        wrong = [right[q][2] == "chart" for q in asked(ids)]
        routing = torch.tensor([right[q][0] for q in asked(ids)])
        routing ^= torch.tensor(wrong)[:, None]
        tokens, _ = model.model.fuse(base_map, {}, torch.zeros_like(routing))
        return RoutingResult(routing, routing.float(), [""] * len(ids), tokens)

    chosen_experts: list[Tensor] = []
    encode = model.encode_images

    def encode_images(*given: Any, **keywords: Any) -> VisualContext:
        context = encode(*given, **keywords)
        chosen_experts.append(context.chosen)
        return context

    def generate(ids: Tensor, **keywords: Any) -> Tensor:
        """The answer in capitals with a full stop, if the experts are the right ones."""
        texts = [
            f" {right[q][1].upper()}. " if tuple(chosen) == right[q][0] else "?"
            for q, chosen in zip(asked(ids), chosen_experts[-1].tolist(), strict=True)
        ]
        answers = processor.tokenizer(texts, padding=True, return_tensors="pt")
        return torch.cat([ids, answers["input_ids"]], dim=1)

    monkeypatch.setattr(model, "route", route)
    monkeypatch.setattr(model, "encode_images", encode_images)
    monkeypatch.setattr(model, "generate", generate)
    found = evaluate(model, 0, 1)
    for name in ("exact", "routing"):
        assert found[f"eval_{name}/chart"] == 0
        assert found[f"eval_{name}/text"] == found[f"eval_{name}/location"] == 1
        assert found[f"eval_{name}"] == pytest.approx(4 / 6)


def test_experts_that_the_recipe_chose_answer_and_no_routing_is_judged() -> None:
    evaluate, model = evaluation(3, "experts=all")
    found = evaluate(model, 0, 1)
    assert "eval_exact" in found
    assert "eval_routing" not in found
