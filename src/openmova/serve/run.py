"""The app on a socket, until it is told to end; then what was accepted is still answered."""

from __future__ import annotations

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType

import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from openmova.errors import UserError
from openmova.serve.app import Server

PATIENCE = 30.0
"""Seconds in which a client takes what it is sent; one that does not is hung up on."""


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

    On either signal what is in hand is answered and whatever else comes is told to ask again; then
    the process ends: with 0 on SIGTERM, as on Ctrl-C everywhere else. A second Ctrl-C ends it at
    once.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))  # uvicorn raises it again
    HttpServer(app, started).run(sockets=[listening])


class HttpServer(uvicorn.Server):
    """uvicorn, which leaves the port open until nothing is in hand any more."""

    def __init__(self, app: FastAPI, started: Callable[[], None]) -> None:
        super().__init__(
            uvicorn.Config(
                app, http=_Connection, log_level="warning", access_log=False, server_header=False
            )
        )
        self._state: Server = app.state.server
        self._tell = started
        self._idle = 0

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._tell()

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        first = not self._state.closing
        self.should_exit = not first  # so that a second Ctrl-C is one for uvicorn, too
        super().handle_exit(sig, frame)
        if first:
            self._state.closing = True
            self.should_exit = False

    async def on_tick(self, counter: int) -> bool:
        done = self._state.closing and not self._state.in_hand
        self._idle = self._idle + 1 if done else 0
        if self._idle > 1:  # a whole tick: who was accepted in between is told, too
            self.should_exit = True
        return await super().on_tick(counter)


class _Connection(H11Protocol):
    """A connection; what was written to it must be taken within PATIENCE seconds."""

    _hang_up: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # writing pauses whenever something is left

    def pause_writing(self) -> None:
        super().pause_writing()
        self._hang_up = self.loop.call_later(PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        self._keep()

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        self._keep()

    def _keep(self) -> None:
        if self._hang_up is not None:
            self._hang_up.cancel()
