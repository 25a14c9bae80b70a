"""The tiny model for vLLM, and vLLM's own server that knows the tests' experts.

python tests/serve/vllm_tiny.py --model FOLDER ...     # options of vLLM's server
"""

from __future__ import annotations

from typing import Any

from openmova import Mova
from openmova.routing import RouterLoraConfig
from serve.sparse import sparse_mova
from tiny import tiny_config

HEAD = 32
"""The smallest head that vLLM's attention has on a processor."""
LORA = RouterLoraConfig(rank=2, alpha=8, targets=("q_proj", "v_proj"))
TOKENS = 12


def vllm_mova(*, lora: bool = False, **changes: Any) -> Mova:
    text = {**tiny_config().to_dict()["text_config"], "head_dim": HEAD}
    mova = sparse_mova(text_config=text, **changes)
    if lora:
        mova.model.model.add_router_lora(LORA)
        assert mova.model.model.router_lora is not None
        for parameter in mova.model.model.router_lora.parameters():
            parameter.data.normal_()
    return mova


if __name__ == "__main__":
    from vllm.entrypoints.launchers.api_server.entry import main

    main()
