"""The commands silence the libraries; the other tests in the process are to hear them again."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from huggingface_hub.utils import enable_progress_bars
from transformers.utils import logging


@pytest.fixture(autouse=True)
def libraries_speak_again() -> Iterator[None]:
    yield
    enable_progress_bars()
    logging.enable_progress_bar()
    logging.set_verbosity_warning()
