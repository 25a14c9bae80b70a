"""Any vision model of transformers as an expert, from its config and safetensors.

The spec holds the whole config, so a checkpoint needs nothing beside it:
`{"kind": "hf", "name": ..., "descriptions": [...], "config": {"model_type": "dinov2", ...},
"size": 224, "mean": [...], "std": [...], "select_layer": -2}`. `hf_spec` makes one from a folder.
No code of a model's repository is ever run.
"""

import inspect
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch
from safetensors import SafetensorError
from torch import Tensor
from transformers import AutoConfig, AutoModel, PreTrainedConfig, PreTrainedModel

from openmova.errors import UserError, reason
from openmova.experts.base import (
    IMAGENET_MEAN,
    IMAGENET_STD,
    Expert,
    height_width,
    square_view,
    tokens_to_map,
)
from openmova.experts.spec_files import find_file


class HfExpert(Expert):
    """A vision model of transformers; its map is one of its hidden states."""

    def __init__(
        self,
        *,
        name: str,
        descriptions: Sequence[str],
        config: Mapping[str, Any] | str,
        size: int | Sequence[int] | None = None,
        mean: Sequence[float] = IMAGENET_MEAN,
        std: Sequence[float] = IMAGENET_STD,
        select_layer: int | None = None,
        channels: int | None = None,
        source: str | None = None,
        folder: Path | None = None,
    ) -> None:
        """See docs/experts.md for the keywords; folder: where relative paths start."""
        super().__init__(name=name, descriptions=descriptions, channels=channels or 0)
        self.mean, self.std, self.select_layer = tuple(mean), tuple(std), select_layer
        vision = _vision_config(config, folder, name)
        settings = vision.to_dict()
        image_size = settings.get("image_size")
        if size is None and image_size is None:
            raise UserError(f'the config of the hf expert {name!r} has no size: give it a "size"')
        self.size = height_width(size if size is not None else image_size)
        patch = settings.get("patch_size")
        self.patch = None if patch is None else height_width(patch)
        with torch.device("meta"):  # the model's shapes without its numbers
            shapes = AutoModel.from_config(vision).eval()
        if shapes.main_input_name != "pixel_values":
            raise UserError(
                f"the hf expert {name!r} is a {vision.model_type}, which takes "
                f"{shapes.main_input_name}, not pictures; give it a vision model"
            )
        self._options = {"output_hidden_states": True} if select_layer is not None else {}
        accepted = inspect.signature(shapes.forward).parameters
        if "interpolate_pos_encoding" in accepted:
            trained = None if image_size is None else height_width(image_size)
            self._options["interpolate_pos_encoding"] = self.size != trained
        if channels is None:
            self.channels = self._count_channels(shapes)
        self.model: PreTrainedModel = (
            AutoModel.from_config(vision)
            if source is None
            else _load(find_file(source, folder), vision)
        )
        self.register_load_state_dict_pre_hook(_use_current_names)

    @classmethod
    def from_spec(cls, keywords: Mapping[str, Any], *, folder: Path | None = None) -> Self:
        if folder is not None:  # a checkpoint has the weights
            keywords = {key: value for key, value in keywords.items() if key != "source"}
        return cls(**keywords, folder=folder)

    def view(self, images: Tensor, sizes: Tensor) -> Tensor:
        """uint8 [B, 3, H, W], integer [B, 2] -> float32 [B, 3, *size], padded to a square."""
        return square_view(images, sizes, size=self.size, mean=self.mean, std=self.std)

    def forward(self, view: Tensor) -> Tensor:
        """float [B, 3, *size] -> [B, channels, h, w]."""
        return self._map(self.model, view.to(self.model.dtype))

    def _map(self, model: PreTrainedModel, view: Tensor) -> Tensor:
        output = model(view, **self._options)
        if self.select_layer is None:
            if "last_hidden_state" not in output:
                raise UserError(f'the hf expert {self.name!r} needs a "select_layer" such as -1')
            states = output.last_hidden_state
        else:
            layers = output.hidden_states
            if not -len(layers) <= self.select_layer < len(layers):
                raise UserError(
                    f"the hf expert {self.name!r} has the hidden states 0 to {len(layers) - 1}, "
                    f'not {self.select_layer}; correct "select_layer"'
                )
            states = layers[self.select_layer]
        if states.ndim == 4:  # convolutional: already [B, C, h, w]
            return states
        return tokens_to_map(states, self._grid(states.shape[1]))

    def _grid(self, tokens: int) -> tuple[int, int]:
        """Rows and columns of the patches, halved as often as the model merged them."""
        if self.patch is None:
            raise UserError(
                f"the config of the hf expert {self.name!r} names no patch_size; choose a hidden "
                'state that is a map, with "select_layer"'
            )
        height, width = self.size[0] // self.patch[0], self.size[1] // self.patch[1]
        if height * width <= tokens:
            return height, width
        while height * width > tokens:
            height, width = (height + 1) // 2, (width + 1) // 2
        if height * width != tokens:
            raise UserError(
                f"the hf expert {self.name!r} returns {tokens} tokens, which are no grid of its "
                f"{self.size[0]}x{self.size[1]} pictures; choose another model or size"
            )
        return height, width

    def _count_channels(self, shapes: PreTrainedModel) -> int:
        height, width = self.size
        picture = torch.zeros(1, 3, height, width, dtype=shapes.dtype, device="meta")
        try:
            with torch.device("meta"), torch.no_grad():
                return self._map(shapes, picture).shape[1]
        except (RuntimeError, ValueError) as error:
            raise UserError(
                f"the {shapes.config.model_type} of the hf expert {self.name!r} takes no pictures "
                f"of {height}x{width}; correct its size ({reason(error)})"
            ) from error


def hf_spec(
    source: Path | str,
    *,
    name: str,
    descriptions: Sequence[str],
    size: int | Sequence[int] | None = None,
    mean: Sequence[float] | None = None,
    std: Sequence[float] | None = None,
    select_layer: int | None = None,
) -> dict[str, Any]:
    """The spec of an expert from a folder with config.json (and preprocessor_config.json).

    The folder becomes the spec's "source". What is not given is read from the two files.
    """
    folder = find_file(str(source))
    config = _vision_config(str(source), None, name).to_dict()
    general = PreTrainedConfig().to_dict().keys() | {"auto_map"}  # says nothing of this model
    own = {k: v for k, v in config.items() if k == "model_type" or k not in general}
    view: dict[str, Any] = {"size": size, "mean": mean, "std": std}
    if None in view.values():
        file = folder / "preprocessor_config.json"
        if not file.is_file():
            raise UserError(f"{folder} has no {file.name}: give size, mean and std of {name!r}")
        said = json.loads(file.read_text(encoding="utf-8"))
        view["size"] = size or _preprocessed_size(said) or own.get("image_size")
        view |= {"mean": mean or said.get("image_mean"), "std": std or said.get("image_std")}
        if None in view.values():
            raise UserError(f"{file} does not say size, mean and std of {name!r}: give them")
    spec: dict[str, Any] = {
        "name": name,
        "descriptions": descriptions,
        "config": own,
        **view,
        "select_layer": select_layer,
    }
    with torch.device("meta"):
        expert = HfExpert(**spec)
    plain = {key: list(getattr(expert, key)) for key in ("descriptions", "size", "mean", "std")}
    made = {"channels": expert.channels, "source": str(source)}
    return {"kind": "hf", **spec, **plain, **made}


def _preprocessed_size(preprocessor: Mapping[str, Any]) -> list[int] | int | None:
    size = preprocessor.get("crop_size") or preprocessor.get("size")
    if not isinstance(size, dict):
        return size
    if "height" in size:
        return [size["height"], size["width"]]
    return size.get("shortest_edge")


def _vision_config(
    config: Mapping[str, Any] | str, folder: Path | None, name: str
) -> PreTrainedConfig:
    if isinstance(config, str):
        path = find_file(config, folder)
        text = (path / "config.json" if path.is_dir() else path).read_text(encoding="utf-8")
        settings: dict[str, Any] = json.loads(text)
    else:
        settings = dict(config)
    model_type = settings.pop("model_type", None)
    try:
        full = AutoConfig.for_model(model_type, **settings)
    except ValueError as error:
        raise UserError(
            f"transformers knows no model_type {model_type!r}, which the config of the hf expert "
            f"{name!r} names; correct it or install another version of transformers"
        ) from error
    return full.vision_config if "vision_config" in full.sub_configs else full


def _load(folder: Path, config: PreTrainedConfig) -> PreTrainedModel:
    try:
        model, info = AutoModel.from_pretrained(
            folder,
            config=config,
            use_safetensors=True,
            dtype=torch.get_default_dtype(),
            output_loading_info=True,
        )
    except OSError as error:
        raise UserError(f"{folder} has no weights in safetensors; convert them first") from error
    except (SafetensorError, RuntimeError) as error:  # RuntimeError: other shapes
        raise UserError(f"the weights in {folder} can't be read: {reason(error)}") from error
    missing = _needed(info["missing_keys"])
    if missing:
        raise UserError(
            f"the weights in {folder} are not those of the {config.model_type} in its config: "
            f"{', '.join(missing[:5])} and others are missing"
        )
    return model


def _needed(missing: Iterable[str]) -> list[str]:
    """Missing weights would stay random; only a pooler may, as no map passes through it."""
    return sorted(key for key in missing if "pooler" not in key)


def _use_current_names(
    expert: torch.nn.Module, state: dict[str, Tensor], prefix: str, *_: object
) -> None:
    """Rename weights saved by another version of transformers to the names of this one.

    The names in transformers' vision models change between its versions; it renames them in
    `from_pretrained`, but `load_state_dict` would find them missing.
    """
    assert isinstance(expert, HfExpert)
    start = f"{prefix}model."
    stored = {key[len(start) :]: key for key in state if key.startswith(start)}
    if not stored or stored.keys() == expert.model.state_dict().keys():
        return
    renamed, info = type(expert.model).from_pretrained(
        None,
        config=expert.model.config,
        state_dict={short: state[key] for short, key in stored.items()},
        output_loading_info=True,
    )
    if _needed(info["missing_keys"]) or info["unexpected_keys"]:
        return  # not only names differ: load_state_dict says which
    for key in stored.values():
        del state[key]
    state.update({start + key: value for key, value in renamed.state_dict().items()})
