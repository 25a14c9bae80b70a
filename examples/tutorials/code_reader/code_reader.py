"""An expert that reads QR codes and barcodes, by the package zxing-cpp."""

from __future__ import annotations

import torch
import zxingcpp
from torch import Tensor

from openmova.experts import crop, resize, square
from openmova.experts.token_codes import WordExpert

SIDE = 1280


class CodeExpert(WordExpert):
    """Says what is in the codes of a picture, a code a line."""

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """uint8 [B, 3, H, W], integer [B, 2] -> float32 [B, 1, SIDE, SIDE]: shades of grey."""
        pictures = [resize(square(one), (SIDE, SIDE)) for one in crop(images, sizes)]
        return torch.stack(pictures).mean(1, keepdim=True)

    def texts(self, view: Tensor) -> list[str]:
        """What there is to say of each picture of a view."""
        pictures = view[:, 0].round().clamp(0, 255).byte().cpu().numpy()
        return ["\n".join(map(say, zxingcpp.read_barcodes(one))) for one in pictures]


def say(code: zxingcpp.Barcode) -> str:
    """Its kind and its text: `QR code: https://example.org`."""
    return f"{'QR code' if 'QR' in str(code.format) else 'barcode'}: {code.text}"
