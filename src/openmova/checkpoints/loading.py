"""A checkpoint folder to a model in memory: where it lies, in which numbers, and how it may not be.

Every choice is checked before anything is read, so that an impossible one costs no time.
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors import SafetensorError
from torch import Tensor, nn

from openmova.checkpoints.locate import checkpoint_config
from openmova.checkpoints.placement import DeviceMap, auto_device_map, check_device
from openmova.checkpoints.tensors import torch_dtype
from openmova.errors import UserError, reason
from openmova.model.configuration_mova import MovaConfig
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.quantization import find_quantization, quantization_config

DAMAGED = (OSError, ValueError, KeyError, TypeError, SafetensorError)
"""What transformers and safetensors raise for a folder that is not whole."""


def check_options(
    *,
    device: str | torch.device | None,
    quantization: str | None,
    device_map: str | Mapping[str, Any] | None,
) -> None:
    """Raises UserError for choices that are unknown, not installed, or exclude each other."""
    if quantization is not None:
        find_quantization(quantization)
    if device is not None:
        if device_map is not None:
            raise UserError("device is one place and device_map several: give only one of them")
        check_device(device)
    if isinstance(device_map, str) and device_map != "auto":
        raise UserError(
            f"device_map is {device_map!r}: give 'auto', or in Python a dict of modules to devices"
        )


def load_model(
    folder: Path,
    *,
    device: str | torch.device | None = None,
    dtype: str | torch.dtype | None = None,
    quantization: str | None = None,
    offload: bool = False,
    device_map: str | Mapping[str, Any] | None = None,
) -> MovaForConditionalGeneration:
    """The model of a checkpoint folder; its experts are read when they are first chosen.

    device: default the GPU where there is one. dtype: default as the checkpoint says.
    quantization: a name of QUANTIZATIONS, for the language model. offload: idle experts lie in host
    memory. device_map: "auto", or a dict, in place of one device.
    """
    check_options(device=device, quantization=quantization, device_map=device_map)
    options: dict[str, Any] = {}
    try:
        config = MovaConfig.from_pretrained(folder)
        if config.runtime == "onnx":
            device = _host(device, quantization, device_map)
        numbers = _dtype(config, dtype)
        if quantization is not None:
            if "quantization_config" in checkpoint_config(folder):
                raise UserError(
                    f"the checkpoint {str(folder)!r} is quantised already: leave out quantization"
                )
            options["quantization_config"] = quantization_config(quantization, numbers)
        places: DeviceMap
        if device_map is None:
            places = {"": check_device(device or ("cuda" if torch.cuda.is_available() else "cpu"))}
        elif isinstance(device_map, str):
            places = auto_device_map(
                config, folder, dtype=numbers, quantization=quantization, offload=offload
            )
        else:
            places = dict(device_map)
        model: Any = MovaForConditionalGeneration.from_pretrained(
            folder, dtype=numbers, device_map=places, **options
        )
    except DAMAGED as error:
        raise damaged(folder, error) from error
    copy_small_tensors(model)
    experts = model.model.experts
    experts.offload = offload
    experts.to(model.model.adapter.position.device)  # whose input their maps are
    return model


SMALL = 1 << 20
"""Bytes."""


def copy_small_tensors(model: nn.Module) -> None:
    """Let them leave the file that they are mapped from: of a file whose other tensors were all
    converted on their way, a single one would keep every page that was read in memory."""
    for module in model.modules():
        for name, tensor in module.named_buffers(recurse=False):  # may be views of larger ones
            if _is_small(tensor):
                module._buffers[name] = tensor.clone()
        for parameter in module.parameters(recurse=False):
            if _is_small(parameter.data):
                parameter.data = parameter.data.clone()


def _is_small(tensor: Tensor) -> bool:
    return type(tensor) is Tensor and tensor.device.type == "cpu" and tensor.nbytes < SMALL


def damaged(folder: Path, error: Exception) -> UserError:
    """What to tell about a folder that could not be read."""
    return UserError(
        f"the checkpoint {str(folder)!r} cannot be loaded ({reason(error)}): save or download it "
        "again"
    )


def _host(
    device: str | torch.device | None,
    quantization: str | None,
    device_map: str | Mapping[str, Any] | None,
) -> str:
    """Where an exported model runs. Raises UserError if it is asked to run otherwise."""
    if quantization is not None or device_map is not None or str(device or "cpu") != "cpu":
        raise UserError(
            "an exported model runs on the processor, in the bits that it was exported in: leave "
            "out device, device_map and quantization, or take the checkpoint it was exported from"
        )
    return "cpu"


def _dtype(config: MovaConfig, dtype: str | torch.dtype | None) -> torch.dtype:
    """The dtype asked for, or else the checkpoint's own."""
    wanted = dtype or config.dtype or torch.float32
    number = torch_dtype(wanted) if isinstance(wanted, str) else wanted
    if not number.is_floating_point:
        raise UserError(f"{number} is for whole numbers: give bfloat16, float16 or float32")
    return number
