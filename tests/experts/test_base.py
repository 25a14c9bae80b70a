"""The contract, the operations that make views, and how a spec finds its class."""

from __future__ import annotations

from importlib.metadata import EntryPoint, EntryPoints

import pytest
import torch
from torch import Tensor, nn

from openmova.errors import UserError
from openmova.experts import (
    KINDS,
    Expert,
    build_expert,
    crop,
    known_kinds,
    normalize,
    registry,
    resize,
    square,
    square_view,
)
from openmova.experts.base import height_width, tokens_to_map

from .pictures import assert_batch_changes_nothing, padded_batch

MEAN, STD = (0.5, 0.25, 0.0), (0.5, 0.5, 1.0)


class Dots(Expert):
    """The smallest expert there is."""

    def __init__(self, *, name: str = "dots", descriptions: tuple[str, ...] | str = "d") -> None:
        super().__init__(name=name, descriptions=descriptions, channels=3)
        self.drop = nn.Sequential(nn.Conv2d(3, 3, 1), nn.Dropout(0.5))

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        return square_view(images, sizes, size=(8, 8), mean=MEAN, std=STD)

    def forward(self, view: Tensor) -> Tensor:
        return self.drop(view)


def test_a_frozen_expert_never_trains() -> None:
    model = nn.Sequential(Dots().freeze())
    model.train()
    assert not any(parameter.requires_grad for parameter in model.parameters())
    assert not any(module.training for module in model[0].modules())
    assert_batch_changes_nothing(model[0])


def test_an_expert_that_is_a_trained_base_does_train() -> None:
    expert = Dots()
    expert.train()
    assert expert.drop[1].training
    assert all(parameter.requires_grad for parameter in expert.parameters())


def test_an_expert_has_a_name_and_descriptions() -> None:
    assert Dots(descriptions="one text").descriptions == ("one text",)
    with pytest.raises(UserError, match="a name and at least one description"):
        Dots(descriptions=())
    with pytest.raises(UserError, match="a name and at least one description"):
        Dots(name="")


RAW, BOTH = torch.zeros(2, 3, 8, 8, dtype=torch.uint8), torch.tensor([[8, 8], [8, 8]])


@pytest.mark.parametrize(
    ("images", "sizes", "message"),
    [
        (RAW.float(), BOTH, "not float32"),
        (RAW[0], BOTH, r"not uint8 \[3, 8, 8\]"),
        (torch.zeros(2, 4, 8, 8, dtype=torch.uint8), BOTH, r"not uint8 \[2, 4, 8, 8\]"),
        (RAW.movedim(1, -1), BOTH, "pass the processor's pixel_values"),
        (RAW, BOTH.float(), "must be integers"),
        (RAW, BOTH[:1], r"\[2, 2\]"),
        (RAW, BOTH[0], r"\[2, 2\]"),
        (RAW, torch.tensor([[8, 8], [4, 9]]), "4x9 does not fit in a picture tensor of 8x8"),
        (RAW, torch.tensor([[8, 8], [0, 4]]), "0x4 does not fit"),
    ],
)
def test_what_is_no_batch_of_raw_pictures_is_refused_at_once(
    images: Tensor, sizes: Tensor, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        crop(images, sizes)


def test_square_centres_with_the_floor_of_half_the_difference() -> None:
    picture = torch.ones(3, 2, 5, dtype=torch.uint8)
    squared = square(picture, (7, 8, 9))
    assert squared.shape == (3, 5, 5)
    assert (squared[:, 1:3] == 1).all()
    assert squared[:, 0, 0].tolist() == squared[:, 4, 4].tolist() == [7, 8, 9]
    assert square(squared) is squared


def test_resize_stays_in_the_range_of_a_picture_and_keeps_one_of_its_size() -> None:
    picture = (torch.rand(3, 30, 20) > 0.5).to(torch.uint8) * 255
    for mode in ("bilinear", "bicubic"):
        resized = resize(picture, (64, 48), mode=mode)
        assert resized.shape == (3, 64, 48)
        assert resized.dtype == torch.float32
        assert resized.min() >= 0
        assert resized.max() <= 255
    assert torch.equal(resize(picture, (30, 20)), picture.float())


def test_normalize_gives_zero_for_the_mean() -> None:
    picture = torch.tensor([127.5, 63.75, 255.0])[:, None, None].expand(3, 2, 2)
    assert torch.allclose(normalize(picture, MEAN, STD)[:, 0, 0], torch.tensor([0, 0, 1.0]))


def test_tokens_before_the_grid_are_dropped() -> None:
    tokens = torch.arange(8.0)[None, :, None]  # two extra, then 2x3
    assert tokens_to_map(tokens, (2, 3))[0, 0].tolist() == [[2, 3, 4], [5, 6, 7]]
    with pytest.raises(ValueError, match="8 tokens don't fill a grid of 3x3"):
        tokens_to_map(tokens, (3, 3))


def test_a_size_is_one_number_or_two() -> None:
    assert height_width(7) == height_width([7]) == height_width((7, 7)) == (7, 7)
    for wrong in (0, (1, 2, 3), (3, -1)):
        with pytest.raises(UserError, match="a number or"):
            height_width(wrong)


def test_a_view_is_made_on_the_device_of_the_images() -> None:
    images, sizes = padded_batch()
    view = Dots().view(images.to("meta"), sizes)
    assert view.is_meta
    assert view.shape == (4, 3, 8, 8)


SPEC = {"kind": "dots", "name": "d", "descriptions": ["sees dots"]}


@pytest.fixture
def installed(monkeypatch: pytest.MonkeyPatch) -> None:
    """A package with three entry points: a good one, a broken one, one that is no expert."""
    points = {
        "dots": f"{Dots.__module__}:Dots",
        "broken": "no_such_module:Dots",
        "other": "pathlib:Path",
    }
    group = EntryPoints(EntryPoint(k, v, registry.ENTRY_POINTS) for k, v in points.items())
    monkeypatch.setattr(registry, "entry_points", lambda **wanted: group.select(**wanted))


@pytest.mark.usefixtures("installed")
def test_a_package_adds_a_kind_and_the_built_expert_is_frozen() -> None:
    expert = build_expert(SPEC)
    assert isinstance(expert, Dots)
    assert expert.name == "d"
    assert expert.descriptions == ("sees dots",)
    assert not any(parameter.requires_grad for parameter in expert.parameters())
    assert all(p.requires_grad for p in build_expert(SPEC, frozen=False).parameters())
    assert set(known_kinds()) == {*KINDS, "dots", "broken", "other"}


@pytest.mark.usefixtures("installed")
@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        ({"kind": "dot"}, "unknown kind of expert 'dot'; did you mean dots"),
        ({"kind": "zzzzzzz"}, "known are lite2, text, .*, hf, onnx"),
        ({"kind": None}, 'needs a "kind"'),
        ({"kind": "broken"}, "can't be imported: No module named 'no_such_module'; repair"),
        ({"kind": "other"}, "must name a subclass"),
        (
            {"colour": 1},
            "'dots' expert does not fit: .*got an unexpected keyword argument 'colour'",
        ),
    ],
)
def test_a_wrong_spec_gets_an_error_of_one_line(wrong: dict[str, object], message: str) -> None:
    with pytest.raises(UserError, match=message) as caught:
        build_expert(SPEC | wrong)
    assert "\n" not in str(caught.value)
