"""The Ray cluster that RAY_ADDRESS names or that runs on this machine; else one of it alone."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager

import ray

from openmova.errors import UserError


@contextmanager
def cluster() -> Iterator[None]:
    """Connected to it; one that was started here ends here. Raises UserError if there is none at
    RAY_ADDRESS."""
    ours = not ray.is_initialized()
    if ours:
        address = os.environ.get("RAY_ADDRESS", "this machine")
        try:
            _connect(address)  # Ray itself would try for minutes
            ray.init(logging_level=logging.ERROR, log_to_driver=False, include_dashboard=False)
        except (OSError, RuntimeError, ValueError) as error:
            raise UserError(
                f"no Ray cluster answers at {address}: start one (ray start --head), set "
                "RAY_AUTH_MODE=token if it asks for its token, or unset RAY_ADDRESS (and ray stop "
                "what is left of a killed one) to compute on this machine alone"
            ) from error
    try:
        yield
    finally:
        if ours:
            ray.shutdown()


def _connect(address: str) -> None:
    """Raises OSError if nothing listens at an address of the kind host:port."""
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if host and port.isdecimal():
        socket.create_connection((host, int(port)), timeout=10).close()
