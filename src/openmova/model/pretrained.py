"""How a MoVA model is read from a folder and written to one: strict about every key and shape.

The language model, the base, the adapter and the gate's text encoder are transformers' business;
each expert has a file of its own, which the pool reads when the expert is first chosen.
"""

import logging
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from functools import partial
from pathlib import Path
from typing import Any, Self

import torch
from torch import Tensor, nn
from transformers import GenerationConfig, PreTrainedModel
from transformers.initialization import no_init_weights
from transformers.modeling_outputs import BaseModelOutputWithPast
from transformers.utils import GENERATION_CONFIG_NAME

from openmova.errors import UserError
from openmova.experts.base import Expert
from openmova.experts.pool import (
    ADD_EXPERT,
    ExpertPool,
    key_faults,
    only_built_experts,
    weights_file,
)
from openmova.experts.registry import build_expert, expert_class
from openmova.model.configuration_mova import MovaConfig
from openmova.model.layers import RotaryGrid
from openmova.model.quantization import keep_parts
from openmova.runtime.hub import download

CACHE = "cache" if hasattr(BaseModelOutputWithPast, "cache") else "past_key_values"
"""What transformers calls keys and values: `cache` from 5.24 on."""
DOWNLOAD_OPTIONS = ("revision", "cache_dir", "token", "force_download", "local_files_only")
ALIGNMENT = 64  # bytes; torch's own allocations have it


class MovaPreTrainedModel(PreTrainedModel):
    """What both models share: loading and saving, strict about every key."""

    config: MovaConfig
    config_class = MovaConfig
    base_model_prefix = "model"
    input_modalities = ("image", "text")
    main_input_name = "input_ids"
    supports_gradient_checkpointing = True
    _skip_keys_device_placement = [CACHE]
    _supports_sdpa = True
    _supports_flash_attn = True
    _supports_flex_attn = True
    _supports_attention_backend = True

    @property
    def core(self) -> Any:
        """The model without a head, which has the encoders: base and experts."""
        return self.base_model

    @torch.no_grad()
    def _init_weights(self, module: nn.Module) -> None:
        # Every part initialises itself when it is built. What a checkpoint does not hold, tables
        # that are recomputed, has to be made again after loading.
        if isinstance(module, RotaryGrid):
            module.reset_buffers()
        elif isinstance(module, Expert):
            stored = module.state_dict().keys()
            computed = [name for name, _ in module.named_buffers() if name not in stored]
            if computed:
                with no_init_weights():
                    fresh = build_expert(self.config.base, folder=self.core.experts.folder)
                for name in computed:
                    module.get_buffer(name).copy_(fresh.get_buffer(name))

    @classmethod
    def from_pretrained(
        cls, pretrained_model_name_or_path: Any, *args: Any, **kwargs: Any
    ) -> Self | tuple[Self, dict[str, Any]]:
        """Load a checkpoint folder, or a repository of the hub; experts are read when chosen."""
        folder = _checkpoint_folder(pretrained_model_name_or_path, kwargs)
        wants_info = kwargs.pop("output_loading_info", False)
        kwargs |= {"use_safetensors": True, "ignore_mismatched_sizes": True}
        keep_parts(kwargs.get("quantization_config"))
        if (folder / GENERATION_CONFIG_NAME).is_file():
            # Read here: transformers would take the model's own keywords for settings of it.
            kwargs.setdefault("generation_config", GenerationConfig.from_pretrained(folder))
        with _without_load_report(), only_built_experts():
            model, info = super().from_pretrained(
                folder, *args, output_loading_info=True, folder=folder, **kwargs
            )
        faults = key_faults(list(info["missing_keys"]), list(info["unexpected_keys"]))
        for name, stored, wanted in info["mismatched_keys"]:
            faults += f"; {name} has shape {list(stored)} instead of {list(wanted)}"
        if faults:
            raise UserError(
                f"the weights in {folder} don't fit its config.json: {faults.removeprefix('; ')}"
                + _without_file(model.config.expert_names, folder)
            )
        _align(model)
        return (model, info) if wants_info else model

    def save_pretrained(
        self,
        save_directory: Any,
        is_main_process: bool = True,
        state_dict: Mapping[str, Tensor] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write config.json, model.safetensors and a file for each expert."""
        if is_main_process:
            self.core.experts.save(Path(save_directory))
            self.core.base.save_files(Path(save_directory))
        # A quantised model makes its own state, so the experts can't be left out of one given here.
        self._keys_to_ignore_on_save = [
            f"{path}.{name}"
            for path, module in self.named_modules()
            if isinstance(module, ExpertPool)
            for name in module.state_dict()
        ]
        super().save_pretrained(
            save_directory, is_main_process=is_main_process, state_dict=state_dict, **kwargs
        )


def build_base(config: MovaConfig, folder: Path | None) -> Expert:
    """The base encoder, on the meta device if that is where the model is being built.

    Not every encoder's own code works there; such a base is built in host memory.
    """
    build = partial(build_expert, config.base, folder=folder, frozen=False)
    if torch.get_default_device().type != "meta" or expert_class(config.base["kind"]).on_meta:
        return build()
    with torch.device("cpu"), no_init_weights():  # its weights will be read, or only be counted
        return build()


def _without_file(experts: list[str], folder: Path) -> str:
    """What to do about experts that config.json names and the checkpoint has not."""
    names = [name for name in experts if not weights_file(folder, name).is_file()]
    if not names:
        return ""
    return (
        f"; it has no weights of the expert {', '.join(names)}: {ADD_EXPERT}, or take it out of "
        "config.json"
    )


def _align(model: nn.Module) -> None:
    """Copy weights that lie in a mapped file at an odd address.

    Products over them round differently, so that a loaded model would not say, bit by bit, what
    the saved one said.
    """
    for tensor in (*model.parameters(), *model.buffers()):
        if tensor.device.type == "cpu" and tensor.data_ptr() % ALIGNMENT:
            tensor.data = tensor.data.clone()


@contextmanager
def _without_load_report() -> Iterator[None]:
    """Keep transformers' table of missing keys out of the log: what it says, our error says."""

    def is_other(record: logging.LogRecord) -> bool:
        return "LOAD REPORT" not in record.getMessage()

    logger = logging.getLogger("transformers.modeling_utils")
    logger.addFilter(is_other)
    try:
        yield
    finally:
        logger.removeFilter(is_other)


def _checkpoint_folder(source: Any, options: dict[str, Any]) -> Path:
    """The local folder of a checkpoint; a repository of the hub is downloaded (data files only)."""
    inner = options.pop("subfolder", "")
    asked = {name: options.pop(name) for name in DOWNLOAD_OPTIONS if name in options}
    folder = Path(source)
    return folder / inner if folder.is_dir() else download(str(source), folder=inner, **asked)
