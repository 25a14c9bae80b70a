"""The server on nano: many clients against one, its cost over `Mova.ask`, a second question about
an image, a crowd, and the end.

    python benchmarks/serving.py                         # everything; about 20 minutes on two cores
    python benchmarks/serving.py ratio overhead --questions 64
    python benchmarks/serving.py ratio --length 64       # answers of exactly 64 tokens

The questions are nano's suite, each about an image of its own, sent as data URLs; the server is a
process of its own, with the same number of threads as `Mova.ask` here. What is compared is measured
in turns, part by part, so that the machine's other work meets both alike, and with images that the
server has not seen, but where it says otherwise.

ratio      questions a second with 16 clients against one, by the clock and by the server's
           processor time; --length: every answer is so long, as its end token is never written
overhead   one client against `Mova.ask`: median of the difference, question by question
again      the first token of a second question about an image, against that of the first
crowd      200 clients with five questions each, some with a system message, some about a second
           image: lost, differing from single answers, memory
end        SIGTERM while 64 clients wait and others come
"""

from __future__ import annotations

import argparse
import base64
import http.client
import io
import json
import signal
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from statistics import median
from typing import Any

import psutil
from PIL import Image
from questions import Item, items

from openmova import Mova
from openmova.cli.console import quiet_libraries
from openmova.inference.model_thread import load_apart
from openmova.serve.http.chat_api import create_app
from openmova.serve.http.http_server import DrainingServer, bound_socket, run
from openmova.serve.http.server_options import ServerOptions

NAME = "nano"
NEW_TOKENS = 32
CLIENTS, CROWD = 16, 200
PART = 32
"""Questions between two turns."""
SECONDS = 600
SYSTEM = "You answer in a few words."
PARTS = ("ratio", "overhead", "again", "crowd", "end")
TYPE = "Which type of image is this?"


def body(item: Item, tokens: int, *, copy: int = 0, question: str = "") -> bytes:
    """The request about an item. copy: one corner's colour, so that the server knows it for new."""
    image = item.image.convert("RGB")
    if copy:
        image.putpixel((0, 0), (copy, copy, copy))
    return request([shown(image, question or item.question)], tokens)


def request(messages: Sequence[dict[str, Any]], tokens: int) -> bytes:
    return json.dumps({"model": NAME, "messages": messages, "max_tokens": tokens}).encode()


def shown(image: Image.Image, question: str) -> dict[str, Any]:
    """A user's message that shows an image."""
    url = f"data:image/png;base64,{base64.b64encode(png(image)).decode()}"
    content = [
        {"type": "image_url", "image_url": {"url": url}},
        {"type": "text", "text": question},
    ]
    return {"role": "user", "content": content}


def png(image: Image.Image) -> bytes:
    file = io.BytesIO()
    image.save(file, "PNG")
    return file.getvalue()


@dataclass(frozen=True)
class Told:
    """What a client got: status 0 is a connection refused, -1 one that broke."""

    status: int
    answer: str = ""
    experts: tuple[str, ...] = ()


class Server:
    """The process, and how it is asked."""

    def __init__(self, options: argparse.Namespace) -> None:
        self.process = subprocess.Popen(
            [sys.executable, __file__, "--serve", json.dumps(vars(options))],
            stdout=subprocess.PIPE,
            text=True,
        )
        assert self.process.stdout is not None
        self.port = int(self.process.stdout.readline())
        self.usage = psutil.Process(self.process.pid)

    def ask(self, sent: bytes) -> Told:
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=SECONDS)
        kind = {"Content-Type": "application/json"}
        try:
            connection.connect()
        except OSError:
            return Told(0)
        try:
            connection.request("POST", "/v1/chat/completions", sent, kind)
            response = connection.getresponse()
            said = json.loads(response.read())
        except (OSError, http.client.HTTPException, ValueError):
            return Told(-1)
        finally:
            connection.close()
        if response.status != 200:
            return Told(response.status)
        text = said["choices"][0]["message"]["content"]
        return Told(200, text, tuple(said["mova"]["routing"]["experts"]))

    def processor(self) -> float:
        times = self.usage.cpu_times()
        return times.user + times.system

    def memory(self) -> float:
        """In MB."""
        return self.usage.memory_info().rss / 1e6

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        self.process.wait(SECONDS)


@contextmanager
def serving(options: argparse.Namespace) -> Iterator[Server]:
    server = Server(options)
    try:
        yield server
    finally:
        server.close()


def serve(options: argparse.Namespace) -> None:
    """What the process does."""
    quiet_libraries()
    mova = load_apart(lambda: Mova.from_pretrained(options.model, dtype=options.dtype))
    settings = mova.model.generation_config
    if options.length:
        settings.suppress_tokens = [settings.eos_token_id]  # the engine reads it once
    app = create_app(
        mova,
        ServerOptions(
            model=NAME,
            max_batch_size=options.places,
            max_queue=CROWD,
            max_seconds=SECONDS,
        ),
    )
    settings.suppress_tokens = None  # the router ends where it wants
    listening = bound_socket("127.0.0.1", 0)
    port = listening.getsockname()[1]
    run(DrainingServer(app, lambda: print(port, flush=True)), listening)


def measure_ratio(server: Server, asked: Sequence[Item], tokens: int) -> None:
    clock: dict[int, float] = defaultdict(float)
    processor: dict[int, float] = defaultdict(float)
    parts = [asked[i : i + PART] for i in range(0, len(asked), PART)]
    for number, part in enumerate(parts):
        for clients in (1, CLIENTS) if number % 2 else (CLIENTS, 1):
            sent = [body(item, tokens, copy=clients) for item in part]
            started, used = time.perf_counter(), server.processor()
            with ThreadPoolExecutor(clients) as pool:
                assert all(told.status == 200 for told in pool.map(server.ask, sent))
            clock[clients] += time.perf_counter() - started
            processor[clients] += server.processor() - used
    for name, seconds in (("clock", clock), ("processor", processor)):
        one, many = len(asked) / seconds[1], len(asked) / seconds[CLIENTS]
        print(
            f"by the {name}: 1 client {one:.2f} questions/s, {CLIENTS} clients {many:.2f}: "
            f"{many / one:.2f} times",
            flush=True,
        )


def measure_overhead(server: Server, mova: Mova, asked: Sequence[Item], tokens: int) -> None:
    more: list[float] = []
    for number, item in enumerate(asked):
        sent, picture = body(item, tokens), png(item.image)
        seconds = {}
        for way in ("ask", "server") if number % 2 else ("server", "ask"):
            started = time.perf_counter()
            if way == "ask":
                mova.ask(picture, item.question, max_new_tokens=tokens)
            else:
                assert server.ask(sent).status == 200
            seconds[way] = time.perf_counter() - started
        more.append(1000 * (seconds["server"] - seconds["ask"]))
    more.sort()
    quarter = len(more) // 4
    print(
        f"overhead over ask, {len(more)} questions: median {median(more):.1f} ms "
        f"(quartiles {more[quarter]:.1f} to {more[-1 - quarter]:.1f})",
        flush=True,
    )


def measure_again(server: Server, asked: Sequence[Item]) -> None:
    """Each item is asked its own question and its type, in turns the one or the other first."""
    times: tuple[list[float], list[float]] = ([], [])
    ratios = []
    for number, item in enumerate(asked):
        both = (item.question, TYPE) if number % 2 else (TYPE, item.question)
        for kept, question in zip(times, both, strict=True):
            sent = body(item, 1, copy=255 - CLIENTS, question=question)
            started = time.perf_counter()
            assert server.ask(sent).status == 200
            kept.append(time.perf_counter() - started)
        ratios.append(times[1][-1] / times[0][-1])
    ratios.sort()
    quarter = len(ratios) // 4
    print(
        f"first token, {len(asked)} images: {median(times[0]):.2f} s of the first question, "
        f"{median(times[1]):.2f} s of the second: {median(ratios):.2f} times "
        f"(quartiles {ratios[quarter]:.2f} to {ratios[-1 - quarter]:.2f})",
        flush=True,
    )


def measure_crowd(
    server: Server, mova: Mova, asked: Sequence[Item], tokens: int, each: int
) -> None:
    expected, sent = [], []
    for number, item in enumerate(asked):
        # One in three has a system message, and one in four is asked after another image.
        system = SYSTEM if number % 3 == 0 else None
        chat, messages = mova.chat(system), []
        if system:
            messages.append({"role": "system", "content": system})
        if number % 4 == 0:
            other = asked[number - 1]
            first = chat.ask(other.question, other.image, max_new_tokens=tokens).text
            messages += [
                shown(other.image, other.question),
                {"role": "assistant", "content": first},
            ]
        answer = chat.ask(item.question, more=[item.image], max_new_tokens=tokens)
        expected.append((answer.text, answer.routing.experts))
        sent.append(request([*messages, shown(item.image, item.question)], tokens))
    before = most = server.memory()
    done = threading.Event()

    def watch() -> None:
        nonlocal most
        while not done.wait(0.05):
            most = max(most, server.memory())

    def client(number: int) -> list[tuple[int, Told]]:
        which = [(number * each + turn) % len(asked) for turn in range(each)]
        return [(i, server.ask(sent[i])) for i in which]

    threading.Thread(target=watch, daemon=True).start()
    started = time.perf_counter()
    with ThreadPoolExecutor(CROWD) as pool:
        told = [pair for pairs in pool.map(client, range(CROWD)) for pair in pairs]
    seconds = time.perf_counter() - started
    done.set()
    lost = sum(one.status != 200 for _, one in told)
    differing = [
        (asked[i].question, expected[i], (one.answer, one.experts))
        for i, one in told
        if one.status == 200 and (one.answer, one.experts) != expected[i]
    ]
    print(
        f"{CROWD} clients with {each} questions: {len(told)} in {seconds:.0f} s, {lost} lost, "
        f"{len(differing)} differing from single answers ({len(asked)} different questions); "
        f"memory {before:.0f} MB before, {most:.0f} MB at most",
        flush=True,
    )
    for question, single, shared in differing:
        print(f"{question!r}: alone {single}, in the crowd {shared}", flush=True)


def measure_end(server: Server, sent: Sequence[bytes]) -> None:
    """64 clients are in hand at the signal; four others ask on until nobody listens."""

    def ask_on(number: int) -> list[Told]:
        told = []
        while not told or told[-1].status:
            told.append(server.ask(sent[number]))
            time.sleep(0.02)
        return told

    in_hand = (sent * (64 // len(sent) + 1))[:64]
    with ThreadPoolExecutor(68) as pool:
        waiting = [pool.submit(server.ask, one) for one in in_hand]
        while in_hands(server) < len(in_hand):
            time.sleep(0.01)
        others = [pool.submit(ask_on, number) for number in range(4)]
        server.process.send_signal(signal.SIGTERM)
        first = Counter(one.result().status for one in waiting)
        later = Counter(told.status for other in others for told in other.result())
    code = server.process.wait(SECONDS)
    print(f"SIGTERM with 64 in hand: {dict(first)}; who came later: {dict(later)}; exit {code}")


def in_hands(server: Server) -> int:
    """Questions that wait or are answered."""
    connection = http.client.HTTPConnection("127.0.0.1", server.port, timeout=SECONDS)
    connection.request("GET", "/metrics")
    lines = connection.getresponse().read().decode().splitlines()
    connection.close()
    figures = dict(line.rsplit(" ", 1) for line in lines if not line.startswith("#"))
    return int(float(figures["openmova_in_hand"]))


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("parts", nargs="*", default=PARTS, help=", ".join(PARTS))
    parser.add_argument("--model", default="nano")
    parser.add_argument("--dtype", help="float32: no products in bfloat16")
    parser.add_argument("--questions", type=int, default=128)
    parser.add_argument("--places", type=int, default=16)
    parser.add_argument("--length", type=int, default=0)
    parser.add_argument("--each", type=int, default=5, help="questions of a client of the crowd")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--serve", help=argparse.SUPPRESS)
    options = parser.parse_args()
    if unknown := set(options.parts) - set(PARTS):
        parser.error(f"no such part: {', '.join(unknown)}")
    if options.serve:
        return serve(argparse.Namespace(**json.loads(options.serve)))
    asked = items(options.seed, options.questions)
    tokens = options.length or NEW_TOKENS
    sent = [body(item, tokens) for item in asked]
    with serving(options) as server:
        for item in asked[:CLIENTS]:
            server.ask(body(item, tokens, copy=255))  # the experts are read
        if "ratio" in options.parts:
            measure_ratio(server, asked, tokens)
        if "again" in options.parts:
            measure_again(server, asked)
        if {"overhead", "crowd"} & set(options.parts):
            quiet_libraries()
            mova = Mova.from_pretrained(options.model, dtype=options.dtype)
            mova.ask(asked[0].image, asked[0].question, experts="all")
            if "overhead" in options.parts:
                measure_overhead(server, mova, asked, tokens)
            if "crowd" in options.parts:
                measure_crowd(server, mova, asked, tokens, options.each)
        if "end" in options.parts:
            measure_end(server, sent)


if __name__ == "__main__":
    main()
