"""The views that experts make of a picture are the tensors that the release's processors make."""

from __future__ import annotations

import hashlib
import re
from fnmatch import fnmatch
from typing import Any, Literal

import pytest
import torch
from torch import Tensor

from openmova.experts.base import IMAGENET_MEAN, IMAGENET_STD
from openmova.experts.views import CLIP_MEAN, CLIP_STD, Frame, flattened_patches, picture_view
from openmova.model.image_processing_mova import MovaImageProcessor

from .comparing import close
from .golden import GoldenSet, sets

pytestmark = pytest.mark.parity

CLIP = {"mean": CLIP_MEAN, "std": CLIP_STD}
IMAGENET = {"mean": IMAGENET_MEAN, "std": IMAGENET_STD}
STATISTICS = {
    r"clip\d+": CLIP,
    r"dinov2_\d+": IMAGENET,
    r"high_clip\d+": CLIP,
    r"high_clip\d+_imagenet": IMAGENET,
    r"high_sam": IMAGENET,
}
"""Of each picture view that a set may have."""

CASES = [
    pytest.param(golden, case, name, id=f"{golden.path.stem}-{case}-{name}")
    for golden in sets("process_images")
    for case, parts in golden.spec["cases"].items()
    for name, part in parts.items()
    if isinstance(part, dict) and "sha256_float32" in part and name != "images_tensor"
]
PATCHES = [case for case in CASES if str(case.values[2]).startswith("patches")]
PICTURES = [case for case in CASES if case not in PATCHES]


def view_of(golden: GoldenSet, case: str, name: str) -> Tensor:
    """Our view, from the picture's file through the processor."""
    parts = golden.spec["cases"][case]
    batch = MovaImageProcessor(max_side=4096)(
        golden.path.parent / parts["image"], return_tensors="pt"
    )
    images, sizes = batch.to(torch.get_default_device()).values()
    padded = parts["image_aspect_ratio"] == "pad"
    if name.startswith("patches"):
        frame: Literal["pad", "none"] = "pad" if padded else "none"
        count, row = parts[name]["shape"]
        patch = int(((row - 2) // 3) ** 0.5)
        return flattened_patches(images, sizes, patch=patch, max_patches=count, frame=frame)[0]
    (statistics,) = (s for pattern, s in STATISTICS.items() if re.fullmatch(pattern, name))
    sam = name == "high_sam"
    unpadded: Frame = "corner" if sam else "crop"
    return picture_view(
        images,
        sizes,
        size=parts[name]["shape"][-1],
        frame="pad" if padded else unpadded,
        resample="bilinear" if sam else "bicubic",
        **statistics,
    )[0]


def tolerance_of(golden: GoldenSet, name: str) -> float:
    """The one whose comma-separated patterns fit the view's name."""
    tolerances: dict[str, Any] = golden.spec["tolerance_max_abs"]
    (found,) = (
        tolerance
        for patterns, tolerance in tolerances.items()
        if any(fnmatch(name, pattern) for pattern in patterns.split(","))
    )
    return found


@pytest.mark.parametrize(("golden", "case", "name"), CASES)
def test_the_stored_samples(golden: GoldenSet, case: str, name: str) -> None:
    view = view_of(golden, case, name)
    assert list(view.shape) == golden.spec["cases"][case][name]["shape"]
    samples = 0
    for key, expected in golden.part(f"out.{case}.{name}_").items():
        if match := re.fullmatch(r"(row)?stride(\d+)", key):
            n = int(match[2])
            close(
                view[::n] if match[1] else view[:, ::n, ::n], expected, tolerance_of(golden, name)
            )
            samples += 1
    assert samples == 1


@pytest.mark.parametrize(("golden", "case", "name"), PICTURES)
def test_every_pixel_of_a_picture_by_its_checksum(golden: GoldenSet, case: str, name: str) -> None:
    if torch.get_default_device().type != "cpu":
        pytest.skip("bits are promised on a processor")
    expected = golden.spec["cases"][case][name]["sha256_float32"]
    assert hashlib.sha256(view_of(golden, case, name).numpy().tobytes()).hexdigest() == expected


@pytest.mark.parametrize(("golden", "case", "name"), PATCHES)
def test_all_patches_by_grid_mean_and_deviation(golden: GoldenSet, case: str, name: str) -> None:
    part, rows = golden.spec["cases"][case][name], view_of(golden, case, name)
    used = len(rows) - part["padded_rows"]
    assert rows[:used, :2].amax(dim=0).tolist() == part["grid_rows_cols"]
    assert (rows[:used, :2] >= 1).all() and not rows[used:].any()
    pixels = rows[:, 2:].double()
    found = torch.stack([pixels.mean(), pixels.std(correction=0)])
    close(found, torch.tensor([part["mean"], part["std"]]), tolerance_of(golden, name))
