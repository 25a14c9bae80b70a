"""A checkpoint folder with its language model in 8 or 4 bits, as graphs for onnxruntime.

Everything else, the encoders, the adapter and the embeddings, is copied as it is.
"""

import json
from pathlib import Path

from openmova.checkpoints.conversion import Conversion, copy_small_files
from openmova.checkpoints.language_models import DECODER, HEAD
from openmova.checkpoints.onnx_decoder import LORA, check_kind, write_decoder, write_head
from openmova.checkpoints.plan import Drop, Part, expert_place, join_parts
from openmova.checkpoints.source_files import read_json
from openmova.checkpoints.tensors import open_tensors, under
from openmova.errors import UserError
from openmova.experts.pool import weights_file
from openmova.model.configuration_mova import MovaConfig
from openmova.model.onnx_language_model import HEAD as HEAD_FILE
from openmova.model.onnx_language_model import LANGUAGE_MODEL

EMBEDDING = "embed_tokens.weight"
BITS = (8, 4)


def plan_export(folder: Path, bits: int) -> Conversion:
    """Look at a checkpoint's folder without reading its weights.

    Raises UserError for other bits, and for a language model that can't be exported.
    """
    if bits not in BITS:
        raise UserError(f"weights of {bits} bits can't be had: give {BITS[0]} or {BITS[1]}")
    config = MovaConfig.from_pretrained(folder)
    if config.runtime != "transformers":
        raise UserError(f"{folder.name} was exported already: give the checkpoint it was made from")
    if getattr(config, "quantization_config", None):
        raise UserError(f"{folder.name} is quantised: give the checkpoint it was made from")
    check_kind(config.text_config)
    stored = open_tensors(folder)
    decoder = under(DECODER, stored)
    embedding = decoder.pop(EMBEDDING)
    lora = under(f"model.{LORA}.", stored)
    kept = {
        name: tensor
        for name, tensor in stored.items()
        if name == DECODER + EMBEDDING or not name.startswith((DECODER, HEAD, f"model.{LORA}."))
    }
    in_graph = Drop(f"in {LANGUAGE_MODEL} or {HEAD_FILE}")
    key_map = {name: name if name in kept else in_graph for name in stored}
    parts = {"model": Part(tensors=stored, key_map=key_map, expected=kept)}
    for name in config.expert_names:
        if (file := weights_file(folder, name)).is_file():
            parts[f"experts/{name}"] = Part.of(open_tensors(file)).at(expert_place(name, ""))

    def write_small_files(target: Path) -> None:
        copy_small_files(folder, target, plan)
        stated = read_json(folder / "config.json") | {"runtime": "onnx"}
        text = json.dumps(stated, indent=2, ensure_ascii=False)
        (target / "config.json").write_text(text, encoding="utf-8")
        write_decoder(
            config.text_config,
            decoder | {f"{LORA}.{name}": tensor for name, tensor in lora.items()},
            target / LANGUAGE_MODEL,
            bits=bits,
            lora=config.routing.lora,
        )
        write_head(stored.get(HEAD, embedding), target / HEAD_FILE)

    plan = join_parts(parts).plan()
    return Conversion(
        title=f"{folder.name} with its language model in {bits} bits",
        plan=plan,
        about={"source": folder.name, "bits": bits},
        write_small_files=write_small_files,
    )
