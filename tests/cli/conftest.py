"""What the commands are given; they silence the libraries, which the other tests hear again."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from huggingface_hub.utils import enable_progress_bars
from transformers.utils import logging

from openmova.checkpoints.tiny import tiny_mova
from tiny import pictures, tiny_config


@pytest.fixture(autouse=True)
def libraries_speak_again() -> Iterator[None]:
    yield
    enable_progress_bars()
    logging.enable_progress_bar()
    logging.set_verbosity_warning()


@pytest.fixture(scope="session")
def image(tmp_path_factory: pytest.TempPathFactory) -> str:
    path = tmp_path_factory.mktemp("a folder") / "a picture.png"
    pictures(1)[0].save(path)
    return str(path)


@pytest.fixture(scope="session")
def model(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The checkpoint of the smoke recipe's model, whose answers depend on the experts."""
    folder = tmp_path_factory.mktemp("smoke-model")
    mova, processor = tiny_mova()
    with torch.no_grad(), torch.random.fork_rng():
        torch.manual_seed(0)
        for weight in mova.model.adapter.parameters():  # untrained, it ignores the experts
            weight.normal_(0, 0.2)
    mova.save_pretrained(folder)
    processor.save_pretrained(folder)
    return folder


@pytest.fixture
def unread_folder(tmp_path: Path) -> Path:
    """A checkpoint whose weights nobody could load."""
    tiny_config().save_pretrained(tmp_path)
    for name in ("processor_config.json", "tokenizer_config.json", "model.safetensors"):
        (tmp_path / name).touch()
    return tmp_path
