"""Names of what a picture shows: the package's classifier, in everyday words."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from openmova.experts.lite import Lite2Classifier, class_names, convert_lite_classifier
from openmova.experts.object import ClassMeans, ObjectExpert

from .pictures import padded_batch
from .words import NANODET, NO_NANODET, NO_ONNX, word_expert


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


def test_a_detector_names_what_the_classifier_has_no_class_for() -> None:
    camel = chances(Arabian_camel=0.3)
    told = ObjectExpert.text(camel)
    assert ObjectExpert.text(camel, ("giraffe", 0.81)) == f"giraffe 81%\n{told}"
    assert ObjectExpert.text(camel, ("horse", 0.7)) == told  # it has the class
    assert ObjectExpert.text(camel, ("person", 0.9)) == told  # is beside the thing, mostly


def test_a_detector_is_heard_where_the_classifier_is_unsure() -> None:
    unsure = chances(ram=0.11, beagle=0.08)
    told = ObjectExpert.text(unsure)
    for name in ("horse", "person"):
        assert ObjectExpert.text(unsure, (name, 0.68)) == f"{name} 68%\n{told}"
    assert ObjectExpert.text(unsure, ("sheep", 0.68)) == told  # they agree


@NO_ONNX
@NO_NANODET
def test_the_detector_finds_the_large_thing_in_a_view_of_its_own(tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / "examples" / "dog.jpg"
    picture = torch.from_numpy(np.array(Image.open(file).convert("RGB"))).movedim(-1, 0)
    expert: ObjectExpert = word_expert("object", tmp_path, detector=str(NANODET))
    assert expert.detector is not None
    view = expert.view(picture[None], torch.tensor([picture.shape[1:]]))
    assert view.shape[2:] == (416, 416)
    (square,) = view[:, 3:]
    levels = expert.detector.levels(square)
    name, score = expert.detector.large_thing(levels, 0.05) or ("", 0)
    assert name in ("dog", "bicycle") and score > 0.6
    assert expert.detector.large_thing(levels, 1.0) is None
    with torch.no_grad():
        expert.network.classifier.weight.zero_()  # knows nothing
        expert.network.classifier.bias.zero_()
        (text,) = expert.texts(view)
    assert text.startswith(f"{name} {score:.0%}\n")


@NO_ONNX
@NO_NANODET
def test_the_largest_thing_is_looked_at_alone_too(tmp_path: Path) -> None:
    file = Path(__file__).parents[2] / "examples" / "dog.jpg"
    picture = torch.from_numpy(np.array(Image.open(file).convert("RGB"))).movedim(-1, 0)
    expert: ObjectExpert = word_expert("object", tmp_path, detector=str(NANODET))
    said = iter([chances(banana=0.8), chances(beagle=0.6, banana=0.2)])
    expert.network.chances = lambda hidden: next(said)[None].clone()  # type: ignore[method-assign]
    (text,) = expert.texts(expert.view(picture[None], torch.tensor([picture.shape[1:]])))
    assert text == "banana 50%\ndog 30%: beagle 30%"


def test_the_classifier_sees_the_whole_picture_without_a_border(expert: ObjectExpert) -> None:
    """Half of a wide picture would be border on a padded square."""
    wide = torch.full((1, 3, 20, 40), 255, dtype=torch.uint8)
    stretched = expert.view(wide, torch.tensor([[20, 40]]))
    assert stretched.min() > 0.99  # all white


def test_renamed_weights_give_the_packages_probabilities() -> None:
    package = pytest.importorskip("efficientnet_lite_pytorch", reason="pip install it to compare")
    oracle = package.EfficientNet.from_name("efficientnet-lite2").eval().double()
    network = Lite2Classifier().eval().double()
    missing, unexpected = network.load_state_dict(
        convert_lite_classifier(oracle.state_dict()), strict=False
    )
    assert not unexpected
    assert all(key.endswith("num_batches_tracked") for key in missing)
    view = torch.rand(2, 3, 260, 260).double() * 2 - 1
    with torch.no_grad():
        ours = network.chances(network.hidden(view))
        torch.testing.assert_close(ours, oracle(view).softmax(-1))


def blobs(*centres: int, count: int = 10, seed: int = 0) -> list[torch.Tensor]:
    """Hidden features [count, 1280] around a direction for each number, all with one light."""
    random = torch.Generator().manual_seed(seed)
    light = torch.rand(1280, generator=torch.Generator().manual_seed(99))
    found = []
    for centre in centres:
        own = torch.zeros(1280).index_fill(0, torch.arange(centre, centre + 40), 1.0)
        noise = 0.2 * torch.randn(count, 1280, generator=random)
        found.append(1 + own + torch.randn(count, 1, generator=random) * light + noise)
    return found


def test_what_was_taught_is_named_and_all_else_is_not() -> None:
    others = torch.cat(blobs(*range(200, 1200, 100), count=2))
    taught = ClassMeans(("A 12", "B 7"))
    taught.fit(blobs(0, 100), others)
    first, second, unknown = blobs(0, 100, 150, seed=1)
    assert sum(text.startswith("A 12 ") for text in taught.texts(first)) >= 9
    assert sum(text.startswith("B 7 ") for text in taught.texts(second)) >= 9
    assert not any(taught.texts(unknown)) and not any(taught.texts(others))


def test_a_name_of_two_pictures_is_learned() -> None:
    taught = ClassMeans(("one",))
    taught.fit(blobs(0, count=2), torch.cat(blobs(200, 300)))
    own, unknown = (taught.likenesses(some) for some in blobs(0, 150, seed=1))
    assert own.min() > unknown.max()


def test_a_picture_without_a_taught_name_is_seen_as_before(
    expert: ObjectExpert, tmp_path: Path
) -> None:
    images, sizes = padded_batch()
    with torch.no_grad():
        view = expert.view(images, sizes)
        before, hidden = expert.texts(view), expert.look(images, sizes)
        apart = (hidden[0] - hidden[1:].mean(0)).std()
        alike = hidden[0] + 0.2 * apart * torch.randn(6, hidden.shape[1])
        expert.teach({"mine": alike}, hidden[1:])
        after = expert.texts(view)
    assert after == ["mine 100%", *before[1:]]
    again: ObjectExpert = word_expert("object", tmp_path, size=64, own_names=["mine"])
    again.load_state_dict(expert.state_dict())
    with torch.no_grad():
        assert again.texts(view) == after
