"""What the operator of the server decides."""

from collections.abc import Sequence
from dataclasses import dataclass

from openmova.images.opening import ImageLimits

IMAGES = ImageLimits(file_bytes=20_000_000, pixels=40_000_000)


@dataclass(frozen=True, kw_only=True)
class ServerOptions:
    """What clients may ask for, and how many of them. model: the name that they ask for."""

    model: str
    images: ImageLimits = IMAGES
    remote_images: bool = False
    max_tokens: int = 1024
    default_tokens: int = 128
    max_seconds: float = 120.0
    max_batch_size: int = 8
    max_queue: int = 64
    api_keys: Sequence[str] = ()
    origins: Sequence[str] = ()
    """Of the web pages that may ask (CORS)."""

    @property
    def max_requests(self) -> int:
        """Requests in hand at a time."""
        return self.max_batch_size + self.max_queue

    @property
    def body_bytes(self) -> int:
        """An image of the greatest size as base64, and a million bytes of text."""
        return self.images.file_bytes * 4 // 3 + 1_000_000
