"""The views of the paper's encoders: what the release's image processors make of a picture.

A resized picture is Pillow's 8-bit result to the bit, computed on the picture's own device: the
same filters in the same order, weights of 22 bits, and whole grey levels after each direction.
Pix2Struct takes patches of a standardised picture instead, in floats.

Shapes: B batch, H W the padded pictures, h w one picture, P patches, p the side of a patch.
"""

import math
from collections.abc import Sequence
from typing import Any, ClassVar, Literal, get_args

import torch
from torch import Tensor
from torch.nn import functional as F

from openmova.errors import UserError
from openmova.experts.base import IMAGENET_MEAN, IMAGENET_STD, Expert, crop, normalize, square

Frame = Literal["pad", "crop", "corner"]
Resample = Literal["bilinear", "bicubic"]

CLIP_MEAN = (0.48145466, 0.4578275, 0.40821073)
CLIP_STD = (0.26862954, 0.26130258, 0.27577711)

WEIGHT_BITS = 22
"""Pillow's precision of a weight; 8 bits of a pixel and a sign fit beside it in 32."""


class PictureExpert(Expert):
    """An expert that looks at one square, normalised picture.

    mean, std: of each channel, for values from 0 to 1, None: the encoder's own; frame, resample:
    see `picture_view`.
    """

    own_mean: ClassVar[Sequence[float]] = IMAGENET_MEAN
    own_std: ClassVar[Sequence[float]] = IMAGENET_STD

    def __init__(
        self,
        *,
        name: str,
        descriptions: Sequence[str],
        channels: int,
        view_size: int,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
        frame: Frame = "pad",
        resample: Resample = "bicubic",
    ) -> None:
        super().__init__(name=name, descriptions=descriptions, channels=channels)
        check_choice(name, "frame", frame, get_args(Frame))
        check_choice(name, "resample", resample, get_args(Resample))
        mean = self.own_mean if mean is None else mean
        std = self.own_std if std is None else std
        if view_size < 1 or len(mean) != 3 or len(std) != 3 or min(std) <= 0:
            raise UserError(
                f"the expert {name!r} has a view of {view_size} pixels with mean {list(mean)} and "
                f"std {list(std)} in its spec; a view has pixels, and three numbers in each, "
                "std above 0"
            )
        self.view_size = view_size
        self.frame: Frame = frame
        self._options: dict[str, Any] = {"mean": tuple(mean), "std": tuple(std)}
        self._options |= {"frame": frame, "resample": resample}

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """See Expert.view. Returns float32 [B, 3, view_size, view_size]."""
        return picture_view(images, sizes, size=self.view_size, **self._options)


def check_choice(expert: str, key: str, value: str, choices: Sequence[str]) -> None:
    """Raises UserError if an expert's spec has a value that is no choice."""
    if value not in choices:
        known = ", ".join(f'"{choice}"' for choice in choices)
        raise UserError(f"the expert {expert!r} has {key} {value!r} in its spec; choose of {known}")


def picture_view(
    images: Tensor,
    sizes: Tensor,
    *,
    size: int,
    mean: Sequence[float],
    std: Sequence[float],
    frame: Frame = "pad",
    resample: Resample = "bicubic",
) -> Tensor:
    """Each picture as one normalised square.

    frame: "pad" centres the picture on a square of the colour int(255 * mean) and resizes that;
    "crop" resizes its shorter side to `size` and cuts out the centre; "corner" resizes its longer
    side and fills the rest, on the right and below, with zeros after normalising.

    Takes what Expert.view does. Returns float32 [B, 3, size, size].
    """
    views = []
    for picture in crop(images, sizes):
        resized = _framed(picture, size, mean, frame, resample)
        view = normalize(resized.float(), mean, std)
        views.append(F.pad(view, (0, size - view.shape[2], 0, size - view.shape[1])))
    return torch.stack(views)


def _framed(
    picture: Tensor, size: int, mean: Sequence[float], frame: Frame, resample: Resample
) -> Tensor:
    """A picture uint8 [3, h, w] in a square of this size; "corner" leaves out what is filled."""
    if frame == "pad":
        whole = square(picture, [int(255 * value) for value in mean])
        return resize_as_pillow(whole, (size, size), resample)
    h, w = picture.shape[-2:]
    if frame == "crop":
        full = (int(size * h / min(h, w)), int(size * w / min(h, w)))
        return resize_as_pillow(picture, full, resample, window=(size, size))
    scale = size / max(h, w)
    inner = (max(int(h * scale + 0.5), 1), max(int(w * scale + 0.5), 1))
    return resize_as_pillow(picture, inner, resample)


def resize_as_pillow(
    picture: Tensor,
    size: tuple[int, int],
    resample: Resample,
    window: tuple[int, int] | None = None,
) -> Tensor:
    """A picture uint8 [3, h, w] resized as Pillow does, to uint8 [3, *size].

    window: compute only the centre of this height and width, and return uint8 [3, *window].
    """
    h, w = picture.shape[-2:]
    height, width = window or size
    passes = [(2, size[1], width), (1, size[0], height)]
    if size[0] < h and h - size[0] > 2 * (w - size[1]):
        passes.reverse()  # as Pillow since version 13, where rows are what shrinks
    for dim, whole, part in passes:
        picture = _resize_along(picture, dim, whole, part, resample)
    return picture


def _resize_along(picture: Tensor, dim: int, size: int, window: int, resample: Resample) -> Tensor:
    length = picture.shape[dim]
    if length == size:
        return picture.narrow(dim, (size - window) // 2, window)
    places, weights = (t.to(picture.device) for t in _taps(length, size, window, resample))
    lines = picture.movedim(dim, 0).contiguous()  # what is read together lies together
    half = 1 << (WEIGHT_BITS - 1)  # half a grey level, to round
    total = torch.full((window, *lines.shape[1:]), half, dtype=torch.int32, device=lines.device)
    for place, weight in zip(places, weights, strict=True):
        total += lines.index_select(0, place).int() * weight[:, None, None]
    return (total >> WEIGHT_BITS).clamp(0, 255).to(torch.uint8).movedim(0, dim)


def _taps(length: int, size: int, window: int, resample: Resample) -> tuple[Tensor, Tensor]:
    """Where each pixel of the window is read, and with what weights: long and int [taps, window].

    The filter is stretched when the picture shrinks, and is normalised at the borders.
    """
    scale = length / size
    stretch = max(scale, 1.0)
    radius = {"bilinear": 1, "bicubic": 2}[resample] * stretch
    start = (size - window) // 2
    pixels = torch.arange(start, start + window, dtype=torch.float64, device="cpu")
    centre = (pixels + 0.5) * scale
    first = (centre - radius + 0.5).long().clamp(min=0)
    last = (centre + radius + 0.5).long().clamp(max=length)
    tap = torch.arange(2 * math.ceil(radius) + 1, device="cpu")[:, None]
    places = first + tap  # [taps, window]
    distance = ((places + 0.5 - centre) / stretch).abs()
    weights = torch.where(places < last, _filter(distance, resample), 0.0)
    weights = weights / weights.sum(dim=0)
    return places.clamp(max=length - 1), (weights * (1 << WEIGHT_BITS)).round().int()


def _filter(x: Tensor, resample: Resample) -> Tensor:
    """The weight of a pixel at a distance x >= 0: a triangle, or the cubic with a = -0.5."""
    if resample == "bilinear":
        return (1 - x).clamp(min=0)
    near = (1.5 * x - 2.5) * x * x + 1
    far = ((-0.5 * x + 2.5) * x - 4) * x + 2
    return torch.where(x < 1, near, torch.where(x < 2, far, 0.0))


def flattened_patches(
    images: Tensor,
    sizes: Tensor,
    *,
    patch: int,
    max_patches: int,
    frame: Literal["pad", "none"] = "pad",
    fill: Sequence[int] = (122, 116, 104),
) -> Tensor:
    """Each picture as Pix2Struct's rows of patches: row number, column number, then the pixels.

    The picture, padded to a square of the colour `fill` or as it is, is standardised by its own
    mean and deviation and resized to as many whole patches as `max_patches` allows. Numbers start
    at 1; the rows that are left over are zero. Pixels lie in the order row, column, channel.

    Takes what Expert.view does. Returns float32 [B, max_patches, 2 + 3 * patch * patch].
    """
    rows = []
    for picture in crop(images, sizes):
        framed = square(picture, fill) if frame == "pad" else picture
        patches = _patches(_standardise(framed), patch, max_patches)
        rows.append(F.pad(patches, (0, 0, 0, max_patches - len(patches))))
    return torch.stack(rows)


def _standardise(picture: Tensor) -> Tensor:
    """uint8 [3, h, w] -> float32 of mean 0 and deviation 1 over all its values."""
    whole, count = picture.long(), picture.numel()
    mean = whole.sum().item() / count
    variance = (whole * whole).sum().item() / count - mean**2
    deviation = max(math.sqrt(max(variance, 0.0)), 1 / math.sqrt(count))
    return (picture.float() - mean) / deviation


def _patches(picture: Tensor, patch: int, max_patches: int) -> Tensor:
    """float32 [3, h, w] -> [P, 2 + 3 * p * p]."""
    h, w = picture.shape[-2:]
    scale = math.sqrt(max_patches * (patch / h) * (patch / w))
    rows, columns = (max(min(math.floor(scale * side / patch), max_patches), 1) for side in (h, w))
    size = (rows * patch, columns * patch)
    enlarged = F.interpolate(
        picture[None], size, mode="bilinear", align_corners=False, antialias=True
    )[0]
    pixels = enlarged.unflatten(1, (rows, patch)).unflatten(3, (columns, patch))
    pixels = pixels.permute(1, 3, 2, 4, 0).flatten(0, 1).flatten(1)  # [P, p * p * 3]
    numbers = torch.cartesian_prod(
        torch.arange(1, rows + 1, device=picture.device),
        torch.arange(1, columns + 1, device=picture.device),
    )
    return torch.cat([numbers.to(pixels.dtype), pixels], dim=1)
