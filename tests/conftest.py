"""Tiny models gain nothing from many threads, and lose much where other work shares the cores."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

if TYPE_CHECKING:
    from PIL import Image

    from openmova import Mova


@pytest.fixture(scope="module")
def mova() -> Mova:
    from inference.asking import tiny_mova

    return tiny_mova()


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model as a checkpoint."""
    from inference.asking import tiny_mova

    folder = tmp_path_factory.mktemp("tiny-model")
    mova = tiny_mova()
    mova.model.save_pretrained(folder)
    mova.processor.save_pretrained(folder)
    return str(folder)


@pytest.fixture
def picture() -> Image.Image:
    from tiny import pictures

    return pictures(1)[0]
