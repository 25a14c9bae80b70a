"""What Prometheus reads at /metrics."""

from collections.abc import Callable

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest

from openmova.inference.engine import Engine, Reply

BATCHES = (1, 2, 4, 8, 16, 32, 64)
SECONDS = (0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120)


class Metrics:
    """The figures of one server."""

    def __init__(self) -> None:
        self._registry = CollectorRegistry()

        def counter(name: str, help: str, *labels: str) -> Counter:
            return Counter(f"openmova_{name}", help, labels, registry=self._registry)

        def histogram(name: str, help: str, buckets: tuple[float, ...], *labels: str) -> Histogram:
            return Histogram(
                f"openmova_{name}", help, labels, buckets=buckets, registry=self._registry
            )

        self._requests = counter("requests", "HTTP answers.", "path", "status")
        self._duration = histogram("request_seconds", "Until the whole answer.", SECONDS, "path")
        self._batch = histogram("batch_size", "How many shared a pass.", BATCHES, "stage")
        self._stage = histogram("stage_seconds", "Of an answer, by stage.", SECONDS, "stage")
        self._tokens = counter("tokens", "Tokens read and written.", "kind")
        self._experts = counter("expert_choices", "Answers that an expert had a part in.", "expert")

    def watch(self, engine: Engine, in_hand: Callable[[], int]) -> None:
        """Read an engine's queue, and how many requests are in hand, whenever figures are read."""

        def gauge(name: str, help: str, value: Callable[[], int]) -> None:
            made = Gauge(f"openmova_{name}", help, registry=self._registry)
            made.set_function(value)

        gauge("waiting", "Questions in the queue.", lambda: engine.waiting)
        gauge("running", "Answers being written.", lambda: engine.running)
        gauge("in_hand", "Requests taken and not answered.", in_hand)

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
