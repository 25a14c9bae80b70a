"""The stage teach: names in the object expert, a router that learns where it must, and figures."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from PIL import Image
from safetensors.torch import load_file

from checkpoints import public
from commands import mistake, output, run
from openmova import Mova
from openmova.inference.answer import Answer
from openmova.train import teach
from tiny import pictures

RECIPE = Path(__file__).parents[2] / "recipes" / "nano-teach.yaml"
COLOURS = {"red": (220, 30, 30), "blue": (30, 30, 220)}


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return public.save_tiny_mova_with_names(tmp_path_factory.mktemp("models") / "object")


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("data")
    for name, colour in COLOURS.items():
        (folder / "classes" / name).mkdir(parents=True)
        for number, noise in enumerate(pictures(10)):
            plain = Image.new("RGB", (40, 32), colour)
            Image.blend(plain, noise.resize((40, 32)), 0.2).save(
                folder / "classes" / name / f"{number}.png"
            )
    output("data", "from", folder / "classes", "--output", folder / "mine.json")
    return folder / "mine.json"


@pytest.fixture(autouse=True)
def few_other_questions(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(teach, "OTHER_QUESTIONS", teach.OTHER_QUESTIONS[:3])
    examples = teach._examples()[:3]
    monkeypatch.setattr(teach, "_examples", lambda: examples)


def command(model: Path, data: Path, target: Path, *more: str) -> tuple[object, ...]:
    return ("train", RECIPE, f"model={model}", f"data={data}", "steps=2", *more, "-o", target)


def test_the_names_and_the_router_are_learned(model: Path, data: Path, tmp_path: Path) -> None:
    result = run(*command(model, data, tmp_path / "run"))
    assert result.exit_code == 0, result.stderr
    assert "the router learns" in result.stderr and "2 names in " in result.stderr
    found = json.loads((tmp_path / "run" / "teach.json").read_text())
    assert found["learned"] == {"blue": 8, "red": 8}
    assert found["before"]["held-out questions"] == 4 and found["examples"]["questions"] == 3
    final = tmp_path / "run" / "final"
    assert sorted(path.name for path in (tmp_path / "run").iterdir() if path.is_dir()) == ["final"]
    before, after = (load_file(folder / "model.safetensors") for folder in (model, final))
    assert all(".router_lora." in name for name in after.keys() - before.keys())
    assert all(torch.equal(after[name], tensor) for name, tensor in before.items())
    mova = Mova.from_pretrained(final, device="cpu")
    expert = mova.model.model.experts.get(2)
    assert mova.model.config.experts[2]["own_names"] == ["blue", "red"]
    for name, colour in COLOURS.items():
        inputs = mova.processor.image_processor(Image.new("RGB", (40, 32), colour))
        with torch.no_grad():
            view = expert.view(inputs["pixel_values"], inputs["image_sizes"])
            assert expert.texts(view)[0].startswith(f"{name} ")
    assert "nothing to do" in run(*command(model, data, tmp_path / "run"), "--resume").stderr
    assert "holds a run already" in mistake(*command(model, data, tmp_path / "run"))


def test_a_router_that_asks_the_expert_anyway_stays(
    model: Path, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def ask(self: Mova, image: object, question: str, **limits: int) -> Answer:
        (answer,) = Mova.ask_batch(self, [(image, question)], experts="object", **limits)  # type: ignore[list-item, arg-type]
        return answer

    monkeypatch.setattr(Mova, "ask", ask)
    result = run(*command(model, data, tmp_path / "run"))
    assert result.exit_code == 0, result.stderr
    assert "the router learns" not in result.stderr
    before, after = (
        load_file(folder / "model.safetensors") for folder in (model, tmp_path / "run" / "final")
    )
    assert before.keys() == after.keys()
    assert (
        json.loads((tmp_path / "run" / "teach.json").read_text())["after"]["reach the expert"] == 4
    )


def test_what_can_not_be_learned_so(model: Path, data: Path, tmp_path: Path) -> None:
    target = tmp_path / "run"
    assert "no expert of the kind object" in mistake(*command(Path("tiny"), data, target))
    few = (tmp_path / "few.csv", tmp_path / "two.csv")
    picture = data.parent / "classes/red/0.png"
    few[0].write_text(f"image,question,answer\n{picture},Which?,A\n")
    few[1].write_text(f"image,question,answer\n{picture},Which?,A\n{picture},Good?,yes\n")
    for table, words in zip(few, ("fewer than 5 pictures", "has two answers"), strict=True):
        file = table.with_suffix(".json")
        output("data", "from", table, "--output", file)
        assert words in mistake(*command(model, file, target))
