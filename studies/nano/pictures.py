"""A picture inside a package, named by one line of text, opened as a plain RGB image.

usr/share/photos/cat.jpg              a picture
usr/share/data/animals.rcc!/cat.webp  a picture inside a Qt resource file
tests/invoice.pdf#2                   a page of a PDF, counted from 1
usr/share/brain.nii.gz#90             an axial slice of a NIfTI volume, counted from 0
"""

from __future__ import annotations

import gzip
import shutil
import struct
import subprocess
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from openmova.errors import UserError
from openmova.images.opening import load_image
from studies.nano.rcc import read_resource

PAGE_SIDE = 1600
"""Pixels of a PDF page's longer side, about 140 dots per inch of A4."""
NIFTI_TYPES = {2: np.uint8, 4: np.int16, 16: np.float32, 512: np.uint16}


def open_picture(package: Path, place: str) -> Image.Image:
    """The picture at `place` (see above) of an unpacked package.

    Raises UserError where it is not there or can't be read.
    """
    name, _, part = place.partition("#")
    outer, _, inner = name.partition("!/")
    file = package / outer
    if not file.is_file():
        raise UserError(f"{file} is missing: another version of the package?")
    if inner:
        return load_image(read_resource(file, inner))
    if file.suffix == ".pdf":
        return load_image(_draw_page(file, int(part)))
    if file.name.endswith(".nii.gz"):
        return _read_slice(file, int(part))
    return load_image(file)


def as_batch(picture: Image.Image) -> tuple[Tensor, Tensor]:
    """What an expert's view takes of one picture: uint8 [1, 3, H, W] and its size [1, 2]."""
    array = np.array(picture.convert("RGB"))
    return torch.from_numpy(array).movedim(-1, 0)[None], torch.tensor([array.shape[:2]])


def _draw_page(file: Path, number: int) -> bytes:
    if shutil.which("pdftoppm") is None:
        raise UserError("pages of PDFs need the program pdftoppm: install poppler-utils")
    at = ["-f", str(number), "-l", str(number), "-scale-to", str(PAGE_SIDE)]
    command = ["pdftoppm", "-png", *at, str(file)]
    return subprocess.run(command, capture_output=True, check=True).stdout


def _read_slice(file: Path, index: int) -> Image.Image:
    """One slice, upright, its darkest value black and its brightest white (NIfTI-1, section 2)."""
    held = gzip.decompress(file.read_bytes())
    across, down, depth = struct.unpack_from("<3h", held, 42)
    (kind,) = struct.unpack_from("<h", held, 70)
    (start,) = struct.unpack_from("<f", held, 108)
    volume = np.frombuffer(held, NIFTI_TYPES[kind], across * down * depth, int(start))
    plane = volume.reshape(depth, down, across)[index, ::-1].astype(np.float32)
    plane = (plane - plane.min()) / max(float(np.ptp(plane)), 1e-9)
    return Image.fromarray((255 * plane).astype(np.uint8)).convert("RGB")
