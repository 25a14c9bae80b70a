"""A checkpoint folder as graphs for onnxruntime: its language model in 8 or 4 bits, its encoders.

Everything else, adapter, embeddings and experts that are programs, is copied as it is.
"""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

from tqdm import tqdm

from openmova.checkpoints.conversion import Conversion, copy_small_files
from openmova.checkpoints.language_models import DECODER, HEAD
from openmova.checkpoints.onnx_decoder import LORA, check_kind, write_decoder, write_head
from openmova.checkpoints.onnx_encoders import write_encoder
from openmova.checkpoints.plan import Drop, Part, expert_place, join_parts
from openmova.checkpoints.source_files import read_json
from openmova.checkpoints.tensors import open_tensors, under
from openmova.errors import UserError
from openmova.experts.pool import EXPERTS_FOLDER, weights_file
from openmova.experts.registry import expert_class
from openmova.model.configuration_mova import MovaConfig
from openmova.model.onnx_language_model import HEAD as HEAD_FILE
from openmova.model.onnx_language_model import LANGUAGE_MODEL

EMBEDDING = "embed_tokens.weight"
BASE = "model.base."
BASE_FILE = "base.onnx"
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
    encoders = {f"{EXPERTS_FOLDER}/{spec['name']}.onnx": spec for spec in config.experts}
    graphs = {
        file: spec
        for file, spec in {BASE_FILE: config.base, **encoders}.items()
        if expert_class(spec["kind"]).on_meta  # layers alone; others are programs
    }
    homes = dict.fromkeys((DECODER, HEAD, f"model.{LORA}."), f"{LANGUAGE_MODEL} or {HEAD_FILE}")
    if BASE_FILE in graphs:
        homes[BASE] = BASE_FILE
    key_map: dict[str, str | Drop] = {}
    for name in stored:
        home = next((file for start, file in homes.items() if name.startswith(start)), None)
        stays = home is None or name == DECODER + EMBEDDING
        key_map[name] = name if stays else Drop(f"in {home}")
    kept = {name: tensor for name, tensor in stored.items() if key_map[name] == name}
    parts = {"model": Part(tensors=stored, key_map=key_map, expected=kept)}
    weights = {BASE_FILE: under(BASE, stored)}
    for file, spec in encoders.items():
        if (stored_in := weights_file(folder, spec["name"])).is_file():
            weights[file] = tensors = open_tensors(stored_in)
            part = Part.of(tensors).at(expert_place(spec["name"], ""))
            if file in graphs:
                part = replace(
                    part, key_map=dict.fromkeys(tensors, Drop(f"in {file}")), expected={}
                )
            parts[f"experts/{spec['name']}"] = part

    def in_graph(file: str, spec: dict[str, Any]) -> dict[str, Any]:
        """An encoder's spec in the new folder."""
        if file not in graphs:
            return spec
        named = {key: spec[key] for key in ("name", "descriptions")}
        return {"kind": "onnx_encoder", **named, "path": file, "encoder": spec}

    def write_small_files(target: Path) -> None:
        without = [weights_file(folder, spec["name"]).name for spec in graphs.values()]
        copy_small_files(folder, target, plan, without=without)
        stated = read_json(folder / "config.json") | {
            "runtime": "onnx",
            "base": in_graph(BASE_FILE, config.base),
            "experts": [in_graph(file, spec) for file, spec in encoders.items()],
        }
        text = json.dumps(stated, indent=2, ensure_ascii=False)
        (target / "config.json").write_text(text, encoding="utf-8")
        for file, spec in tqdm(graphs.items(), "encoders", disable=None, leave=False):
            write_encoder(spec, weights[file], target / file)
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
        title=f"{folder.name} as graphs, with its language model in {bits} bits",
        plan=plan,
        about={"source": folder.name, "bits": bits},
        write_small_files=write_small_files,
    )
