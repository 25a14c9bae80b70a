"""The same app as a deployment of Ray Serve: replicas on a cluster, behind its proxies.

Replicas share nothing, so that any of them may answer. Each loads the model by the name that was
given here.
"""

import logging
import signal
from collections.abc import Callable
from threading import Event
from types import FrameType

import ray
from fastapi import FastAPI
from ray import serve
from ray.exceptions import RayError

from openmova.errors import UserError, reason
from openmova.runtime.ray_cluster import cluster

NAME = "openmova"
SPARE = 16
"""Requests beyond those that a replica answers, so that it can say itself that it is full."""


def run_on_ray(
    build: Callable[[], FastAPI],
    *,
    host: str,
    port: int,
    replicas: int,
    at_once: int,
    on_gpu: bool,
    drain_seconds: float,
    started: Callable[[], None],
) -> None:
    """Serve until SIGTERM or Ctrl-C; what is in hand is answered, within drain_seconds.

    build: makes the app, in each replica. at_once: requests that a replica has in hand at most.
    on_gpu: whether a replica has a GPU for itself, where the cluster has one.
    """
    ended = Event()

    def end(number: int, frame: FrameType | None) -> None:
        ended.set()

    logging.getLogger("ray.serve").setLevel(logging.WARNING)
    with cluster():
        before = signal.signal(signal.SIGTERM, end)  # after Ray has set its own
        try:
            serve.start(http_options={"host": host, "port": port})
            gpus = int(on_gpu and ray.cluster_resources().get("GPU", 0) > 0)
            replica = serve.deployment(
                name=NAME,
                num_replicas=replicas,
                max_ongoing_requests=at_once + SPARE,
                ray_actor_options={"num_cpus": 1, "num_gpus": gpus},
                graceful_shutdown_timeout_s=drain_seconds,
            )(serve.ingress(build)())
            serve.run(replica.bind(), name=NAME, route_prefix="/")
            started()
            ended.wait()
        except (RuntimeError, RayError) as error:
            raise UserError(
                f"Ray Serve did not start ({reason(error)}): Ray's log says why"
            ) from error
        finally:
            serve.shutdown()
            signal.signal(signal.SIGTERM, before)
