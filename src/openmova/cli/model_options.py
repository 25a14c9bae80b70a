"""The options of every command that asks a model, and the model that they mean."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from dataclasses import dataclass, fields, replace
from functools import wraps
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, Self

import typer

from openmova.cli.console import MODEL_HELP, YES_HELP, fetched, quiet_libraries, status

if TYPE_CHECKING:
    from openmova.inference.mova import Mova
    from openmova.model.configuration_mova import MovaConfig

ModelName = Annotated[str, typer.Option(help=MODEL_HELP)]
Yes = Annotated[bool, typer.Option("--yes", help=YES_HELP)]
ExpertNames = Annotated[
    str | None,
    typer.Option(
        "--experts",
        help="Experts in place of the router's choice: names with commas, 'all' or 'none'.",
    ),
]


def read_config(folder: str) -> MovaConfig:
    """The config of a model that `fetched` has found."""
    from openmova.checkpoints.locate import checkpoint_folder
    from openmova.model.configuration_mova import MovaConfig

    quiet_libraries()
    config: MovaConfig = MovaConfig.from_pretrained(checkpoint_folder(folder))
    return config


@dataclass(frozen=True, kw_only=True)
class ModelOptions:
    """Which model, where, and in which numbers."""

    model: ModelName = "nano"
    device: Annotated[
        str | None, typer.Option(help="Such as cpu or cuda:1; the GPU if there is one.")
    ] = None
    dtype: Annotated[
        str | None, typer.Option(help="bfloat16, float16 or float32; as in the checkpoint.")
    ] = None
    quantize: Annotated[
        str | None, typer.Option(help="The language model in '8bit', '4bit' or 'torchao-8bit'.")
    ] = None
    offload: Annotated[
        bool, typer.Option("--offload", help="Keep experts that don't run in host memory.")
    ] = False
    device_map: Annotated[
        str | None, typer.Option(help="'auto' spreads the model over GPUs and host memory.")
    ] = None
    threads: Annotated[
        int | None, typer.Option(help="Threads on a processor; all its cores.", min=1)
    ] = None
    yes: Yes = False

    def load(self) -> Mova:
        """Raises UserError where there is no such model, or it does not fit the options."""
        folder = fetched(self.model, yes=self.yes)
        with status(f"loading {self.model}"):
            import torch

            from openmova.inference.mova import Mova

            if self.threads is not None:
                torch.set_num_threads(self.threads)
            quiet_libraries()
            return Mova.from_pretrained(
                folder,
                device=self.device,
                dtype=self.dtype,
                quantization=self.quantize,
                offload=self.offload,
                device_map=self.device_map,
            )

    def resolve(self) -> Self:
        """With the whole path of a model that is a folder, for other processes."""
        path = Path(self.model)
        return replace(self, model=str(path.resolve())) if path.exists() else self


def takes_model(command: Callable[..., None]) -> Callable[..., None]:
    """A command whose argument `model_options` is made of these options."""
    own = dict(inspect.signature(command, eval_str=True).parameters)
    del own["model_options"]
    shared = inspect.signature(ModelOptions, eval_str=True).parameters
    parameters = [
        parameter.replace(kind=inspect.Parameter.KEYWORD_ONLY)
        for parameter in (*own.values(), *shared.values())
    ]

    @wraps(command)
    def run(**arguments: Any) -> None:
        options = {field.name: arguments.pop(field.name) for field in fields(ModelOptions)}
        command(**arguments, model_options=ModelOptions(**options))

    run.__signature__ = inspect.Signature(parameters)  # type: ignore[attr-defined]
    run.__annotations__ = {parameter.name: parameter.annotation for parameter in parameters}
    return run
