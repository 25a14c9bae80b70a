"""The app on a socket, until it is told to end; then what was accepted is still answered."""

from __future__ import annotations

import signal
import socket
import sys
from collections.abc import Callable

import uvicorn
from fastapi import FastAPI

from openmova.errors import UserError


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0: any free one. Raises UserError if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or str(error)
        raise UserError(
            f"cannot listen on {host}, port {port} ({reason}): give another --host or --port"
        ) from error


def run(app: FastAPI, listening: socket.socket, started: Callable[[], None]) -> None:
    """Serve until SIGTERM or Ctrl-C; `started` is called once requests are taken.

    On either signal no more connections are taken, requests in hand are answered, and the process
    ends: with 0 on SIGTERM, as on Ctrl-C everywhere else.
    """
    config = uvicorn.Config(app, log_level="warning", access_log=False, server_header=False)
    server = _Server(config, started)
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))  # uvicorn raises it again
    server.run(sockets=[listening])


class _Server(uvicorn.Server):
    def __init__(self, config: uvicorn.Config, started: Callable[[], None]) -> None:
        super().__init__(config)
        self._tell = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()
