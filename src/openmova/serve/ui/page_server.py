"""The page on a socket; nothing of it is fetched from elsewhere, and nothing is sent there."""

import os
import secrets
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from importlib.resources import files

os.environ["GRADIO_ANALYTICS_ENABLED"] = "False"  # read when Gradio is imported, too

import gradio as gr
from fastapi import FastAPI
from starlette.concurrency import run_in_threadpool
from starlette.datastructures import MutableHeaders
from starlette.middleware.trustedhost import TrustedHostMiddleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from openmova.inference.engine import Engine
from openmova.inference.limits import GenerationLimits
from openmova.inference.mova import Mova
from openmova.serve.http.http_server import NotifyingServer
from openmova.serve.http.server_options import IMAGES
from openmova.serve.ui.handlers import PageHandlers
from openmova.serve.ui.layout import build_page

PATIENCE = 5
"""Seconds that open pages get at the end."""
SECONDS = 120.0
"""Time for an answer, with waiting."""
POLICY = (
    "default-src 'self'; script-src 'self' 'unsafe-inline' 'unsafe-eval'; "
    "style-src 'self' 'unsafe-inline'; img-src 'self' data: blob:; font-src 'self' data:; "
    "media-src 'self' data: blob:; worker-src 'self' blob:; object-src 'none'; "
    "base-uri 'self'; form-action 'self'; frame-ancestors 'self'"
)
"""The browser itself refuses whatever is elsewhere."""
HEADERS = {
    "Content-Security-Policy": POLICY,
    "Referrer-Policy": "no-referrer",
    "X-Content-Type-Options": "nosniff",
}


def create_page(
    mova: Mova,
    *,
    model: str,
    max_new_tokens: int,
    hosts: tuple[str, ...] = (),
    password: str = "",
) -> FastAPI:
    """The app; its engine runs at once, and ends, drained, with the app's lifespan.

    model: what the user called it; hosts: the only names under which it may be asked for, if any;
    password: what a visitor has to know, with any name; if empty, nothing.
    """
    engine = Engine(mova)

    @asynccontextmanager
    async def lifespan(app: FastAPI) -> AsyncIterator[None]:
        yield
        await run_in_threadpool(engine.close)

    app = FastAPI(lifespan=lifespan, docs_url=None, redoc_url=None, openapi_url=None)
    app.state.engine = engine
    limits = GenerationLimits(max_new_tokens=max_new_tokens, max_seconds=SECONDS)
    gr.mount_gradio_app(
        app,
        build_page(PageHandlers(engine, limits, IMAGES), engine, model=model),
        path="/",
        auth=partial(_check_password, password) if password else None,
        auth_message="Give any name, and the password.",
        footer_links=[],
        run_history=False,
        show_error=False,  # of our own mistakes, which name files of this machine
        ssr_mode=False,
        mcp_server=False,
        enable_monitoring=False,
        max_file_size=IMAGES.file_bytes,
        theme=_theme(),
        css=files("openmova.serve.ui").joinpath("page.css").read_text(encoding="utf-8"),
    )
    app.add_middleware(SecurityHeaders)
    if hosts:
        app.add_middleware(TrustedHostMiddleware, allowed_hosts=list(hosts))
    return app


def page_server(app: FastAPI, started: Callable[[], None]) -> NotifyingServer:
    return NotifyingServer(app, started, log_level="error", timeout_graceful_shutdown=PATIENCE)


def _check_password(password: str, name: str, attempt: str) -> bool:
    return secrets.compare_digest(password.encode(), attempt.encode())


def _theme() -> gr.themes.Base:
    """Fonts of the visitor's machine; colours that are told apart by 4.5 to 1 or more."""
    return gr.themes.Default(
        primary_hue="blue",
        font=["system-ui", "sans-serif"],
        font_mono=["ui-monospace", "monospace"],
    ).set(
        button_primary_background_fill="*primary_700",
        button_primary_background_fill_dark="*primary_700",
        button_primary_background_fill_hover="*primary_800",
        button_primary_background_fill_hover_dark="*primary_800",
        block_info_text_color="*neutral_600",
        block_info_text_color_dark="*neutral_300",
        input_placeholder_color="*neutral_500",
        input_placeholder_color_dark="*neutral_400",
    )


class SecurityHeaders:
    """Adds HEADERS to every answer."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        async def send_with_headers(message: Message) -> None:
            if message["type"] == "http.response.start":
                MutableHeaders(scope=message).update(HEADERS)
            await send(message)

        await self._app(scope, receive, send_with_headers)
