"""The parts of nano's training that only nano has: `python -m studies.toy STAGE`.

experts     gathers pictures and trains the four experts by their pretext, which then are frozen
align       aligns the adapter's tokens with the language model's, and writes DIR/start
data        draws the finetuning's images and writes their conversations into DIR/data
export      if the new nano is better than the embedded one, puts it and its model card in its place

recipes/nano.sh runs them, with the finetuning and the evaluation between. Each goes on where it was
stopped.
"""

from __future__ import annotations

import argparse
import shutil
import sys
from pathlib import Path

import torch

from openmova.checkpoints.nano import assemble_nano, nano_parts
from openmova.checkpoints.nano_spec import adapter_config
from openmova.errors import UserError
from openmova.model.adapter import MoVAdapter
from openmova.runtime.assets import NANO_WEIGHTS, asset_folder
from studies.toy.align import Aligned, align, look_at_same_place, words_and_gate
from studies.toy.card import report, write_card
from studies.toy.conversations import write_conversations
from studies.toy.encoded import base_encoder, encoded_images, trained_experts
from studies.toy.export import export_aligned, export_lora
from studies.toy.pictures import gather_pictures

STEPS = 1000


def aligned_model(folder: Path, seed: int) -> None:
    """Train the alignment; then DIR/carried holds its weights, and DIR/start the whole model."""
    start = folder / "start"
    if start.exists():
        return
    parts, pictures = nano_parts(), gather_pictures(folder / "pictures")
    base, experts = base_encoder(parts), trained_experts(parts, pictures, folder, seed)
    data = encoded_images(base, experts, pictures, folder, seed)
    targets, gate = words_and_gate()
    torch.manual_seed(seed)
    adapter = MoVAdapter(adapter_config())
    look_at_same_place(adapter)
    aligned = Aligned(base, adapter)
    align(aligned, data, targets, gate, steps=STEPS, folder=folder, seed=seed)
    export_aligned(experts, aligned, folder / "carried")
    unfinished = folder / ".start"
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir()
    assemble_nano(folder / "carried", unfinished)
    unfinished.rename(start)


def export(folder: Path) -> None:
    """Put DIR/carried, the finetuning's LoRA and the card into the repository's folder, unless the
    embedded model answers more of the suite.

    Raises UserError if the finetuning or its evaluation is not done.
    """
    final, embedded = folder / "finetune" / "final", asset_folder(NANO_WEIGHTS)
    if not final.exists():
        raise UserError(f"{str(final)!r} is not there: finetune first, as recipes/nano.sh does")
    new, old = report(folder / "eval.json"), report(embedded / "eval.json")
    better, worse = (r["domains"]["overall"]["routed"]["value"] for r in (new, old))
    print(f"right: {100 * better:.1f}%, the embedded nano {100 * worse:.1f}%")
    if better <= worse:
        print(f"the embedded nano stays; the new one is {final}")
        return
    export_lora(folder / "start", final, folder / "carried")
    shutil.copytree(folder / "carried", embedded, dirs_exist_ok=True)
    shutil.copyfile(folder / "eval.json", embedded / "eval.json")
    write_card(folder, embedded / "README.md")


def main() -> None:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("stage", choices=["experts", "align", "data", "export"])
    parser.add_argument("--folder", type=Path, default=Path("runs/nano"), help="the run folder")
    parser.add_argument("--seed", type=int, default=1)
    options = parser.parse_args()
    folder, seed = options.folder, options.seed
    torch.manual_seed(seed)
    try:
        if options.stage == "experts":
            trained_experts(nano_parts(), gather_pictures(folder / "pictures"), folder, seed)
        elif options.stage == "align":
            aligned_model(folder, seed)
        elif options.stage == "data":
            write_conversations(folder / "data", gather_pictures(folder / "pictures"), seed)
        else:
            export(folder)
    except UserError as error:
        sys.exit(f"error: {error}")


if __name__ == "__main__":
    main()
