"""Pictures from other servers, where the operator allows them: https, and public addresses only.

A name is resolved once, and the connection is made to the address that was checked; so a name that
changes its address in between gains nothing. Redirects are followed by the same rules.
"""

import asyncio
import socket
import ssl
from ipaddress import IPv6Address, ip_address, ip_network

import httpx
from anyio import to_thread

from openmova.errors import UserError

SECONDS = 10.0
"""For one picture, redirects included."""
REDIRECTS = 3
NAT64 = ip_network("64:ff9b::/96")
HEADERS = {"Accept": "image/*", "Accept-Encoding": "identity", "User-Agent": "openmova"}


async def fetch(url: str, max_bytes: int) -> bytes:
    """The bytes behind an https URL. Raises UserError, in one line, for anything else."""
    client = httpx.AsyncClient(
        transport=PublicTransport(verify=ssl.create_default_context(), trust_env=False),
        headers=HEADERS,
        timeout=SECONDS,
        trust_env=False,  # no proxy, which would resolve names by itself
    )
    try:
        async with asyncio.timeout(SECONDS), client:
            return await _follow(client, url, max_bytes)
    except (TimeoutError, httpx.TimeoutException) as error:
        raise UserError(
            f"the image's server took more than {SECONDS:g} s: send it as a data URL"
        ) from error
    except (OSError, httpx.HTTPError, httpx.InvalidURL, ValueError) as error:
        raise UserError(
            f"the image's URL cannot be read ({type(error).__name__}): check it, or send the "
            "image as a data URL"
        ) from error


async def _follow(client: httpx.AsyncClient, url: str, max_bytes: int) -> bytes:
    """By hand, as httpx would read the whole body of a redirect."""
    request = client.build_request("GET", url)
    for _ in range(REDIRECTS + 1):
        response = await client.send(request, stream=True)
        try:
            if response.next_request is None:
                return await _read(response, max_bytes)
            request = response.next_request
        finally:
            await response.aclose()
    raise UserError(f"the image's URL leads on more than {REDIRECTS} times: give the last one")


async def _read(response: httpx.Response, max_bytes: int) -> bytes:
    if response.status_code != 200:
        raise UserError(f"the image's server answers {response.status_code}: check the URL")
    data = bytearray()
    async for chunk in response.aiter_raw():
        data += chunk
        if len(data) > max_bytes:
            raise UserError(f"the image is over {max_bytes / 1e6:g} MB: use a smaller one")
    return bytes(data)


class PublicTransport(httpx.AsyncHTTPTransport):
    """Sends a request to the address that was checked, under the name that was asked for."""

    async def handle_async_request(self, request: httpx.Request) -> httpx.Response:
        url = request.url
        if url.scheme != "https" or not url.host or url.userinfo:
            raise UserError("an image's URL is https://host/path: give such a one, or a data URL")
        address = await _public_address(url.host, url.port or 443)
        checked = httpx.Request(
            request.method,
            url.copy_with(host=address),
            headers=request.headers,  # Host among them
            extensions={**request.extensions, "sni_hostname": url.host},
        )
        return await super().handle_async_request(checked)


async def _public_address(host: str, port: int) -> str:
    """The first address of a name, if all are public. A resolver that is late is left to itself."""
    found = await to_thread.run_sync(
        lambda: socket.getaddrinfo(host, port, type=socket.SOCK_STREAM), abandon_on_cancel=True
    )
    addresses = [str(address[0]) for *_, address in found]
    if not all(map(is_public, addresses)):
        raise UserError("the image's URL leads into a private network: it is not read")
    return addresses[0]


def is_public(address: str) -> bool:
    """Whether an address is one of the open internet, not of this machine or a private network."""
    found = ip_address(address.partition("%")[0])
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            return is_public(str(found.ipv4_mapped))
        if found.sixtofour is not None or found.teredo is not None or found in NAT64:
            return False  # an IPv4 address in disguise
    return found.is_global and not found.is_multicast
