"""The app on a socket, until it is told to end; then what was accepted is still answered."""

import asyncio
import signal
import socket
import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

import h11
import uvicorn
from fastapi import FastAPI
from uvicorn.protocols.http.h11_impl import H11Protocol

from openmova.errors import UserError, reason
from openmova.serve.http import request_body
from openmova.serve.http.chat_api import ServerState

PATIENCE = 30.0
"""Seconds in which a client takes what it is sent; one that does not is hung up on."""
ARRIVAL = request_body.SECONDS + 10.0
"""Seconds in which the headers of a request arrive, and then its body, which is answered with 408
before; after them the client is hung up on."""


def bound_socket(host: str, port: int) -> socket.socket:
    """A socket that listens there; port 0: any free one. Raises UserError if it cannot be had."""
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    try:
        return socket.create_server((host, port), family=family, backlog=2048)
    except (OSError, OverflowError) as error:
        raise UserError(
            f"cannot listen on {host}, port {port} ({reason(error)}): give another --host or --port"
        ) from error


class NotifyingServer(uvicorn.Server):
    """uvicorn, which calls `started` once requests are taken."""

    def __init__(self, app: FastAPI, started: Callable[[], None], **options: Any) -> None:
        quiet = {"access_log": False, "server_header": False, **options}
        super().__init__(uvicorn.Config(app, http=Connection, **quiet))
        self._notify = started

    async def startup(self, sockets: list[socket.socket] | None = None) -> None:
        await super().startup(sockets)
        if self.started:
            self._notify()


class DrainingServer(NotifyingServer):
    """Leaves the port open until nothing is in hand any more.

    On either signal what is in hand is answered and whatever else comes is told to ask again. A
    second Ctrl-C ends it at once.
    """

    def __init__(self, app: FastAPI, started: Callable[[], None]) -> None:
        super().__init__(app, started, log_level="warning")
        self._state: ServerState = app.state.server
        self._idle_ticks = 0

    def handle_exit(self, sig: int, frame: FrameType | None) -> None:
        first = not self._state.closing
        self.should_exit = not first  # so that a second Ctrl-C is one for uvicorn, too
        super().handle_exit(sig, frame)
        if first:
            self._state.closing = True
            self.should_exit = False

    async def on_tick(self, counter: int) -> bool:
        done = self._state.closing and not self._state.in_hand
        self._idle_ticks = self._idle_ticks + 1 if done else 0
        if self._idle_ticks > 1:  # a whole tick: who was accepted in between is told, too
            self.should_exit = True
        return await super().on_tick(counter)


class Connection(H11Protocol):
    """A connection that no client holds for ever, by sending nothing or by taking nothing."""

    _untaken: asyncio.TimerHandle | None = None
    _arriving: asyncio.TimerHandle | None = None
    _stage: object = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        super().connection_made(transport)
        transport.set_write_buffer_limits(high=0)  # writing pauses whenever something is left
        self._watch_arrival()

    def handle_events(self) -> None:
        super().handle_events()
        self._watch_arrival()

    def _watch_arrival(self) -> None:
        """The time begins with the wait for headers, and again with that for a body."""
        client = self.conn.their_state
        stage = (client, self.cycle)  # uvicorn makes a cycle for every request
        if stage != self._stage:
            self._stage = stage
            _cancel(self._arriving)
            if client in (h11.IDLE, h11.SEND_BODY):
                self._arriving = self.loop.call_later(ARRIVAL, self.transport.abort)

    def pause_writing(self) -> None:
        super().pause_writing()
        self._untaken = self.loop.call_later(PATIENCE, self.transport.abort)

    def resume_writing(self) -> None:
        super().resume_writing()
        _cancel(self._untaken)

    def connection_lost(self, exc: Exception | None) -> None:
        super().connection_lost(exc)
        _cancel(self._untaken)
        _cancel(self._arriving)


def _cancel(timer: asyncio.TimerHandle | None) -> None:
    if timer is not None:
        timer.cancel()


def run(server: NotifyingServer, listening: socket.socket) -> None:
    """Serve until SIGTERM or Ctrl-C.

    The process ends with 0 on SIGTERM, as on Ctrl-C everywhere else.
    """
    signal.signal(signal.SIGTERM, lambda number, frame: sys.exit(0))  # uvicorn raises it again
    server.run(sockets=[listening])
