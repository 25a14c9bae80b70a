"""A recipe is read strictly: what it can't mean is told at once, with the nearest name."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from openmova.errors import UserError
from openmova.runtime.yaml_config import build
from openmova.train.training_recipe import TrainingRecipe, load_recipe

SMOKE = Path(__file__).parents[2] / "recipes" / "smoke.yaml"
LEAST = {
    "stage": "finetune",
    "model": "tiny",
    "data": [{"path": "synthetic", "samples": 4}],
    "learning_rate": 1e-3,
}


def test_the_resolved_recipe_reads_as_itself() -> None:
    recipe = load_recipe(SMOKE)
    assert build(TrainingRecipe, yaml.safe_load(yaml.safe_dump(recipe.to_dict()))) == recipe


def test_an_override_reaches_into_lists_and_mappings() -> None:
    changes = ["stage=pretrain", "data.0.weight=2", "learning_rates.base=1e-5", "experts=[text]"]
    recipe = load_recipe(SMOKE, changes)
    assert recipe.stage == "pretrain"
    assert recipe.data[0].weight == 2.0
    assert recipe.learning_rates == {"base": 1e-5}
    assert recipe.experts == ("text",)


@pytest.mark.parametrize("size", ["7b", "8b", "34b"])
def test_the_paper_s_stages_are_recipes_with_its_rates(size: str) -> None:
    stages = ("pretrain", "finetune")
    pretrain, finetune = (load_recipe(SMOKE.with_name(f"{size}-{stage}.yaml")) for stage in stages)
    assert (pretrain.stage, pretrain.learning_rate, pretrain.epochs) == ("pretrain", 2e-4, 1)
    assert (finetune.stage, finetune.learning_rate, finetune.epochs) == ("finetune", 2e-5, 1)
    assert finetune.model == f"runs/{size}-pretrain/final"
    assert any("routing" in source.path for source in finetune.data)


@pytest.mark.parametrize("name", ["8b-lora", "8b-qlora", "8b-router-lora", "8b-probe"])
def test_the_other_recipes_can_be_read_and_changed(name: str) -> None:
    recipe = load_recipe(SMOKE.with_name(f"{name}.yaml"), ["experts=[text]"])
    assert recipe.experts == ("text",)
    assert recipe.stage in name.replace("qlora", "lora")


def test_recipes_of_learning_by_reward() -> None:
    answers = load_recipe(SMOKE.with_name("nano-grpo.yaml"))
    assert answers.grpo is not None and answers.grpo.noise is not None
    assert not answers.learns_routing
    assert build(TrainingRecipe, yaml.safe_load(yaml.safe_dump(answers.to_dict()))) == answers
    assert load_recipe(SMOKE.with_name("nano-routing-reward.yaml")).learns_routing


@pytest.mark.parametrize(
    ("grpo", "change", "message"),
    [
        ({"reward": {}}, {}, "grpo.reward must name at least one reward"),
        ({"generations": 1}, {}, "grpo.generations must be 2 or more"),
        ({"generations": 3}, {}, r"is 8 answers, and grpo.generations \(3\) does not divide it"),
        ({"noise": {"levels": []}}, {}, "grpo.noise.levels must name at least one level"),
        ({"noise": {"levels": [0, 2]}}, {}, "grpo.noise.levels.1 must be from 0 to 1"),
        ({"noise": {"levels": [0, 0.2, 0.4]}}, {}, "let it be a multiple"),
        ({"reward": {"expert": 0.1}}, {}, "name a reward beside it"),
        ({"reward": {"exact": 1, "expert": 0.1}, "noise": {}}, {}, "without visual and grpo.noise"),
        ({}, {"experts": "all", "max_tokens": 9}, "the stage grpo has no experts, max_tokens"),
        ({}, {"lora": {"rank": 4}}, "the stage grpo has no lora"),
        ({}, {"learning_rates": {"language_model": 1e-3}}, "has no learning_rates"),
        (None, {}, "needs what its answers are worth"),
        ({}, {"stage": "finetune"}, "no other stage has that"),
    ],
)
def test_what_learning_by_reward_can_t_mean_is_refused(
    grpo: dict[str, object] | None, change: dict[str, object], message: str
) -> None:
    given = None if grpo is None else {"reward": {"exact": 1}, **grpo}
    with pytest.raises(UserError, match=message):
        build(TrainingRecipe, {**LEAST, "stage": "grpo", "grpo": given, **change})


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"lerning_rate": 1}, "unknown key, 'lerning_rate': did you mean learning_rate"),
        ({"data": [{"path": "x", "wieght": 2}]}, "'data.0.wieght': did you mean weight"),
        ({"data": [{"weight": 2}]}, "lacks data.0.path"),
        ({"data": []}, "data must name at least one source"),
        ({"data": "x.json"}, "data can't be 'x.json': give a list"),
        ({"stage": "pretrian"}, "did you mean pretrain"),
        ({"stage": None}, "lacks stage"),
        ({"batch": "many"}, "batch can't be 'many': give a whole number"),
        ({"batch": 0}, "batch must be 1 or more"),
        ({"steps": 0}, "steps must be 1 or more"),
        ({"sharding": "fdsp"}, "did you mean fsdp"),
        ({"sharding": "fsdp", "deepspeed": "x.json"}, "both sharding and deepspeed"),
        ({"warmup": 1}, "warmup must be below 1"),
        ({"learning_rate": 0}, "learning_rate must be above 0"),
        ({"learning_rate": "nan"}, "learning_rate must be above 0"),
        ({"learning_rate": True}, "learning_rate can't be True"),
        ({"learning_rates": {"bass": 1e-3}}, "did you mean base"),
        (
            {"stage": "pretrain", "learning_rates": {"language_model": 1e-3}},
            "in the stage pretrain",
        ),
        ({"experts": "anotated"}, "did you mean annotated"),
        ({"unannotated": "some"}, "unknown unannotated, 'some'"),
        ({"stage": "lora", "lora": {"quantize": "4bits"}}, "did you mean 4bit"),
        ({"lora": {"quantize": "4bit"}}, "is for the stage lora"),
        ({"stage": "lora", "lora": {"quantize": "4bit"}, "sharding": "fsdp"}, "can't be split"),
        ({"dependency": 1}, "dependency must be from 0 to below 1"),
        ({"random_experts": 1.5}, "random_experts must be from 0 to 1"),
        ({"gradient_checkpointing": 1}, "give true or false"),
        ({"report": ["tensorbord"]}, r"unknown report.0, 'tensorbord': did you mean tensorboard"),
        ({"evaluation": {"data": [{"path": "x"}], "steps": 0}}, "evaluation.steps must be 1 or"),
        ({"evaluation": {"data": [{"path": "x"}], "stepz": 1}}, "'evaluation.stepz': did you mean"),
        ({"evaluation": {"data": []}}, "evaluation.data must name at least one source"),
    ],
)
def test_what_can_t_be_meant_is_refused(change: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message):
        build(TrainingRecipe, {**LEAST, **change})


@pytest.mark.parametrize(
    ("text", "overrides", "message"),
    [
        (None, [], "there is no recipe"),
        ("a: [", [], "can't be read"),
        ("3", [], "no keys"),
        ("stage: finetun", [], "did you mean finetune"),  # before what is missing
        (SMOKE.read_text(), ["steps"], "write key=value"),
        (SMOKE.read_text(), ["data.7.weight=2"], "fits no place"),
        (SMOKE.read_text(), ["stage.x=2"], "fits no place"),
        (SMOKE.read_text(), ["stpes=3"], "did you mean steps"),
    ],
)
def test_a_file_that_is_no_recipe_and_overrides_that_fit_nowhere_are_refused(
    tmp_path: Path, text: str | None, overrides: list[str], message: str
) -> None:
    path = tmp_path / "mine.yaml"
    if text is not None:
        path.write_text(text)
    with pytest.raises(UserError, match=message):
        load_recipe(path, overrides)
