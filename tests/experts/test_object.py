"""Names of what a picture shows: the package's classifier, in everyday words."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch

from openmova.experts.object import ObjectExpert, class_names, convert_lite_classifier

from .pictures import assert_batch_changes_nothing, padded_batch
from .words import read_back, word_expert


@pytest.fixture
def expert(tmp_path: Path) -> ObjectExpert:
    expert: ObjectExpert = word_expert("object", tmp_path, size=64)
    return expert


def chances(**named: float) -> torch.Tensor:
    """Probabilities [1000] of classes by their names, in which _ stands for a space."""
    names, _ = class_names()
    values = torch.full((1000,), 1e-5)
    for name, value in named.items():
        values[names.index(name.replace("_", " "))] = value
    return values


def test_there_are_a_thousand_names_in_the_order_of_their_ids() -> None:
    names, words = class_names()
    assert len(names) == len(words) == 1000
    assert (names[0], names[281], names[999]) == ("tench", "tabby", "toilet tissue")
    assert (words[0], words[281], words[207]) == ("fish", "cat", "dog")
    assert all(word and word == word.strip() for word in words)


def test_the_everyday_word_adds_up_its_classes() -> None:
    told = ObjectExpert.text(chances(tabby=0.4, tiger_cat=0.25, lynx=0.2, banana=0.02))
    assert told == "cat 65%: tabby 40%, tiger cat 25%\nlynx 20%"
    assert ObjectExpert.text(chances(banana=0.97)) == "banana 97%"


def test_an_unsure_guess_is_told_too_but_only_the_first() -> None:
    assert ObjectExpert.text(chances(banana=0.02, lemon=0.01)) == "banana 2%"


def test_the_map_holds_the_names(expert: ObjectExpert) -> None:
    assert_batch_changes_nothing(expert, tolerance=1e-4)
    images, sizes = padded_batch()
    with torch.no_grad():
        view = expert.view(images, sizes)
        maps, told = expert(view), expert.texts(view)
    assert maps.shape[1:] == (256, 24, 24)
    assert [read_back(expert.codes, map_) for map_ in maps] == [f"{text}\n" for text in told]


def test_renamed_weights_give_the_packages_probabilities(tmp_path: Path) -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install it to compare")
    oracle = package.EfficientNet.from_name("efficientnet-lite2").eval().double()
    expert = word_expert("object", tmp_path).double()
    missing, unexpected = expert.load_state_dict(
        convert_lite_classifier(oracle.state_dict()), strict=False
    )
    assert not unexpected
    assert {k for k in missing if not k.endswith("num_batches_tracked")} == {
        "codes.table",
        "codes.step",
    }
    view = torch.rand(2, 3, 260, 260).double() * 2 - 1
    with torch.no_grad():
        ours = expert.chances(expert.encoder.features(view))
        torch.testing.assert_close(ours, oracle(view).softmax(-1))
