"""The options of every command that asks a model, and the model that they mean."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated

import typer

from openmova.cli.console import MODEL_HELP, YES_HELP, fetched, quiet_libraries, status

if TYPE_CHECKING:
    from openmova.inference.mova import Mova
    from openmova.model.configuration_mova import MovaConfig

ModelName = Annotated[str, typer.Option(help=MODEL_HELP)]
Device = Annotated[
    str | None,
    typer.Option(help="Such as cpu or cuda:1; the GPU if there is one.", show_default=False),
]
Dtype = Annotated[
    str | None,
    typer.Option(help="bfloat16, float16 or float32; as in the checkpoint.", show_default=False),
]
Quantize = Annotated[
    str | None,
    typer.Option(
        help="The language model in '8bit', '4bit' or 'torchao-8bit'.", show_default=False
    ),
]
Offload = Annotated[
    bool, typer.Option("--offload", help="Keep experts that don't run in host memory.")
]
DeviceMap = Annotated[
    str | None,
    typer.Option(help="'auto' spreads the model over GPUs and host memory.", show_default=False),
]
Yes = Annotated[bool, typer.Option("--yes", help=YES_HELP)]


def read_config(folder: str) -> MovaConfig:
    """The config of a model that `fetched` has found."""
    from openmova.checkpoints.locate import checkpoint_folder
    from openmova.model.configuration_mova import MovaConfig

    quiet_libraries()
    config: MovaConfig = MovaConfig.from_pretrained(checkpoint_folder(folder))
    return config


def loaded(
    model: str,
    *,
    device: str | None = None,
    dtype: str | None = None,
    quantize: str | None = None,
    offload: bool = False,
    device_map: str | None = None,
    yes: bool,
) -> Mova:
    """Raises UserError where there is no such model, or it does not fit the options."""
    folder = fetched(model, yes=yes)
    with status(f"loading {model}"):
        from openmova.inference.mova import Mova

        quiet_libraries()
        return Mova.from_pretrained(
            folder,
            device=device,
            dtype=dtype,
            quantization=quantize,
            offload=offload,
            device_map=device_map,
        )
