"""MoVA in vLLM: its decode and its batching, with the routing as data of each request.

vLLM gives an image to the visual path alone, so that no routing pass fits inside; an answer takes
two requests (`requests.py`): one for the routing, and one that says which experts look.
`vllm_processing.py` is what becomes of a request, `vllm_model.py` the model.
"""


def register() -> None:
    """Tell vLLM of the model; it calls this at its start, by an entry point."""
    from vllm import ModelRegistry

    ModelRegistry.register_model(
        "MovaForConditionalGeneration", "openmova.serve.vllm.vllm_model:MovaForVllm"
    )
