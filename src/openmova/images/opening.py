"""A picture as people have it (path, bytes, open file, PIL image, array) to one plain RGB image.

Everything that can be wrong with a picture is told here, before any model sees it: each fault is a
`UserError` of one line. Size is limited before anything is decoded, and only formats whose decoders
are plain libraries are opened (no PostScript, no external programs, no network).
"""

import os
import re
import warnings
from dataclasses import dataclass
from io import BytesIO
from typing import Any, Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageOps, UnidentifiedImageError

from openmova.errors import UserError


@runtime_checkable
class BinaryFile(Protocol):
    """Anything that is read like a file opened with mode "rb"."""

    def read(self, size: int, /) -> bytes: ...


ImageSource = str | os.PathLike[str] | bytes | BinaryFile | Image.Image | NDArray[Any]

FORMATS = ("AVIF", "BMP", "GIF", "JPEG", "PNG", "PPM", "TIFF", "WEBP")
READABLE = "PNG, JPEG, WEBP, GIF, TIFF, BMP, PPM or AVIF"


@dataclass(frozen=True, kw_only=True)
class ImageLimits:
    """What a picture may cost: bytes of its file, pixels and pixels per side once decoded."""

    file_bytes: int = 100_000_000
    pixels: int = 64_000_000
    side: int = 20_000


DEFAULT_LIMITS = ImageLimits()


def load_image(source: ImageSource, limits: ImageLimits = DEFAULT_LIMITS) -> Image.Image:
    """Read `source` as an upright RGB picture; of an animation, the first frame.

    Arrays are uint8 [h, w, 3], [3, h, w], [h, w, 4] or grey [h, w]. Transparent pixels are laid on
    white, 16-bit and float greys are scaled to 8 bits, and the EXIF orientation is applied.

    Raises:
        UserError: the file is missing, unreadable, no picture, damaged or over the limits.
    """
    if isinstance(source, np.ndarray):
        source = _from_array(source)
    if isinstance(source, Image.Image):
        return _decode(source, "the image", limits)
    data, name = _read(source, limits)
    if not data:
        raise UserError(f"{name} is empty: give a file that holds a picture")
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            warnings.simplefilter("error", Image.DecompressionBombWarning)
            image = Image.open(BytesIO(data), formats=FORMATS)
    except (Image.DecompressionBombError, Image.DecompressionBombWarning) as error:
        raise _too_large(name, limits) from error
    except UnidentifiedImageError as error:
        raise UserError(f"{name} is not a picture in a known format: give {READABLE}") from error
    except Exception as error:  # decoders raise anything on damaged bytes
        raise _damaged(name) from error
    with image:
        return _decode(image, name, limits)


def _from_array(array: NDArray[Any]) -> Image.Image:
    colours = (1, 3, 4)
    if array.ndim == 3 and array.shape[0] in colours and array.shape[2] not in colours:
        array = np.moveaxis(array, 0, -1)
    if array.ndim == 3 and array.shape[2] == 1:
        array = array[..., 0]
    try:
        if array.ndim in (2, 3):
            return Image.fromarray(array)
    except TypeError:  # a kind of number, or of colour, that Pillow does not have
        pass
    raise UserError(
        f"an array of {array.dtype} {list(array.shape)} is no picture: give uint8 "
        "[height, width, 3], with values from 0 to 255"
    )


def _read(
    source: str | os.PathLike[str] | bytes | BinaryFile, limits: ImageLimits
) -> tuple[bytes, str]:
    """The bytes of the picture's file, and what to call it in an error."""
    if isinstance(source, bytes):
        data, name = source, "the image"
    elif isinstance(source, (str, os.PathLike)):
        path = os.fspath(source)
        name = repr(path if len(path) <= 120 else f"{path[:120]}...")  # on one line
        if re.match(r"[a-z][a-z0-9+.-]*://|data:", path, re.IGNORECASE):
            raise UserError(f"{name} is a URL: download it and give the file's path")
        try:
            with open(path, "rb") as file:
                data = file.read(limits.file_bytes + 1)
        except FileNotFoundError as error:
            raise UserError(f"there is no file {name}: check the path") from error
        except (IsADirectoryError, PermissionError) as error:  # on Windows the second for both
            if os.path.isdir(path):
                raise UserError(f"{name} is a folder: give a picture inside it") from error
            raise UserError(f"no permission to read {name}: ask its owner for it") from error
        except (OSError, ValueError) as error:  # ValueError: a null byte in the path
            reason = error.strerror if isinstance(error, OSError) else str(error)
            raise UserError(f"cannot read {name} ({reason}): check the path") from error
    elif isinstance(source, BinaryFile):
        name = "the image"
        try:
            data = source.read(limits.file_bytes + 1)
        except (OSError, ValueError) as error:  # ValueError: a closed file, or text that is none
            raise UserError(f"cannot read the image's file ({error}): open it again") from error
        if not isinstance(data, bytes):
            raise UserError("the image's file is open as text: open it with mode 'rb'")
    else:
        raise UserError(
            "an image is a path, bytes, an open file, a PIL image or an array, not "
            f"{type(source).__name__}"
        )
    if len(data) > limits.file_bytes:
        megabytes = limits.file_bytes / 1e6
        raise UserError(f"{name} is over {megabytes:g} MB: save it smaller (for example as JPEG)")
    return data, name


def _decode(image: Image.Image, name: str, limits: ImageLimits) -> Image.Image:
    """Decode within the limits, turn upright, convert to RGB."""
    if not all(image.size):
        raise UserError(f"{name} has no pixels ({image.width}x{image.height}): give another one")
    _check_size(image, name, limits)
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            image.load()
            _check_size(image, name, limits)  # a GIF frame may be larger than the file's header
            return _to_rgb(_upright(image))
    except UserError:
        raise
    except Exception as error:  # decoders raise anything on damaged bytes
        raise _damaged(name) from error


def _check_size(image: Image.Image, name: str, limits: ImageLimits) -> None:
    if max(image.size) > limits.side or image.width * image.height > limits.pixels:
        raise _too_large(name, limits, f" ({image.width}x{image.height})")


def _too_large(name: str, limits: ImageLimits, size: str = "") -> UserError:
    return UserError(
        f"{name} is too large{size}: resize it to at most {limits.side} pixels a side "
        f"and {limits.pixels / 1e6:g} megapixels"
    )


def _damaged(name: str) -> UserError:
    return UserError(f"{name} is damaged or cut off: save or download it again")


def _upright(image: Image.Image) -> Image.Image:
    try:
        return ImageOps.exif_transpose(image)
    except Exception:  # noqa: BLE001 - broken metadata does not spoil the picture
        return image


def _to_rgb(image: Image.Image) -> Image.Image:
    """Any of Pillow's modes to a new RGB image."""
    if image.mode.startswith("I") or image.mode == "F":
        return Image.fromarray(_to_8_bits(np.asarray(image))).convert("RGB")
    if image.has_transparency_data:
        rgba = image.convert("RGBA")
        white = Image.new("RGB", image.size, "white")
        white.paste(rgba, mask=rgba.getchannel("A"))
        return white
    return image.convert("RGB") if image.mode != "RGB" else image.copy()


def _to_8_bits(grey: np.ndarray) -> np.ndarray:
    """Grey values of more than 8 bits [H, W] to uint8: by their range, not by cutting bits off.

    Integers within 0..65535 are 16-bit, floats within 0..1 are fractions; any other range is
    stretched to black..white.
    """
    values = np.nan_to_num(grey.astype(np.float32), nan=0.0, posinf=0.0, neginf=0.0)
    low, high = float(values.min()), float(values.max())
    full = 65535.0 if grey.dtype.kind in "iu" else 1.0
    if low < 0 or high > full:
        values, full = values - low, (high - low) or 1.0
    return np.rint(values * (255.0 / full)).astype(np.uint8)
