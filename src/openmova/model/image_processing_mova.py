"""MovaImageProcessor: pictures to one raw uint8 tensor; each encoder makes its own view from it."""

from collections.abc import Sequence
from typing import Any

import numpy as np
import torch
from PIL import Image
from transformers import BatchFeature
from transformers.image_processing_utils import BaseImageProcessor
from transformers.image_utils import load_image as fetch_image
from transformers.models.auto.image_processing_auto import AutoImageProcessor

from openmova.images.opening import ImageSource, load_image
from openmova.model.configuration_mova import MovaConfig

REMOTE = ("http://", "https://", "data:image/")


class MovaImageProcessor(BaseImageProcessor):
    """Loads pictures, caps their longest side, and pads them at the bottom and on the right.

    max_side: longest side in pixels; a larger picture is reduced, its proportions are kept.
    """

    model_input_names = ["pixel_values", "image_sizes"]

    def __init__(self, max_side: int = 2048, **kwargs: Any):
        super().__init__(**kwargs)
        self.max_side = max_side

    def preprocess(
        self, images: ImageSource | Sequence[Any], return_tensors: str | None = None, **kwargs: Any
    ) -> BatchFeature:
        """pixel_values uint8 [B, 3, H, W] and image_sizes long [B, 2] (height, width of each).

        images: paths, URLs, bytes, PIL images, uint8 arrays or tensors [3, h, w] or [h, w, 3];
        one or a (nested) list.
        """
        rows = images if isinstance(images, list | tuple) else [images]
        flat = [one for row in rows for one in (row if isinstance(row, list | tuple) else [row])]
        rgb = [np.array(self.picture(image)) for image in flat]  # [h, w, 3] each
        sizes = torch.tensor([picture.shape[:2] for picture in rgb], dtype=torch.long).view(-1, 2)
        height, width = sizes.amax(dim=0).tolist() if rgb else (1, 1)
        pixels = torch.zeros(len(rgb), 3, height, width, dtype=torch.uint8)
        for row, picture in zip(pixels, rgb, strict=True):
            h, w, _ = picture.shape
            row[:, :h, :w] = torch.from_numpy(picture).movedim(-1, 0)
        data = {"pixel_values": pixels, "image_sizes": sizes}
        return BatchFeature(data, tensor_type=return_tensors)

    def picture(self, image: Any) -> Image.Image:
        """One picture, upright, RGB, its longest side capped."""
        if isinstance(image, str) and image.startswith(REMOTE):
            image = fetch_image(image)
        elif isinstance(image, torch.Tensor):
            image = image.cpu().numpy()
        is_plain = type(image) is Image.Image and image.mode == "RGB"  # as `load_image` gives it
        picture = image if is_plain else load_image(image)
        longest = max(picture.size)
        if longest > self.max_side:
            width, height = (max(round(side * self.max_side / longest), 1) for side in picture.size)
            picture = picture.resize((width, height), Image.Resampling.BICUBIC)
        return picture


AutoImageProcessor.register(MovaConfig, image_processor_classes={"pil": MovaImageProcessor})
