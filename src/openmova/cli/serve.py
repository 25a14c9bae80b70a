"""openmova serve: an OpenAI-compatible server."""

import importlib.util
import os
from pathlib import Path
from typing import Annotated

import typer

from openmova.cli.console import fetch_model
from openmova.cli.options import ModelOptions, takes_model
from openmova.errors import UserError

KEYS_VARIABLE = "OPENMOVA_API_KEYS"
LOCAL = ("127.0.0.1", "localhost", "::1")
EXAMPLES = """\b
Examples:
  openmova serve
  openmova serve --model path/to/mova-8b --quantize 4bit --port 9000
  RAY_ADDRESS=10.0.0.1:6379 openmova serve --ray --replicas 4
  openmova serve --host 0.0.0.0 --api-key-file keys.txt --cors https://example.org
  curl http://127.0.0.1:8000/v1/chat/completions -F image=@photo.jpg \\
    -F 'request={"model": "nano", "messages": [{"role": "user", "content": "What is shown?"}]}'"""


@takes_model
def serve(
    model_options: ModelOptions,
    host: Annotated[str, typer.Option(help="Address to listen on; 0.0.0.0: all.")] = "127.0.0.1",
    port: Annotated[int, typer.Option(help="0: any free one.", min=0, max=65535)] = 8000,
    max_batch_size: Annotated[
        int,
        typer.Option(
            "--max-batch-size", "--places", help="Answers that are written at once.", min=1
        ),
    ] = 8,
    max_queue: Annotated[
        int,
        typer.Option(
            "--max-queue",
            "--waiting",
            help="Questions that may wait; more are told to come back.",
            min=0,
        ),
    ] = 64,
    max_tokens: Annotated[
        int, typer.Option(help="Longest answer that may be asked for, in tokens.", min=1)
    ] = 1024,
    max_seconds: Annotated[
        float, typer.Option(help="Time for an answer, with waiting; then it is cut short.")
    ] = 120.0,
    max_megabytes: Annotated[float, typer.Option(help="Largest file of an image.")] = 20.0,
    max_megapixels: Annotated[float, typer.Option(help="Largest image.")] = 40.0,
    remote_images: Annotated[
        bool, typer.Option("--remote-images", help="Fetch images from public https addresses.")
    ] = False,
    api_key_file: Annotated[
        Path | None,
        typer.Option(
            help=f"One key a line, of which clients send one; or keys with commas in "
            f"{KEYS_VARIABLE}."
        ),
    ] = None,
    cors: Annotated[
        list[str] | None,
        typer.Option(
            metavar="ORIGIN",
            help="A web page's origin that may ask from a browser; may be repeated.",
        ),
    ] = None,
    on_ray: Annotated[
        bool,
        typer.Option(
            "--ray", help="Serve from a Ray cluster: that of RAY_ADDRESS, or this machine as one."
        ),
    ] = False,
    replicas: Annotated[
        int, typer.Option(help="With --ray: copies of the model that answer.", min=1)
    ] = 1,
) -> None:
    """Answer questions over HTTP, as OpenAI's chat completions do.

    SIGTERM or Ctrl-C end it, once the requests in hand are answered.
    """
    if importlib.util.find_spec("fastapi") is None:
        raise UserError("serving needs more packages: pip install 'openmova[serve]'")
    for name, value in (
        ("--max-seconds", max_seconds),
        ("--max-megabytes", max_megabytes),
        ("--max-megapixels", max_megapixels),
    ):
        if not value > 0:
            raise UserError(f"{name} is {value:g}: give more than 0")
    keys = _keys(api_key_file)
    if on_ray and not _has_ray_serve():
        raise UserError("--ray needs Ray Serve: pip install 'openmova[ray-serve]' first")
    if on_ray and port == 0:
        raise UserError("--ray needs a port: give one with --port")
    if replicas > 1 and not on_ray:
        raise UserError("--replicas goes with --ray")
    from openmova.images.opening import ImageLimits
    from openmova.inference.model_thread import load_apart
    from openmova.serve.http.chat_api import create_app
    from openmova.serve.http.http_server import DrainingServer, bound_socket, run
    from openmova.serve.http.server_options import ServerOptions

    model = model_options.model
    options = ServerOptions(
        model=Path(model).name if Path(model).exists() else model,
        images=ImageLimits(file_bytes=int(max_megabytes * 1e6), pixels=int(max_megapixels * 1e6)),
        remote_images=remote_images,
        max_tokens=max_tokens,
        default_tokens=min(ServerOptions.default_tokens, max_tokens),
        max_seconds=max_seconds,
        max_batch_size=max_batch_size,
        max_queue=max_queue,
        api_keys=keys,
        origins=cors or (),
    )
    model_options = model_options.resolve()

    def report(port: int) -> None:
        if host not in LOCAL and not keys:
            typer.echo("openmova: without API keys, whoever reaches this port may ask", err=True)
        typer.echo(f"openmova: {options.model} answers at {web_address(host, port)}/v1", err=True)

    with bound_socket(host, port) as listening:
        bound = listening.getsockname()[1]
        if not on_ray:
            app = create_app(load_apart(model_options.load), options)
            run(DrainingServer(app, lambda: report(bound)), listening)
    if on_ray:  # the port is free again, for Ray's proxy
        from openmova.serve.http.ray_serve import run_on_ray

        fetch_model(model, yes=model_options.yes)  # asked about here, not in a replica
        run_on_ray(
            lambda: create_app(load_apart(model_options.load), options),
            host=host,
            port=port,
            replicas=replicas,
            at_once=options.max_requests,
            on_gpu=model_options.device != "cpu",
            drain_seconds=max_seconds,
            started=lambda: report(port),
        )


def web_address(host: str, port: int) -> str:
    """http://HOST:PORT, as a browser takes it."""
    return f"http://[{host}]:{port}" if ":" in host else f"http://{host}:{port}"


def _has_ray_serve() -> bool:
    """Whether Ray is there with what its extra `serve` adds."""
    return all(map(importlib.util.find_spec, ("ray", "aiohttp_cors", "grpc_reflection")))


def _keys(file: Path | None) -> list[str]:
    """The keys of the file and of the environment."""
    keys = os.environ.get(KEYS_VARIABLE, "").split(",")
    if file is not None:
        try:
            keys += file.read_text(encoding="utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise UserError(f"cannot read the keys in {file}: check the path") from error
        if not any(map(str.strip, keys)):
            raise UserError(f"there is no key in {file}: write one per line")
    return [key.strip() for key in keys if key.strip()]
