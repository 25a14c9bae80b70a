"""Animals are found as animals, and named by what they look like."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from openmova.experts.detector import (
    ANIMALS,
    Found,
    NanoDet,
    any_animal,
    is_hidden,
    without_animals,
)
from openmova.experts.lite import class_names
from openmova.experts.location import LocationExpert

from .words import NANODET, NO_NANODET, NO_ONNX, word_expert

pytestmark = [NO_ONNX, NO_NANODET]


class Classifier(torch.nn.Module):
    """Says of every cut that it is one class, with a probability."""

    def __init__(self, *said: tuple[str, float]) -> None:
        super().__init__()
        self.said = said

    def view(self, pictures: list[Tensor]) -> Tensor:
        return torch.zeros(len(pictures))

    def hidden(self, view: Tensor) -> Tensor:
        return view

    def chances(self, hidden: Tensor) -> Tensor:
        names, _ = class_names()
        chances = torch.zeros(len(hidden), len(names))
        for row, (name, chance) in zip(chances, self.said, strict=True):
            row[names.index(name)] = chance
        return chances


def scores(**classes: float) -> Tensor:
    """NanoDet's scores of one place, [80]."""
    row = torch.zeros(len(NanoDet.classes))
    for name, score in classes.items():
        row[NanoDet.classes.index(name)] = score
    return row


@pytest.fixture
def expert(tmp_path: Path) -> LocationExpert:
    built: LocationExpert = word_expert("location", tmp_path, path=str(NANODET))
    return built


def names(expert: Any, rows: list[Tensor], *said: tuple[str, float]) -> list[str]:
    expert.network = Classifier(*said)
    told: list[str] = expert.animal_names(
        [torch.zeros(3, 60, 60)] * len(rows), torch.stack(rows)[:, ANIMALS]
    )
    return told


def test_what_several_animals_share_is_an_animal() -> None:
    lemur = scores(bear=0.5, dog=0.45, cat=0.3, person=0.35)[None]
    assert any_animal(lemur).item() == pytest.approx(1 - 0.5 * 0.55 * 0.7)
    assert without_animals(lemur).max().item() == pytest.approx(0.35)


def test_the_classifier_names_what_no_class_of_the_detector_is(expert: LocationExpert) -> None:
    lemur = ("Madagascar cat", 0.8)
    assert names(expert, [scores(bear=0.5, dog=0.45)], lemur) == ["lemur"]


def test_the_detector_is_heard_where_it_is_sure(expert: LocationExpert) -> None:
    assert names(expert, [scores(giraffe=0.8)], ("zebra", 0.2)) == ["giraffe"]


def test_a_bird_is_said_to_be_one_and_which(expert: LocationExpert) -> None:
    assert names(expert, [scores(bird=0.6)], ("hen", 0.4)) == ["bird (chicken)"]
    assert names(expert, [scores(bird=0.6)], ("robin", 0.4)) == ["bird"]


def test_animals_of_a_picture_tell_about_each_other(expert: LocationExpert) -> None:
    unsure, sure = scores(sheep=0.45), scores(sheep=0.2)
    camel = ("Arabian camel", 0.15)
    assert names(expert, [unsure], camel) == ["sheep"]
    assert names(expert, [unsure, sure], camel, ("Arabian camel", 0.7)) == ["camel", "camel"]


def test_nothing_sure_is_an_animal_without_a_name(expert: LocationExpert) -> None:
    assert names(expert, [scores(bear=0.2)], ("beagle", 0.05)) == ["animal"]


def test_a_thing_under_a_surer_animal_is_not_told() -> None:
    kite, bird = Found(38, 0.5, (0, 0, 10, 10)), Found(14, 0.8, (0, 0, 10, 11))
    assert is_hidden(kite, [bird])
    assert not is_hidden(kite._replace(score=0.9), [bird])
    assert not is_hidden(kite, [bird._replace(box=(50, 50, 60, 60))])
    assert not is_hidden(kite, [])


def test_what_is_cut_out_lies_in_the_picture(expert: LocationExpert) -> None:
    view = expert.view(
        torch.full((1, 3, 50, 100), 200, dtype=torch.uint8), torch.tensor([[50, 100]])
    )
    things = [Found(0, 0.9, box) for box in ((-5, 90, 60, 130), (10, 150, 30, 190), (0, 0, 9, 9))]
    cuts = expert.cut_outs(view[0], things)  # the picture is in the rows 104 to 312
    assert [tuple(cut.shape) for cut in cuts] == [(3, 33, 67), (3, 49, 29), (3, 1, 11)]
    assert (cuts[1] - 200).abs().max() < 1
