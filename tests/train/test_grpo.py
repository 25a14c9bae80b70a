"""The stage grpo on the tiny model: what the passes see, what stops a run, what is learned."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import nullcontext
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image
from trl.kernels import chunked_logprob

from data.files import write_lines
from openmova import Mova
from openmova.checkpoints.tiny import tiny_mova
from openmova.data.sample import Sample
from openmova.errors import UserError
from openmova.model.modeling_mova import MovaModel
from openmova.model.processing_mova import MovaProcessor
from openmova.model.two_pass import TwoPassGeneration
from openmova.model.vision_mova import MovaVision
from openmova.runtime.yaml_config import build
from openmova.train import grpo, preparation
from openmova.train.estimate import estimate
from openmova.train.grpo import AnswerTrainer, RoutingTrainer
from openmova.train.reward_loop import RewardLoop
from openmova.train.training import save_model, train
from openmova.train.training_recipe import TrainingRecipe
from tiny import tiny_model, tiny_question_tokenizer, tiny_tokenizer
from train.runs import assert_same, entries, weights

calls: list[str] = []


def odd(answer: str, sample: Sample) -> float:
    """A reward with spread, of answers that know nothing."""
    return float(len(answer) % 2)


def breaking(answer: str, sample: Sample) -> float:
    calls.append(answer)
    if len(calls) == 18:  # in the third step
        raise ZeroDivisionError("of nothing")
    return odd(answer, sample)


def recipe(reward: dict[str, float], grpo: dict[str, Any], **changes: Any) -> dict[str, Any]:
    return {
        "stage": "grpo",
        "model": "tiny",
        "data": [{"path": "synthetic", "samples": 12}],
        "learning_rate": 1e-2,
        "warmup": 0,
        "steps": 4,
        "batch": 4,
        "accumulation": 2,
        "precision": "float32",
        "save_steps": 2,
        "log_steps": 1,
        "grpo": {"reward": reward, "tokens": 3, "beta": 0, **grpo},
        **changes,
    }


def run(output: Path, content: dict[str, Any]) -> list[str]:
    said: list[str] = []
    train(build(TrainingRecipe, content), output, resume=True, tell=said.append)
    return said


ODD = {f"{__name__}:odd": 1.0}
NOISY = recipe(ODD, {"noise": {"levels": [0, 0.5]}})


def test_a_run_that_was_stopped_ends_as_the_whole_one_and_answers(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    whole, broken = tmp_path / "whole", tmp_path / "broken"
    evaluation = {"data": [{"path": "synthetic", "samples": 2}], "steps": 4}
    content = {**NOISY, "evaluation": evaluation}
    run(whole, content)
    started = tiny_mova()[0].state_dict()
    changed = {n for n, tensor in weights(whole).items() if not torch.equal(tensor, started[n])}
    assert changed and all(n.startswith(("model.language_model", "lm_head")) for n in changed)

    original = RewardLoop.on_log

    def on_log(self: RewardLoop, *args: Any, **kwargs: Any) -> None:
        original(self, *args, **kwargs)
        self.interrupt.requested = self.step == 2

    with monkeypatch.context() as patched, pytest.raises(KeyboardInterrupt):
        patched.setattr(RewardLoop, "on_log", on_log)
        run(broken, content)
    (broken / "checkpoint-3" / "whole.json").unlink()  # torn
    assert "going on from checkpoint-2" in run(broken, content)
    assert_same(whole, broken)
    assert [e["step"] for e in entries(broken)] == [1, 2, 3, 4, 4]

    held_out, last = entries(whole)[-2:]
    assert "eval_exact" in held_out
    assert {"reward_at_noise/0", "reward_at_noise/0.5", "length/tokens"} <= last.keys()
    assert 0 < last["groups/weight_of_the_noise"] < 1
    assert (whole / "noise.png").is_file()
    assert Mova.from_pretrained(whole / "final").ask(Image.new("RGB", (20, 20)), "What?")


def test_answers_are_sampled_under_noise_and_scored_on_the_clean_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Under one routing a group, which is that of the clean picture."""
    encoded: list[tuple[torch.Tensor, list[list[bool]], torch.Tensor]] = []
    sampled: list[torch.Tensor] = []
    scored: list[torch.Tensor] = []
    generate, tokens = TwoPassGeneration.generate, MovaVision.image_tokens
    forward = MovaModel.forward

    def noted_generate(self: Any, *args: Any, **kwargs: Any) -> Any:
        sampled.append(kwargs["image_tokens"])
        return generate(self, *args, **kwargs)

    def noted_tokens(self: Any, *args: Any, **kwargs: Any) -> Any:
        found = tokens(self, *args, **kwargs)
        encoded.append((kwargs["pixel_values"], kwargs["routing"].tolist(), found[0]))
        return found

    def noted_forward(self: Any, *args: Any, **kwargs: Any) -> Any:
        if torch.is_grad_enabled():
            scored.append(kwargs["image_tokens"])
        return forward(self, *args, **kwargs)

    def find_routing(self: Any, visual: Any, ids: Any, base_map: Any) -> torch.Tensor:
        return torch.tensor([[True, False, True], [False, True, False]])

    monkeypatch.setattr(TwoPassGeneration, "generate", noted_generate)
    monkeypatch.setattr(TwoPassGeneration, "find_routing", find_routing)
    monkeypatch.setattr(MovaVision, "image_tokens", noted_tokens)
    monkeypatch.setattr(MovaModel, "forward", noted_forward)
    run(tmp_path, {**NOISY, "steps": 1})
    (pixels, routing, clean), (noisy_pixels, noisy_routing, noisy) = encoded  # once each
    one, two = [True, False, True], [False, True, False]
    assert (routing, noisy_routing) == ([one, two], [one, one, two, two])
    assert not torch.equal(noisy_pixels[0], noisy_pixels[1])
    assert not torch.equal(noisy_pixels[0], pixels[0])
    (seen,) = sampled
    assert torch.equal(seen[::2], clean.repeat_interleave(2, dim=0))  # level 0
    assert torch.equal(seen[1::2], noisy)
    for row in torch.cat(scored):
        assert any(torch.equal(row, one_clean) for one_clean in clean)
    assert len(torch.cat(scored)) == 8


def test_probabilities_are_those_of_trl_though_the_prompt_is_not_scored(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    content = recipe(ODD, {}, steps=2)
    rows: list[int] = []
    fused = chunked_logprob.ChunkedLogProbFunction
    original = fused.apply
    monkeypatch.setattr(
        fused, "apply", lambda states, *args: rows.append(len(states)) or original(states, *args)
    )
    run(tmp_path / "ours", content)
    short, rows = list(rows), []
    monkeypatch.setattr(grpo, "scoring_labels_only", lambda model: nullcontext())
    run(tmp_path / "whole", content)
    assert max(short) <= 4 * 3 < min(rows)
    ours, whole = weights(tmp_path / "ours"), weights(tmp_path / "whole")
    started = tiny_model().state_dict()
    assert any(not torch.equal(tensor, started[name]) for name, tensor in ours.items())
    for name, tensor in whole.items():
        torch.testing.assert_close(ours[name], tensor, rtol=0, atol=1e-5)


@pytest.mark.parametrize("reward", [ODD, {"exact": 1, "expert": 0.1}], ids=["answer", "routing"])
def test_the_reference_is_the_start_and_sees_the_same(
    tmp_path: Path, reward: dict[str, float]
) -> None:
    save_model(*tiny_mova(), tmp_path / "start")
    content = recipe(reward, {"beta": 0.1}, model=str(tmp_path / "start"), steps=1)
    run(tmp_path / "run", content)
    assert entries(tmp_path / "run")[0]["kl/from_the_start"] == pytest.approx(0, abs=1e-6)


def test_a_dry_run_is_refused() -> None:
    with pytest.raises(UserError, match="the stage grpo samples its own"):
        estimate(build(TrainingRecipe, NOISY))


def test_rows_with_and_without_picture(tmp_path: Path) -> None:
    Image.new("RGB", (20, 30), "red").save(tmp_path / "red.png")
    turns = [{"from": "human", "value": "What?"}, {"from": "gpt", "value": "red"}]
    write_lines(
        tmp_path / "d.jsonl",
        [{"conversations": turns, "image": "red.png"}, {"conversations": turns}],
    )
    data = [{"path": str(tmp_path / "d.jsonl")}]
    run(tmp_path / "run", {**NOISY, "data": data, "steps": 1})
    assert entries(tmp_path / "run")[0]["grad_norm"] > 0


def test_a_reward_that_raises_leaves_the_state_before_it(tmp_path: Path) -> None:
    calls.clear()
    content = recipe({f"{__name__}:breaking": 1}, {}, save_steps=10)
    with pytest.raises(UserError, match=r"breaking failed on .*: of nothing; the state before it"):
        run(tmp_path, content)
    assert "going on from checkpoint-2" in run(tmp_path, content)
    assert [e["step"] for e in entries(tmp_path)] == [1, 2, 3, 4]


def test_what_can_t_be_trained_on_is_told_before(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_lines(tmp_path / "d.jsonl", [{"messages": [{"role": "user", "content": "What?"}]}])
    open_data = recipe(ODD, {}, data=[{"path": str(tmp_path / "d.jsonl")}])
    with pytest.raises(UserError, match=r"no sample of .*d.jsonl can be used .*there is no answer"):
        run(tmp_path / "a", open_data)
    with pytest.raises(UserError, match="beta above 0 reads the start a second time"):
        run(tmp_path / "b", recipe(ODD, {"beta": 0.1}))
    with pytest.raises(UserError, match="unknown reward, 'exakt'"):
        run(tmp_path / "c", recipe({"exakt": 1}, {}))
    model, processor = tiny_mova()
    processor.chat_template = None
    monkeypatch.setattr(preparation, "load_start", lambda recipe: (model, processor))
    with pytest.raises(UserError, match="no chat template"):
        run(tmp_path / "d", recipe(ODD, {}))


@pytest.fixture
def letters(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """A model of a few words, of which three are letters of experts."""

    def start(recipe: Any) -> Any:
        model, tokenizer = tiny_model(), tiny_tokenizer()
        model.tokenizer = tokenizer
        questions = tiny_question_tokenizer()
        return model, MovaProcessor.from_config(model.config, tokenizer, questions, max_side=32)

    monkeypatch.setattr(preparation, "load_start", start)
    yield


@pytest.mark.usefixtures("letters")
def test_a_router_learns_which_expert_is_worth_its_price(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Answers are right where the second expert is there, and no other helps."""
    answers: list[int] = []

    def answer(self: RoutingTrainer, prompts: Any, chosen: torch.Tensor) -> list[str]:
        answers.append(len(prompts))
        return ["yes" if row[1] else "no" for row in chosen]

    def right(answer: str, sample: Sample) -> float:
        return float(answer == "yes")

    monkeypatch.setattr(RoutingTrainer, "_answers", answer)
    monkeypatch.setattr("openmova.train.rewards.REWARDS", {"exact": right})
    content = recipe(
        {"exact": 1, "expert": 0.2},
        {"generations": 8},
        batch=16,
        accumulation=1,
        steps=30,
        learning_rate=3e-2,
        save_steps=30,
        lora={"rank": 4},
    )
    run(tmp_path, content)
    log = entries(tmp_path)
    assert answers == [16] * 30

    def mean(name: str, part: list[dict[str, Any]]) -> float:
        return sum(entry[name] for entry in part) / len(part)

    first, last = log[:5], log[-5:]
    assert mean("reward/all", last) > mean("reward/all", first) + 0.3
    assert mean("experts_a_question/two", last) > 0.8
    assert mean("experts_a_question/all", last) < mean("experts_a_question/two", last) + 0.3
    started = tiny_model().state_dict()
    changed = {
        name
        for name, tensor in weights(tmp_path).items()
        if name not in started or not torch.equal(tensor, started[name])
    }
    assert changed and all(name.startswith("model.router_lora.") for name in changed)


@pytest.mark.usefixtures("letters")
def test_a_prompt_is_read_once_for_all_its_routings(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    rows: list[int] = []
    score = AnswerTrainer._get_per_token_logps_and_entropies

    def noted(self: AnswerTrainer, model: Any, ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        rows.append(len(ids))
        return score(self, model, ids, *args, **kwargs)

    def each(self: AnswerTrainer, model: Any, *args: Any, **kwargs: Any) -> Any:
        with grpo.letters_only(model):
            return score(self, model, *args, **kwargs)

    monkeypatch.setattr(AnswerTrainer, "_get_per_token_logps_and_entropies", noted)
    content = recipe(
        {"exact": 1, "expert": 0.1}, {"generations": 8}, batch=16, steps=2, lora={"rank": 4}
    )
    run(tmp_path / "once", content)
    assert max(rows) <= 4
    monkeypatch.setattr(RoutingTrainer, "_get_per_token_logps_and_entropies", each)
    run(tmp_path / "each", content)
    once, every = (weights(tmp_path / name) for name in ("once", "each"))
    for name, tensor in every.items():
        torch.testing.assert_close(once[name], tensor, rtol=0, atol=1e-5)


def test_a_routing_counts_alike_however_often_it_was_sampled() -> None:
    """None of three experts is right once, the first alone three times, with the second four."""
    one, two, none = [True, False, False], [True, True, False], [False] * 3
    chosen = torch.tensor([one] * 3 + [two] * 4 + [none])
    rewards = torch.tensor([0.9] * 3 + [0.8] * 4 + [0.0])
    found = grpo.routing_advantages(rewards.repeat(2), chosen.repeat(2, 1), 8)
    mean = (0.9 + 0.8 + 0.0) / 3
    sums = [found[:3].sum(), found[3:7].sum(), found[7]]
    for value, reward in zip(sums, (0.9, 0.8, 0.0), strict=True):
        assert float(value) == pytest.approx(8 / 3 * (reward - mean), abs=1e-5)
    torch.testing.assert_close(found[:8], found[8:])
    alone = grpo.routing_advantages(torch.full((8,), 0.7), chosen[:1].repeat(8, 1), 8)
    torch.testing.assert_close(alone, torch.zeros(8))


@pytest.mark.parametrize("reward", [ODD, {"exact": 1, "expert": 0.1}], ids=["answer", "routing"])
def test_of_equal_prompts_one_is_read_and_the_same_is_sampled(
    reward: dict[str, float], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    read: list[int] = []
    forward = MovaModel.forward

    def noted(self: MovaModel, input_ids: torch.Tensor, *args: Any, **kwargs: Any) -> Any:
        if kwargs.get("use_cache") and input_ids.shape[1] > 1 and len(input_ids) % 4 == 0:
            read.append(len(input_ids))
        return forward(self, input_ids, *args, **kwargs)

    monkeypatch.setattr(MovaModel, "forward", noted)
    content = recipe(reward, {"generations": 4}, batch=16, accumulation=1, steps=1)
    run(tmp_path / "once", content)
    once, read[:] = list(read), []
    monkeypatch.setattr(grpo, "reading_once", lambda model, group: nullcontext())
    run(tmp_path / "each", content)
    assert once[-1] == 4 and read[-1] == 16
    logs = [entries(tmp_path / name)[0] for name in ("once", "each")]
    assert logs[0]["reward/all"] == logs[1]["reward/all"]
    assert logs[0]["length/tokens"] == logs[1]["length/tokens"]


@pytest.mark.usefixtures("letters")
def test_at_any_temperature_the_router_says_letters(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said: list[str] = []
    monkeypatch.setattr(
        "openmova.train.grpo.parse_routing", lambda text, letters: said.append(text) or {0}
    )
    run(tmp_path, recipe({"exact": 1, "expert": 0.1}, {"temperature": 50.0}, steps=2))
    assert len(set(said)) > 1
    assert set("".join(said)) <= set("ABC, none")


def test_each_routing_of_a_group_is_answered_once_greedily(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    routings: list[tuple[bool, ...]] = []
    sampled: list[bool] = []
    encode, generate = TwoPassGeneration.encode_images, TwoPassGeneration.generate

    def encoded(self: Any, *args: Any, selections: Any, **kwargs: Any) -> Any:
        routings.extend(selection.fixed for selection in selections)
        return encode(self, *args, selections=selections, **kwargs)

    def generated(self: Any, *args: Any, **kwargs: Any) -> Any:
        if "pooled" not in kwargs:
            sampled.append(kwargs["do_sample"])
        return generate(self, *args, **kwargs)

    monkeypatch.setattr(TwoPassGeneration, "encode_images", encoded)
    monkeypatch.setattr(TwoPassGeneration, "generate", generated)
    monkeypatch.setattr(
        "openmova.train.grpo.parse_routing", lambda text, letters: {len(text) % 2, 1}
    )
    run(tmp_path, recipe({"exact": 1, "expert": 0.1}, {}, steps=1))
    assert sampled == [False]
    one, two = (True, True, False), (False, True, False)
    assert 2 <= len(routings) <= 4 and all(routing in (one, two) for routing in routings)
    log = entries(tmp_path)[0]
    assert log["experts_a_question/all"] == pytest.approx(log["reward/expert"])
    assert log["reward/all"] == pytest.approx(log["reward/exact"] - 0.1 * log["reward/expert"])
