"""Where a model's weights lie: on one device, or layer by layer over GPUs and host memory.

Encoders, adapter, text encoder and embeddings always share the first GPU, where the experts run
too; only the language model's layers go further.
"""

from collections.abc import Mapping
from pathlib import Path

import torch
from accelerate import infer_auto_device_map
from accelerate.utils import CustomDtype, get_max_memory

from openmova.checkpoints.memory import GIB, LEFT_FREE, count_parts, unloaded_model
from openmova.errors import UserError, reason
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.quantization import QUANTIZATIONS, quantized_weights

DeviceMap = dict[str, int | str | torch.device]
HOST = "cpu"


def check_device(device: str | torch.device) -> torch.device:
    """The device by its name. Raises UserError if this machine has no such device."""
    try:
        return torch.empty(0, device=device).device
    except (RuntimeError, AssertionError) as error:
        raise UserError(
            f"the device {str(device)!r} cannot be used ({reason(error)}): leave it "
            "out, or name one that this machine has"
        ) from error


def auto_device_map(
    config: MovaConfig,
    folder: Path | None = None,
    *,
    dtype: torch.dtype,
    quantization: str | None = None,
    offload: bool = False,
    max_memory: Mapping[int | str, int] | None = None,
) -> DeviceMap:
    """Fill the first GPU, then the next, then host memory; a machine without GPU is one place.

    dtype: of the weights; quantization: a name of QUANTIZATIONS; offload: room for one expert is
    left on the first GPU, not for all. max_memory: bytes by GPU number and "cpu", default what is
    free now.
    """
    memory: Mapping[int | str, int] = max_memory or get_max_memory()
    gpus = sorted(device for device in memory if isinstance(device, int))
    if not gpus:
        return {"": HOST}
    room: dict[int | str, int] = {gpu: int(memory[gpu] * (1 - LEFT_FREE)) for gpu in gpus}
    model, experts = unloaded_model(config, folder)
    needs = count_parts(model, experts, folder)
    scale = dtype.itemsize / torch.bfloat16.itemsize
    room[gpus[0]] -= int(scale * (needs.expert_bytes(offload=offload) + needs.cache_bytes))
    special: dict[str, torch.dtype | CustomDtype] = {}
    if quantization is not None:
        small = torch.int8 if QUANTIZATIONS[quantization].bits == 8 else CustomDtype.INT4
        special = dict.fromkeys(quantized_weights(model), small)
    placed: DeviceMap = infer_auto_device_map(
        model,
        max_memory=room | {HOST: memory.get(HOST, 0)},
        no_split_module_classes=sorted(model._no_split_modules),
        dtype=dtype,
        special_dtypes=special,
        clean_result=False,
    )
    for place, device in placed.items():
        start = f"{place}." if place else ""
        if device != gpus[0] and any(
            name.startswith(start) or start.startswith(name) for name in _together(model)
        ):
            raise UserError(
                f"GPU {gpus[0]} has {memory[gpus[0]] / GIB:.1f} GiB, too little for encoders, "
                "adapter and embeddings: use offload or a quantization, or the device cpu"
            )
    if quantization is not None and not set(placed.values()) <= set(gpus):
        raise UserError(
            f"the model does not fit into the GPUs' memory with quantization {quantization!r}, and "
            "quantised layers can't wait in host memory: use offload, or leave out quantization"
        )
    return placed


def _together(model: MovaForConditionalGeneration) -> list[str]:
    """The modules that the first GPU must hold, with a dot at the end."""
    core = model.model
    modules = (core.base, core.adapter, core.gate_text_encoder, model.get_input_embeddings())
    return [f"{name}." for name, module in model.named_modules() if module in modules]
