"""A graph of an ONNX file in onnxruntime (the extra `onnx`), with as many threads as torch has."""

import difflib
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from numpy.typing import NDArray

from openmova.errors import UserError, reason
from openmova.experts.spec_files import find_file, save_file


class OnnxSession:
    """Runs a graph up to the tensors asked for; without any, up to its own outputs.

    path, folder: of the file, as in a spec (openmova.experts.spec_files).
    """

    def __init__(
        self,
        path: str,
        folder: Path | None,
        outputs: Sequence[str] = (),
        providers: Sequence[str] = ("CPUExecutionProvider",),
    ) -> None:
        self.path, self.file = path, find_file(path, folder)
        self.providers = list(providers)
        self._wanted = list(outputs)
        self._session = self._start()
        self.inputs: list[Any] = self._session.get_inputs()
        self.outputs: list[str] = [output.name for output in self._session.get_outputs()]
        self.metadata: dict[str, str] = self._session.get_modelmeta().custom_metadata_map

    def run(self, *arrays: NDArray[Any]) -> list[NDArray[Any]]:
        """The outputs for the graph's inputs, in their order. Starts anew where torch's threads
        have changed, which onnxruntime can't follow otherwise."""
        if self.threads != torch.get_num_threads():
            self._session = self._start()
        named = zip(self.inputs, arrays, strict=True)
        return self._session.run(self.outputs, {given.name: array for given, array in named})

    def save_file(self, folder: Path) -> None:
        """See Expert.save_files."""
        save_file(self.path, self.file, folder)

    @property
    def threads(self) -> int:
        """That a run uses, at most."""
        return self._session.get_session_options().intra_op_num_threads

    def _start(self) -> Any:
        try:
            from onnxruntime import InferenceSession, SessionOptions
            from onnxruntime.capi import onnxruntime_pybind11_state as errors

            from openmova.experts.onnx_graph import cut_after, tensor_names
        except ImportError as error:
            raise UserError(
                f"the graph {str(self.path)!r} needs onnx and onnxruntime; "
                'install it with: pip install "openmova[onnx]"'
            ) from error
        options = SessionOptions()
        options.intra_op_num_threads = torch.get_num_threads()
        # A thread that waits by spinning takes the core from torch, and from other graphs.
        options.add_session_config_entry("session.intra_op.allow_spinning", "0")
        options.log_severity_level = 3  # errors only: it warns of each weight that a cut leaves
        model = self.file.read_bytes()
        try:
            names = tensor_names(model)
            for output in self._wanted:
                if output not in names:
                    near = " or ".join(difflib.get_close_matches(output, names, cutoff=0))
                    raise UserError(
                        f"the graph {self.file.name!r} computes no tensor {output!r}; "
                        f"did you mean {near}?"
                    )
            # By its path the graph finds weights that lie in a file beside it.
            wanted = cut_after(model, *self._wanted) if self._wanted else str(self.file)
            return InferenceSession(wanted, options, providers=self.providers)
        except (ValueError, errors.Fail, errors.InvalidProtobuf, errors.InvalidGraph) as error:
            said = reason(error)
            raise UserError(f"{str(self.file)!r} can't be run by onnxruntime: {said}") from error
