"""How a server gets its model: from a thread that ends, so that the engine's computes alone.

The library under torch's operations (libgomp) keeps workers for every thread that has computed, and
once these are more than cores, workers sleep between two operations in place of being at hand. With
the main thread's workers beside the engine's, nano's answers took 1.6 times as long on two cores.
"""

from collections.abc import Callable
from concurrent.futures import Future
from threading import Thread
from typing import TypeVar

Loaded = TypeVar("Loaded")


def load_apart(load: Callable[[], Loaded]) -> Loaded:
    """What `load` returns or raises, from a thread of its own, which has ended then."""
    found: Future[Loaded] = Future()

    def work() -> None:
        try:
            found.set_result(load())
        except BaseException as error:  # noqa: BLE001 - raised in the thread that waits
            found.set_exception(error)

    thread = Thread(target=work, name="openmova-loading", daemon=True)
    thread.start()
    thread.join()
    return found.result()
