"""What Prometheus reads at /metrics."""

from collections.abc import Callable
from typing import Any

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from openmova.inference.engine import Engine, Reply

BATCHES = (1, 2, 4, 8, 16, 32, 64)
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()
        ours: dict[str, Any] = {"namespace": "openmova", "registry": self._registry}
        timed = {"buckets": SECONDS, **ours}
        sized = {"buckets": BATCHES, **ours}
        self._requests = Counter("requests", "HTTP answers.", ["path", "status"], **ours)
        self._duration = Histogram("request_seconds", "Until the whole answer.", ["path"], **timed)
        self._batch = Histogram("batch_size", "How many shared a pass.", ["stage"], **sized)
        self._stage = Histogram("stage_seconds", "Of an answer, by stage.", ["stage"], **timed)
        self._tokens = Counter("tokens", "Tokens read and written.", ["kind"], **ours)
        told = "Answers that an expert had a part in."
        self._experts = Counter("expert_choices", told, ["expert"], **ours)

    def watch(self, engine: Engine, in_hand: Callable[[], int]) -> None:
        """Read an engine's queue, and how many requests are in hand, whenever figures are read."""
        for name, told, value in (
            ("waiting", "Questions in the queue.", lambda: engine.waiting),
            ("running", "Answers being written.", lambda: engine.running),
            ("in_hand", "Requests taken and not answered.", in_hand),
        ):
            gauge = Gauge(name, told, namespace="openmova", registry=self._registry)
            gauge.set_function(value)

    def batch(self, stage: str, size: int) -> None:
        self._batch.labels(stage).observe(size)

    def request(self, path: str, status: int, seconds: float) -> None:
        self._requests.labels(path, str(status)).inc()
        self._duration.labels(path).observe(seconds)

    def reply(self, reply: Reply, prompt_tokens: int) -> None:
        self._tokens.labels("prompt").inc(prompt_tokens)
        self._tokens.labels("completion").inc(reply.tokens)
        for stage, seconds in reply.answer.timings.items():
            self._stage.labels(stage).observe(seconds)
        for expert in reply.answer.routing.experts:
            self._experts.labels(expert).inc()

    def text(self) -> bytes:
        """In Prometheus' own format."""
        return generate_latest(self._registry)
