"""Tiny models gain nothing from many threads, and lose much where other work shares the cores.

OPENMOVA_DEVICE=cuda runs the tests of model, routing, loading and parity there; the parity of
encoders and adapter holds in OPENMOVA_DTYPE=bfloat16 too (benchmarks/accelerator.sh runs both).
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

import pytest

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch

if "OPENMOVA_DEVICE" in os.environ:
    torch.set_default_device(os.environ["OPENMOVA_DEVICE"])
    torch.backends.cudnn.allow_tf32 = False  # float32 is to be float32
if "OPENMOVA_DTYPE" in os.environ:
    torch.set_default_dtype(getattr(torch, os.environ["OPENMOVA_DTYPE"]))

if TYPE_CHECKING:
    from PIL import Image

    from openmova import Mova


@pytest.hookimpl(tryfirst=True)
def pytest_runtest_setup() -> None:
    """Whatever a test before it has set: the last bits depend on it."""
    torch.set_num_threads(1)


@pytest.fixture(scope="module")
def mova() -> Mova:
    from inference.asking import tiny_mova

    return tiny_mova()


@pytest.fixture(scope="session")
def nano() -> Mova:
    from openmova import Mova

    return Mova.from_pretrained("nano", device="cpu")


@pytest.fixture(scope="session")
def tiny_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model as a checkpoint."""
    from inference.asking import saved, tiny_mova

    return saved(tiny_mova(), tmp_path_factory.mktemp("tiny-model"))


@pytest.fixture(scope="session")
def unsure_folder(tmp_path_factory: pytest.TempPathFactory) -> str:
    """The tiny model, calibrated so that it is unsure of every answer."""
    from inference.asking import saved, tiny_mova

    mova = tiny_mova(confidence={"weights": {"mean": 1.0}, "bias": -3.0})
    return saved(mova, tmp_path_factory.mktemp("unsure-model"))


@pytest.fixture
def picture() -> Image.Image:
    from tiny import pictures

    return pictures(1)[0]
