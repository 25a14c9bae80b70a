"""The stage teach: the object expert learns names of a few pictures each, then the router that
questions about them are for it.

Nothing else learns. Of a picture that has none of the names the expert says what it said, so the
answers about it stay to the bit, unless the router had to learn: that it does in its LoRA, beside
questions of other kinds whose routing is to stay as it is. Every fifth picture of a name is held
out, and asked about before and after.
"""

from __future__ import annotations

import json
import shutil
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from itertools import cycle
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from tqdm import tqdm

from openmova.data.bad_samples import BadSample
from openmova.data.descriptions import PoolDescriptions
from openmova.data.records import write_llava
from openmova.data.routing_instructions import routing_sample
from openmova.data.sample import Sample, Turn
from openmova.errors import UserError
from openmova.experts.object import ObjectExpert
from openmova.experts.registry import expert_class
from openmova.inference.answer import Answer, matches
from openmova.inference.mova import Mova
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.routing.augment import UNCHANGED
from openmova.runtime.assets import EXAMPLES, asset_folder
from openmova.runtime.files import new_folder, write_text
from openmova.train.language_lora import LoraSettings
from openmova.train.preparation import load_start, open_all, processes
from openmova.train.progress import Tell
from openmova.train.run_folder import RunFolder
from openmova.train.training import save_model, train
from openmova.train.training_recipe import DataSource, TrainingRecipe

HELD_OUT = 5
"""Every so many-th picture of a name is held out."""
LONGEST = 32
"""Tokens of an answer."""
ROUTER = "router"
"""In the run's folder, while the router learns."""
OTHER_QUESTIONS = (
    "What kind of image is this?",
    "Is this a photo or a drawing?",
    "Is it a photo, a chart or a page?",
    "How many people are there?",
    "How many cars can you see?",
    "Is there a dog in the picture?",
    "Is there a chair?",
    "Where is the person?",
    "Is the car on the left or on the right?",
    "What does the sign say?",
    "What is written here?",
    "Read the text.",
    "What is the date?",
    "What is the total?",
    "Who wrote this letter?",
    "What is the title of the page?",
    "What is the heading of this page?",
    "What does the caption under the figure say?",
    "Is there a table on the page?",
    "How many figures are on this page?",
    "Where on the page is the table?",
    "What is in the first row of the table?",
    "What is the price of the second item?",
    "Which bar is the tallest?",
    "What is the value in 2010?",
    "What is on the vertical axis?",
    "What kind of chart is this?",
    "In which month was it lowest?",
    "Which slice is the largest?",
    "What animal is this?",
    "What is the person holding?",
    "What is to the left of the person?",
)
"""Of all kinds that nano knows, so that their routing stays."""


Questions = Sequence[tuple[Any, str]]
"""Pictures, each with a question."""


def teach(
    recipe: TrainingRecipe, folder: RunFolder, *, resume: bool, tell: Tell, bar: bool
) -> Path:
    """Run a recipe of this stage, or go on with it; returns the folder of the trained model.

    The figures are told, and kept in the run's teach.json. Raises UserError as `train` does.
    """
    if processes() > 1:
        raise UserError("the stage teach takes a single process: start it without torchrun")
    begun = time.monotonic()
    names = _by_name(recipe)
    folder.begin(recipe.to_dict(), resume=resume)
    if folder.final.exists():
        tell(f"{folder.final} is there: nothing to do")
        return folder.final
    if not resume:
        shutil.rmtree(folder.path / ROUTER, ignore_errors=True)
    held_out = [sample for own in names.values() for sample in _split(own)[1]]
    questions = [(sample.image, sample.question) for sample in held_out]
    model, processor = load_start(recipe)
    asking = Asking(Mova(model, processor), tell, bar=bar)
    expert = _object_expert(model)
    before = _check(asking.ask("held-out", questions, max_new_tokens=LONGEST), held_out, expert)
    learned = {name: _split(own)[0] for name, own in names.items()}
    lost = _teach_expert(asking, expert, learned)
    if before["reach the expert"] == len(held_out):
        with folder.writing(), new_folder(folder.final) as unfinished:
            save_model(model, processor, unfinished)
    else:
        tell(f"some of these questions do not reach the expert {expert}: the router learns, too")
        examples = _examples()
        routes = asking.routes("example", examples)
        _teach_router(asking, expert, learned, recipe, folder)
        asking = Asking(Mova.from_pretrained(folder.final), tell, bar=bar)
        now = asking.routes("example", examples)
        lost["questions"] = len(examples)
        lost["routed otherwise"] = sum(a != b for a, b in zip(routes, now, strict=True))
    found: dict[str, Any] = {
        "learned": {name: len(own) for name, own in learned.items()},
        "before": before,
        "after": _check(
            asking.ask("held-out", questions, max_new_tokens=LONGEST), held_out, expert
        ),
        "examples": lost,
        "minutes": round((time.monotonic() - begun) / 60, 1),
    }
    write_text(folder.path / "teach.json", json.dumps(found, indent=1))
    for what in ("before", "after", "examples"):
        tell(f"{what}: {', '.join(f'{count} {of}' for of, count in found[what].items())}")
    tell(f"{folder.final}: {len(names)} names in {found['minutes']} minutes")
    return folder.final


def _teach_expert(
    asking: Asking, name: str, learned: Mapping[str, Sequence[Sample]]
) -> dict[str, int]:
    """The names of annotated pictures; returns how many of the examples' get one by mistake."""
    config, pool = asking.mova.model.config, asking.mova.model.model.experts
    place = config.expert_names.index(name)
    expert: Any = pool.get(place)
    pictures = [sample.image for own in learned.values() for sample in own]
    others = sorted({image for image, _ in _examples()})
    seen = asking.look(expert, [*pictures, *others])
    *of_names, of_others = seen.split([*map(len, learned.values()), len(others)])
    expert.teach(dict(zip(learned, of_names, strict=True)), of_others)
    for spec in (config.experts[place], pool.specs[place]):
        spec["own_names"] = list(learned)
    return {
        "pictures": len(others),
        "misnamed": sum(map(bool, expert.class_means.texts(of_others))),
    }


class Asking:
    """A model that is asked one question after the other; it is told how far that is."""

    def __init__(self, mova: Mova, tell: Tell, *, bar: bool) -> None:
        self.mova = mova
        self.tell = tell
        self.bar = bar

    @torch.no_grad()
    def look(self, expert: ObjectExpert, images: Sequence[Any]) -> Tensor:
        """Hidden features [B, D] of pictures."""

        def of(image: Any) -> Tensor:
            inputs = self.mova.processor.image_processor(image, return_tensors="pt")
            inputs = inputs.to(self.mova.model.device)
            return expert.look(inputs["pixel_values"], inputs["image_sizes"]).float()

        return torch.cat(self._each(f"looking at {len(images)} pictures", of, images))

    def ask(self, which: str, questions: Questions, **limits: Any) -> list[Answer]:
        def answer(question: tuple[Any, str]) -> Answer:
            image, text = question
            return self.mova.ask(image, text, **limits)

        return self._each(f"asking {len(questions)} {which} questions", answer, questions)

    def routes(self, which: str, questions: Questions) -> list[tuple[str, ...]]:
        """The experts that the router names; none of them runs."""
        asked = self.ask(which, questions, max_experts=0, max_new_tokens=1)
        return [answer.routing.left_out for answer in asked]

    def _each(self, what: str, do: Callable[[Any], Any], things: Sequence[Any]) -> list[Any]:
        self.tell(what)
        shown = tqdm(things, dynamic_ncols=True, disable=not self.bar)
        return [do(thing) for thing in shown]


def _by_name(recipe: TrainingRecipe) -> dict[str, list[Sample]]:
    """The samples of each answer, their pictures not yet read. Raises UserError for what can't be
    learned so."""
    names: dict[str, list[Sample]] = {}
    answers: dict[str, str] = {}
    sources = [source.samples for source in open_all(recipe.data, recipe.seed)]
    for sample in (samples.get(index) for samples in sources for index in range(len(samples))):
        if isinstance(sample, BadSample):
            raise UserError(f"{sample.id} of {sample.source} is bad: {sample}")
        if sample.image is None or len(sample.turns) > 2:
            raise UserError(f"{sample.id} is no single question about a picture: remove it")
        name, picture = sample.solution, str(sample.image)
        if answers.setdefault(picture, name) != name:
            raise UserError(
                f"{sample.id} has two answers, {answers[picture]!r} and {name!r}: the stage teach "
                "learns one name for a picture; teach other questions apart"
            )
        names.setdefault(name, []).append(sample)
    if few := [name for name, own in names.items() if not _split(own)[1]]:
        raise UserError(
            f"{len(few)} of {len(names)} answers have fewer than {HELD_OUT} pictures, such as "
            f"{few[0]!r}: the stage teach learns names that several pictures share"
        )
    return names


def _split(own: Sequence[Sample]) -> tuple[list[Sample], list[Sample]]:
    """The samples of a name to learn from, and those held out, by their pictures."""
    pictures = list(dict.fromkeys(str(sample.image) for sample in own))
    held_out = pictures[HELD_OUT - 1 :: HELD_OUT]
    kept = [sample for sample in own if str(sample.image) not in held_out]
    return kept, [sample for sample in own if str(sample.image) in held_out]


def _object_expert(model: MovaForConditionalGeneration) -> str:
    for name, spec in zip(model.config.expert_names, model.config.experts, strict=True):
        if issubclass(expert_class(spec["kind"]), ObjectExpert):
            return name
    raise UserError(
        "the model has no expert of the kind object, which learns the names: take nano, or another "
        "stage"
    )


def _examples() -> list[tuple[Path, str]]:
    folder = asset_folder(EXAMPLES)
    entries = json.loads((folder / "questions.json").read_text(encoding="utf-8"))
    return [(folder / entry["image"], entry["question"]) for entry in entries]


def _check(answers: Sequence[Answer], samples: Sequence[Sample], expert: str) -> dict[str, int]:
    pairs = zip(answers, samples, strict=True)
    return {
        "held-out questions": len(samples),
        "answered rightly": sum(matches(answer.text, s.solution) for answer, s in pairs),
        "reach the expert": sum(expert in answer.routing.experts for answer in answers),
    }


def _others(asking: Asking, pictures: Sequence[Any]) -> list[Sample]:
    """Other questions about these pictures, with the experts that the router names for them."""
    questions = list(zip(cycle(pictures), OTHER_QUESTIONS, strict=False))
    named = asking.routes("other", questions)
    return [
        Sample(
            id=f"other-{number}",
            image=image,
            turns=(Turn(role="user", text=text), Turn(role="assistant", text="-")),
            experts=experts,
        )
        for number, ((image, text), experts) in enumerate(zip(questions, named, strict=True))
    ]


def _teach_router(
    asking: Asking,
    expert: str,
    learned: Mapping[str, Sequence[Sample]],
    recipe: TrainingRecipe,
    folder: RunFolder,
) -> None:
    """That these questions are for the expert, and others for those that they are for now.

    In a run of its own in the folder, whose model becomes the final one.
    """
    mova, work = asking.mova, folder.path / ROUTER
    samples = [replace(s, experts=(expert,)) for own in learned.values() for s in own]
    samples += _others(asking, [sample.image for sample in samples])
    pool = PoolDescriptions.of_model(mova.model.config)
    instructions = [
        routing_sample(sample, pool, seed=0, index=0, augmentation=UNCHANGED) for sample in samples
    ]
    write_llava(instructions, work / "routing.json")
    taught = work / "taught"
    if not taught.exists():
        with folder.writing(), new_folder(taught) as unfinished:
            save_model(mova.model, mova.processor, unfinished)
    lora = mova.model.config.routing.lora
    of_router = replace(
        recipe,
        stage="router-lora",
        model=str(taught),
        data=(DataSource(path=str(work / "routing.json")),),
        lora=recipe.lora if lora is None else LoraSettings(**vars(lora)),
    )
    final = train(of_router, work / "run", resume=True, tell=asking.tell, bar=asking.bar)
    final.rename(folder.final)
    shutil.rmtree(work)
