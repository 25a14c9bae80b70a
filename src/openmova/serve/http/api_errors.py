"""Everything that goes wrong, in OpenAI's shape of an error."""

import logging

from fastapi import FastAPI
from starlette.exceptions import HTTPException
from starlette.requests import ClientDisconnect, Request
from starlette.responses import JSONResponse, Response

from openmova.errors import UserError
from openmova.inference.engine import Unavailable
from openmova.serve.http.protocol import BadRequest, ErrorAnswer, ErrorInfo

CLIENT_GONE = 499
"""As proxies log it; nobody reads it."""
INVALID = "invalid_request_error"
CODES = {401: "invalid_api_key", 404: "not_found", 413: "request_too_large"}
log = logging.getLogger(__name__)


def error_info(error: Exception) -> tuple[int, ErrorInfo]:
    """The status of an error and what is said about it; our own mistakes are logged, not shown."""
    match error:
        case HTTPException():
            code = CODES.get(error.status_code)
            return error.status_code, ErrorInfo(message=error.detail, type=INVALID, code=code)
        case UserError():
            param = error.param if isinstance(error, BadRequest) else None
            return 400, ErrorInfo(message=str(error), type=INVALID, param=param)
        case Unavailable(full=True):
            return 429, ErrorInfo(message=str(error), type="rate_limit_error", code="queue_full")
        case Unavailable():
            return 503, ErrorInfo(message=str(error), type="server_error")
        case TimeoutError():
            message = "the request came too slowly: send it again"
            return 408, ErrorInfo(message=message, type=INVALID)
    log.error("a request failed", exc_info=error)
    message = "the model failed on this request; the server's log says why"
    return 500, ErrorInfo(message=message, type="server_error")


async def error_response(request: Request, error: Exception) -> Response:
    """The answer to a request that failed with this error."""
    if isinstance(error, ClientDisconnect):
        return Response(status_code=CLIENT_GONE)
    status, info = error_info(error)
    headers = dict(error.headers or {}) if isinstance(error, HTTPException) else {}
    if isinstance(error, Unavailable):
        headers["Retry-After"] = str(error.retry_after)
    return JSONResponse(ErrorAnswer(error=info).model_dump(), status, headers)


def add_error_handlers(app: FastAPI) -> None:
    for kind in (HTTPException, UserError, Unavailable, TimeoutError, ClientDisconnect, Exception):
        app.add_exception_handler(kind, error_response)
