"""A model is loaded in a thread that has ended when the model is there."""

from __future__ import annotations

import threading

import pytest

from openmova.errors import UserError
from openmova.inference.model_thread import load_apart


def test_what_is_loaded_comes_from_a_thread_that_has_ended() -> None:
    thread = load_apart(threading.current_thread)
    assert thread is not threading.current_thread()
    assert not thread.is_alive()


def test_a_mistake_is_raised_where_it_was_asked_for() -> None:
    def load() -> None:
        raise UserError("there is no such model")

    with pytest.raises(UserError, match="no such model"):
        load_apart(load)
