"""Remote pictures: https and public addresses only, whatever a name or a redirect says."""

from __future__ import annotations

import asyncio
import socket
import ssl
import subprocess
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from openmova.errors import UserError
from openmova.serve.http import remote_images as remote
from openmova.serve.http.remote_images import is_public


@pytest.fixture(autouse=True)
def limits(monkeypatch: pytest.MonkeyPatch) -> None:
    """Short ones; of a "localhost" with two addresses the first is the one that the site has."""
    resolve = socket.getaddrinfo

    def ipv4_first(host: str, *arguments: Any, **options: Any) -> Any:
        return sorted(resolve(host, *arguments, **options), key=lambda found: found[0])

    monkeypatch.setattr(socket, "getaddrinfo", ipv4_first)
    monkeypatch.setattr(remote, "SECONDS", 2.0)
    monkeypatch.setattr(remote, "REDIRECTS", 2)


def fetch(url: str) -> bytes:
    return asyncio.run(remote.fetch(url, 1000))


PUBLIC = ["8.8.8.8", "2606:4700::1111", "::ffff:8.8.8.8"]
PRIVATE = [
    *("127.0.0.1", "10.1.2.3", "192.168.0.1", "172.16.0.1", "169.254.169.254", "0.0.0.0"),
    *("100.64.0.1", "224.0.0.1", "255.255.255.255", "::1", "::", "fe80::1%eth0", "fd00::1"),
    *("::ffff:127.0.0.1", "64:ff9b::7f00:1", "2002:7f00:1::", "2001:0:7f00:1::", "ff02::1"),
]


@pytest.mark.parametrize("address", [*PUBLIC, *PRIVATE])
def test_public_and_private_addresses(address: str) -> None:
    assert is_public(address) is (address in PUBLIC)


OURS = ["127.0.0.1", "localhost", "[::1]", "2130706433", "0x7f.1", "169.254.169.254"]
OTHERS = [
    "http://example.org/a.png",
    "ftp://example.org",
    "https:///a",
    "https://me:it@example.org",
]


@pytest.mark.parametrize(
    ("url", "told"),
    [
        *((f"https://{host}/a.png", "private network|cannot be read") for host in OURS),
        *((url, "https://host/path") for url in OTHERS),
    ],
)
def test_an_address_of_ours_and_other_urls_are_not_read(url: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        fetch(url)


@pytest.mark.parametrize("url", ["https://example.org:port/", "https://a b.org/", "https://x/\n"])
def test_broken_urls(url: str, monkeypatch: pytest.MonkeyPatch) -> None:
    def nowhere(*arguments: Any, **options: Any) -> Any:
        raise socket.gaierror("unknown name")

    monkeypatch.setattr(socket, "getaddrinfo", nowhere)
    with pytest.raises(UserError, match="cannot be read"):
        fetch(url)


ANSWERS: dict[str, Any] = {
    "/picture?small": (200, b"picture"),
    "/large": (200, b"x" * 1001),
    "/missing": (404, b""),
    "/moved": (302, b"", "/picture?small"),
    "/moved-with-a-long-body": (302, b"x" * 1_000_000, "/picture?small", 10**12),
    "/round": (302, b"", "/round"),
    "/inside": (302, b"", "https://10.0.0.1/"),
    "/down": (302, b"", "http://localhost/picture"),
}


class Answers(BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        if self.path != "/slow":
            return self._send(*ANSWERS[self.path])
        self.send_response(200)
        self.end_headers()
        for _ in range(100):
            self.wfile.write(b"x")
            time.sleep(0.1)

    def _send(self, status: int, body: bytes, location: str = "", length: int = 0) -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(length or len(body)))
        if location:
            self.send_header("Location", location)
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *arguments: Any) -> None:
        pass


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    folder = tmp_path_factory.mktemp("tls")
    key, certificate = folder / "key.pem", folder / "certificate.pem"
    command = ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256"]
    command += ["-nodes", "-days", "1", "-subj", "/CN=localhost"]
    command += ["-addext", "subjectAltName=DNS:localhost", "-keyout", str(key)]
    subprocess.run([*command, "-out", str(certificate)], check=True, capture_output=True)
    return certificate, key


@pytest.fixture
def site(certificate: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """A server of https on this machine, which counts as public and is trusted."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(*certificate)
    server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
    server.daemon_threads = True
    server.socket = context.wrap_socket(server.socket, server_side=True)
    threading.Thread(target=server.serve_forever, args=[0.01], daemon=True).start()
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    monkeypatch.setattr(ssl, "create_default_context", lambda: trusting)
    local = ("127.0.0.1", "::1")
    monkeypatch.setattr(remote, "is_public", lambda address: address in local or is_public(address))
    yield f"https://localhost:{server.server_port}"
    server.shutdown()
    server.server_close()


@pytest.mark.parametrize("path", ["/picture?small", "/moved", "/moved-with-a-long-body"])
def test_a_picture_is_read(site: str, path: str) -> None:
    assert fetch(site + path) == b"picture"


@pytest.mark.parametrize(
    ("path", "told"),
    [
        ("/large", "over 0.001 MB"),
        ("/missing", "answers 404"),
        ("/round", "more than 2 times"),
        ("/inside", "private network"),
        ("/down", "https://host/path"),
    ],
)
def test_what_is_not_read(site: str, path: str, told: str) -> None:
    with pytest.raises(UserError, match=told):
        fetch(site + path)


def test_a_slow_server_is_cut_off(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(remote, "SECONDS", 0.5)
    started = time.monotonic()
    with pytest.raises(UserError, match=r"more than 0\.5 s"):
        fetch(f"{site}/slow")
    assert time.monotonic() - started < 8  # it would take 10


def test_a_certificate_must_be_right(site: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(
        ssl, "create_default_context", lambda: ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    )
    with pytest.raises(UserError, match="cannot be read"):
        fetch(f"{site}/picture?small")


def test_a_slow_resolver_is_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    answered = threading.Event()
    monkeypatch.setattr(remote, "SECONDS", 0.2)
    monkeypatch.setattr(socket, "getaddrinfo", lambda *name, **kind: answered.wait(60))
    with pytest.raises(UserError, match=r"more than 0\.2 s"):
        fetch("https://example.org/a.png")
    assert not answered.is_set()
    answered.set()
