"""Our server and vLLM's, side by side: the same model, questions and number type.

    make test-vllm                                   # makes .venv-vllm
    python benchmarks/engines.py --vllm .venv-vllm/bin/python
    python benchmarks/engines.py --vllm .venv-vllm/bin/python --clients 1 8 --questions 32

Both are processes of their own and stay up; they take turns, so that the machine's other work meets
both alike. Each turn has images that neither has seen. Told are, for each number of clients,
questions a second, the median time to the first token, and the memory of the server's processes;
then what the routing pass adds to the first token inside vLLM, against the same experts given.
How many answers are the same is told too.
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import os
import signal
import socket
import subprocess
import sys
import time
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import psutil
from questions import Item, items

from openmova.checkpoints.locate import checkpoint_folder

NEW_TOKENS = 32
SECONDS = 600
TURNS = 2
ROOM = 2048
"""Tokens of a prompt and its answer"""


@dataclass(frozen=True)
class Told:
    """What a client got, and when."""

    text: str
    experts: list[str]
    first: float
    """seconds to the first token"""


class Server:
    """A server's process, and how it is asked."""

    def __init__(
        self, command: Sequence[str], model: str, port: int, environment: dict[str, str]
    ) -> None:
        self.model = model
        self.port = port
        self.process = subprocess.Popen(
            command, env={**os.environ, **environment}, stdout=sys.stderr.fileno()
        )

    def wait(self) -> None:
        """Until it takes questions."""
        for _ in range(SECONDS):
            assert self.process.poll() is None, "the server ended"
            try:
                connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
                connection.request("GET", "/v1/models")
                if connection.getresponse().status == 200:
                    return
            except OSError:
                pass
            time.sleep(1)
        raise TimeoutError("the server does not start")

    def ask(self, request: dict[str, Any]) -> Told:
        body = json.dumps({**request, "model": self.model})
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        started = time.perf_counter()
        headers = {"Content-Type": "application/json"}
        connection.request("POST", "/v1/chat/completions", body, headers)
        response = connection.getresponse()
        assert response.status == 200, response.read()
        pieces: list[str] = []
        experts: list[str] = []
        first = 0.0
        for event in _events(response):
            if "mova" in event and event["mova"].get("routing"):
                experts = event["mova"]["routing"]["experts"]
            for choice in event["choices"]:
                if piece := choice["delta"].get("content"):
                    first = first or time.perf_counter() - started
                    pieces.append(piece)
        connection.close()
        return Told("".join(pieces).strip(), experts, first or time.perf_counter() - started)

    def memory(self) -> float:
        """In MB; what processes share counts once."""
        process = psutil.Process(self.process.pid)
        family = [process, *process.children(recursive=True)]
        return sum(one.memory_full_info().pss for one in family) / 1e6

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(SECONDS)


def _events(response: http.client.HTTPResponse) -> Iterator[dict[str, Any]]:
    for line in response:
        data = line.decode().strip().removeprefix("data: ")
        if data and data != "[DONE]":
            yield json.loads(data)


def body(item: Item, turn: int, experts: Sequence[str] | None = None) -> dict[str, Any]:
    """The request about an item. turn: one corner's colour, so that the image is a new one."""
    image = item.image.convert("RGB")
    image.putpixel((0, 0), (turn, turn, turn))
    file = io.BytesIO()
    image.save(file, "PNG")
    url = f"data:image/png;base64,{base64.b64encode(file.getvalue()).decode()}"
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": item.question},
    ]
    request: dict[str, Any] = {
        "messages": [{"role": "user", "content": content}],
        "max_tokens": NEW_TOKENS,
        "temperature": 0,
        "stream": True,
    }
    if experts is not None:
        request["mova"] = {"experts": list(experts) or "none"}
    return request


@contextmanager
def servers(options: argparse.Namespace) -> Iterator[dict[str, Server]]:
    """Both, ready."""
    folder = checkpoint_folder(options.model)
    model, name = str(folder), folder.name
    places = str(max(options.clients))
    with socket.create_server(("127.0.0.1", 0)) as one, socket.create_server(("", 0)) as other:
        ports = one.getsockname()[1], other.getsockname()[1]
    ours = ["-m", "openmova", "serve", "--model", model, "--dtype", options.dtype]
    ours += ["--port", str(ports[0]), "--max-batch-size", places, "--max-queue", places]
    theirs = ["-m", "vllm.entrypoints.openai.api_server", "--model", model]
    theirs += ["--served-model-name", name, "--host", "127.0.0.1", "--port", str(ports[1])]
    theirs += ["--dtype", options.dtype, "--max-model-len", str(ROOM), "--max-num-seqs", places]
    plug_in = {"VLLM_PLUGINS": "openmova", "VLLM_CPU_KVCACHE_SPACE": "1"}
    made = {
        "openmova": Server([sys.executable, *ours], name, ports[0], {}),
        "vllm": Server([options.vllm, *theirs], name, ports[1], plug_in),
    }
    with ExitStack() as stack:
        for server in made.values():
            stack.callback(server.close)
        for server in made.values():
            server.wait()
        yield made


def measure(made: dict[str, Server], asked: Sequence[Item], clients: int, turn: int) -> int:
    """Tells of one number of clients; returns the last turn."""
    seconds: dict[str, float] = dict.fromkeys(made, 0.0)
    told: dict[str, list[Told]] = {name: [] for name in made}
    for number in range(TURNS):
        turn += 1
        for name in list(made)[:: 1 if number % 2 else -1]:
            sent = [body(item, turn) for item in asked]
            started = time.perf_counter()
            with ThreadPoolExecutor(clients) as pool:
                told[name] += pool.map(made[name].ask, sent)
            seconds[name] += time.perf_counter() - started
    for name, server in made.items():
        speed = TURNS * len(asked) / seconds[name]
        first = median(one.first for one in told[name])
        print(
            f"{clients} clients, {name}: {speed:.2f} questions/s, first token {first:.2f} s, "
            f"{server.memory():.0f} MB",
            flush=True,
        )
    pairs = list(zip(*told.values(), strict=True))
    same = sum((a.text, a.experts) == (b.text, b.experts) for a, b in pairs)
    print(f"{clients} clients: {same} of {len(pairs)} answers the same", flush=True)
    return turn


def measure_routing(server: Server, asked: Sequence[Item], turn: int) -> None:
    """What the routing pass adds to the first token: a new image each time, in turns the one way
    or the other first."""
    ratios = []
    for number, item in enumerate(asked):
        chosen = server.ask(body(item, 0)).experts
        first = {}
        for routed in (True, False) if number % 2 else (False, True):
            sent = body(item, turn + 1 + routed, None if routed else chosen)
            first[routed] = server.ask(sent).first
        ratios.append(first[True] / first[False])
    ratios.sort()
    quarter = len(ratios) // 4
    print(
        f"first token with the routing pass against without: {median(ratios):.2f} times "
        f"(quartiles {ratios[quarter]:.2f} to {ratios[-1 - quarter]:.2f})",
        flush=True,
    )


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--vllm", required=True, help="the Python of vLLM's environment")
    parser.add_argument("--model", default="nano")
    parser.add_argument("--dtype", default="float32")
    parser.add_argument("--clients", type=int, nargs="+", default=[1, 8, 32])
    parser.add_argument("--questions", type=int, default=64)
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    asked = items(options.seed, options.questions)
    with servers(options) as made:
        for server in made.values():
            for item in asked[:16]:
                server.ask(body(item, 255))  # the experts are read
        turn = 0
        for clients in options.clients:
            turn = measure(made, asked, clients, turn)
        measure_routing(made["vllm"], asked, turn)


if __name__ == "__main__":
    main()
