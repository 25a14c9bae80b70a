"""Pictures from other servers, where the operator allows them: https, and public addresses only.

A name is resolved once, and the connection is made to the address that was checked; so a name that
changes its address in between gains nothing. Redirects are followed by the same rules.
"""

from __future__ import annotations

import http.client
import socket
import ssl
import time
from contextlib import suppress
from dataclasses import dataclass
from ipaddress import IPv6Address, ip_address, ip_network
from queue import Empty, Queue
from threading import Thread, Timer
from typing import Any
from urllib.parse import urljoin, urlsplit

from openmova.errors import UserError

REDIRECTS = frozenset({301, 302, 303, 307, 308})
NAT64 = ip_network("64:ff9b::/96")


@dataclass(frozen=True, kw_only=True)
class RemoteLimits:
    """What one picture may cost."""

    file_bytes: int
    seconds: float = 10.0
    redirects: int = 3


def fetch(url: str, limits: RemoteLimits) -> bytes:
    """The bytes behind an https URL. Raises UserError, in one line, for anything else."""
    deadline = time.monotonic() + limits.seconds
    try:
        for _ in range(limits.redirects + 1):
            data, url = _get(url, limits, deadline)
            if data is not None:
                return data
    except TimeoutError as error:
        raise UserError(
            f"the image's server took more than {limits.seconds:g} s: send it as a data URL"
        ) from error
    except (OSError, http.client.HTTPException, ValueError) as error:
        raise UserError(
            f"the image's URL cannot be read ({type(error).__name__}): check it, or send the "
            "image as a data URL"
        ) from error
    raise UserError(
        f"the image's URL leads on more than {limits.redirects} times: give the last one"
    )


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet, not of this machine or a private network."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found.sixtofour is not None or found.teredo is not None or found in NAT64:
            return False  # an IPv4 address in disguise
    return found.is_global and not found.is_multicast


def _get(url: str, limits: RemoteLimits, deadline: float) -> tuple[bytes | None, str]:
    """The bytes, or None and the URL that it redirects to."""
    parts = urlsplit(url)
    if parts.scheme != "https" or not parts.hostname or parts.username is not None:
        raise UserError("an image's URL is https://host/path: give such a one, or a data URL")
    connection = _PublicConnection(parts.hostname, parts.port or 443, deadline)
    try:
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        connection.request("GET", target, headers={"Accept": "image/*", "User-Agent": "openmova"})
        answer = connection.getresponse()
        if answer.status in REDIRECTS:
            return None, urljoin(url, answer.headers.get("Location", ""))
        if answer.status != 200:
            raise UserError(f"the image's server answers {answer.status}: check the URL")
        data = answer.read(limits.file_bytes + 1)
        if len(data) > limits.file_bytes:
            megabytes = limits.file_bytes / 1e6
            raise UserError(f"the image is over {megabytes:g} MB: use a smaller one")
        return data, url
    finally:
        connection.release()
        if time.monotonic() >= deadline:  # what came until then may be cut off
            raise TimeoutError


class _PublicConnection(http.client.HTTPSConnection):
    """Connects to a public address only; is cut off at the deadline, whatever comes."""

    def __init__(self, host: str, port: int, deadline: float) -> None:
        self._tls = ssl.create_default_context()
        self._deadline = deadline
        self._watch = Timer(0, _cut)
        self._watched: socket.socket | None = None  # closed by us alone
        super().__init__(host, port, context=self._tls)

    def connect(self) -> None:
        found = _resolve(self.host, self.port, self._deadline)
        for *_, address in found:
            if not is_public(str(address[0])):
                raise UserError("the image's URL leads into a private network: it is not read")
        family, kind, protocol, _, address = found[0]
        left = _left(self._deadline)
        plain = socket.socket(family, kind, protocol)
        plain.settimeout(left)
        try:
            plain.connect(address)
            self._watched = plain.dup()
            self._watch = Timer(left, _cut, [self._watched])
            self._watch.start()
            self.sock = self._tls.wrap_socket(plain, server_hostname=self.host)
        except BaseException:
            plain.close()
            raise

    def release(self) -> None:
        """The end of it; `close` may come before the answer is read."""
        self.close()
        self._watch.cancel()
        if self._watched is not None:
            self._watched.close()


def _resolve(host: str, port: int, deadline: float) -> list[Any]:
    """The addresses of a name. A resolver that takes longer is left to itself."""
    told: Queue[list[Any] | OSError | ValueError] = Queue()

    def ask() -> None:
        try:
            told.put(socket.getaddrinfo(host, port, type=socket.SOCK_STREAM))
        except (OSError, ValueError) as error:  # no such name; one that cannot be a name
            told.put(error)

    Thread(target=ask, name="openmova-resolver", daemon=True).start()
    try:
        found = told.get(timeout=_left(deadline))
    except Empty:
        raise TimeoutError from None
    if isinstance(found, Exception):
        raise found
    return found


def _left(deadline: float) -> float:
    """Seconds; raises TimeoutError if there are none."""
    left = deadline - time.monotonic()
    if left <= 0:
        raise TimeoutError
    return left


def _cut(connected: socket.socket) -> None:
    """End a connection under whoever reads from it."""
    with suppress(OSError):
        connected.shutdown(socket.SHUT_RDWR)
