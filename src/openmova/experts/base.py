"""What a vision expert is, and the few image operations that experts share.

An expert is a frozen encoder that makes its own input from the raw picture and returns a map
(paper, section 3.1, F_j). The contract is one abstract class. Everything works on a tensor's own
device, and every row is treated from its own crop, so a row gets the same view in any batch.

Shapes: B batch, H W the padded picture, h w a map, C channels.
"""

from abc import ABC, abstractmethod
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal, Self

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.errors import UserError

IMAGENET_MEAN = (0.485, 0.456, 0.406)
IMAGENET_STD = (0.229, 0.224, 0.225)


class Expert(nn.Module, ABC):
    """A vision encoder with a name, a description for the router, its own view and its own map.

    A subclass takes `name` and `descriptions` and its own keywords, all keyword-only, sets
    `channels`, and implements `view` and `forward`.
    """

    name: str
    """How people and files call it; also the name of its weights file."""
    descriptions: tuple[str, ...]
    """What the router reads about it; the first is used, the others are for training."""
    channels: int
    """C of the map that `forward` returns."""
    frame: Literal["pad", "crop", "corner", "stretch", "none"] = "pad"
    """Where the picture lies in the map if it isn't square: centred on a square of its longer side;
    cut to one of its shorter side; in the upper left corner; stretched; "none": it can't be said.
    Whoever draws on the picture what was seen of it asks for this."""
    on_meta: ClassVar[bool] = False
    """Whether it can be built under torch.device("meta"): it computes nothing and reads no file
    while it is built, and all its buffers are saved."""

    def __init__(self, *, name: str, descriptions: Sequence[str], channels: int) -> None:
        super().__init__()
        if isinstance(descriptions, str):
            descriptions = (descriptions,)
        if not name or not descriptions:
            raise UserError("an expert needs a name and at least one description in its spec")
        self.name = name
        self.descriptions = tuple(descriptions)
        self.channels = channels
        self._frozen = False

    @classmethod
    def from_spec(cls, keywords: Mapping[str, Any], *, folder: Path | None = None) -> Self:
        """Build from a spec without its "kind"; `folder` is where relative paths in it start."""
        return cls(**keywords)

    @abstractmethod
    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """Make this expert's own input, on the device of the images.

        images: uint8 [B, 3, H, W]; sizes: integer [B, 2], height and width of the real picture,
        which lies in the top left corner of its padding. Raises ValueError on other dtypes or
        shapes.
        """

    @abstractmethod
    def forward(self, view: Tensor) -> Tensor:
        """Turn a view [B, ...] into a map [B, channels, h, w]."""

    @classmethod
    def file_bytes(cls, keywords: Mapping[str, Any], *, folder: Path | None = None) -> int:
        """Size of the weights that lie in other files than the model's, which a spec may name."""
        return 0

    def save_files(self, folder: Path) -> None:
        """Copy what belongs to this expert, is no parameter, and its spec names by relative path.

        Parameters and buffers are saved by the model; most experts have nothing else.
        """

    def freeze(self) -> Self:
        """Make it a fixed encoder: no gradients, and evaluation mode whatever the model does."""
        self._frozen = True
        self.requires_grad_(False)
        return self.eval()

    def train(self, mode: bool = True) -> Self:
        return super().train(mode and not self._frozen)


def crop(images: Tensor, sizes: Tensor) -> Iterator[Tensor]:
    """Take the real pictures out of their padding, one by one.

    images: uint8 [B, 3, H, W]; sizes: integer [B, 2] (height, width). Yields uint8 [3, h, w].
    Raises ValueError, at once, if the images or sizes are not of this kind.
    """
    if images.dtype != torch.uint8 or images.ndim != 4 or images.shape[1] != 3:
        raise ValueError(
            "an expert takes raw pictures, uint8 [batch, 3, height, width], not "
            f"{_describe(images)}; pass the processor's pixel_values as they are"
        )
    if sizes.is_floating_point() or sizes.shape != (len(images), 2):
        raise ValueError(
            f"image_sizes must be integers [{len(images)}, 2] (height, width of each picture), "
            f"not {_describe(sizes)}"
        )
    heights_widths: list[list[int]] = sizes.tolist()
    height, width = images.shape[-2:]
    for h, w in heights_widths:
        if not (1 <= h <= height and 1 <= w <= width):
            raise ValueError(
                f"an image size of {h}x{w} does not fit in a picture tensor of {height}x{width}; "
                "image_sizes holds (height, width), in this order"
            )
    return (image[:, :h, :w] for image, (h, w) in zip(images, heights_widths, strict=True))


def square(image: Tensor, fill: Sequence[float] = (0, 0, 0)) -> Tensor:
    """Centre a picture [3, h, w] on a square of its longer side, filled with one colour.

    The offset is the floor of half the difference; a square picture is returned as it is.
    """
    _, h, w = image.shape
    if h == w:
        return image
    side = max(h, w)
    top, left = (side - h) // 2, (side - w) // 2
    colour = torch.tensor(fill, dtype=image.dtype, device=image.device)
    canvas = colour[:, None, None].repeat(1, side, side)  # [3, side, side]
    canvas[:, top : top + h, left : left + w] = image
    return canvas


def resize(
    image: Tensor, size: tuple[int, int], *, mode: Literal["bilinear", "bicubic"] = "bicubic"
) -> Tensor:
    """Resize a picture [3, h, w] with antialiasing to float32 [3, *size], in the range 0 to 255."""
    picture = image.float()
    if image.shape[-2:] == size:
        return picture
    resized = F.interpolate(picture[None], size, mode=mode, align_corners=False, antialias=True)
    return resized[0].clamp(0, 255)  # bicubic overshoots at edges


def normalize(image: Tensor, mean: Sequence[float], std: Sequence[float]) -> Tensor:
    """Scale a float picture [..., 3, h, w] from 0..255 to 0..1, subtract mean, divide by std."""
    mean_ = torch.tensor(mean, dtype=image.dtype, device=image.device)[:, None, None]
    std_ = torch.tensor(std, dtype=image.dtype, device=image.device)[:, None, None]
    return (image / 255 - mean_) / std_


def square_view(
    images: Tensor,
    sizes: Tensor,
    *,
    size: tuple[int, int],
    mean: Sequence[float],
    std: Sequence[float],
    mode: Literal["bilinear", "bicubic"] = "bicubic",
) -> Tensor:
    """The usual view: crop, pad to a square with the mean colour, resize, normalise.

    Takes what Expert.view does. Returns float32 [B, 3, *size].
    """
    fill = [int(255 * value) for value in mean]
    views = [
        normalize(resize(square(picture, fill), size, mode=mode), mean, std)
        for picture in crop(images, sizes)
    ]
    return torch.stack(views)


def height_width(size: int | Sequence[int]) -> tuple[int, int]:
    """The size in a spec, one number or two, as (height, width). Raises UserError for others."""
    height, *others = [size] if isinstance(size, int) else size
    width = others[0] if others else height
    if len(others) > 1 or min(height, width) < 1:
        raise UserError(f"the size of an expert's view is a number or (height, width), not {size}")
    return height, width


def tokens_to_map(tokens: Tensor, grid: tuple[int, int]) -> Tensor:
    """Lay out the last h * w tokens [B, N, C], row by row, as a map [B, C, h, w].

    The tokens before them (class, registers) are dropped. Raises ValueError if there are too few.
    """
    extra = tokens.shape[1] - grid[0] * grid[1]
    if extra < 0:
        raise ValueError(f"{tokens.shape[1]} tokens don't fill a grid of {grid[0]}x{grid[1]}")
    return tokens[:, extra:].transpose(1, 2).unflatten(2, grid)


def _describe(tensor: Tensor) -> str:
    return f"{str(tensor.dtype).removeprefix('torch.')} {list(tensor.shape)}"
