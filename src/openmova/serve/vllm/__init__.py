"""MoVA in vLLM: its decode and its batching, with the routing as data of each request.

vLLM gives an image to the visual path alone, so that no routing pass fits inside a request of its
own; an answer takes two (`requests.py`): one for the routing (`routing_pass.py`), and one that
says which experts look. `endpoint.py` makes one request of a chat completion's two, `offline.py`
does the same for a list of questions. `vllm_processing.py` is what becomes of a request,
`vllm_model.py` the model, `vision_memory.py` what its encoders made before.
"""

from typing import Any

COUNT = "count_mova_tokens"
"""The method of vLLM's workers that counts the image tokens of a look; see `Requests.count`."""


def register() -> None:
    """Tell vLLM of the model; it calls this at its start, by an entry point, in every process."""
    from vllm import ModelRegistry
    from vllm.v1.worker.worker_base import WorkerBase

    ModelRegistry.register_model(
        "MovaForConditionalGeneration", "openmova.serve.vllm.vllm_model:MovaForVllm"
    )

    def count(worker: Any, *look: Any) -> int:
        return worker.get_model().count_image_tokens(*look)

    setattr(WorkerBase, COUNT, count)
