"""A configuration of DeepSpeed, as the recipe names it, handed on to accelerate."""

from __future__ import annotations

import json
from importlib.util import find_spec
from pathlib import Path

from accelerate import DeepSpeedPlugin

from openmova.errors import UserError
from openmova.train.training_recipe import TrainingRecipe


def deepspeed_plugin(recipe: TrainingRecipe) -> DeepSpeedPlugin | None:
    """What the recipe's file says, if it names one, with the sizes of the recipe.

    Raises UserError without DeepSpeed, for a file that is no configuration, and for one that
    decides what the recipe decides, or cuts single weights into pieces (its stage 3), which a
    checkpoint of ours could not be made of.
    """
    if (path := recipe.deepspeed) is None:
        return None
    if find_spec("deepspeed") is None:
        raise UserError(
            "the recipe's deepspeed needs DeepSpeed: pip install deepspeed, or take sharding: fsdp"
        )
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
        stage = content.get("zero_optimization", {}).get("stage", 0)
    except (OSError, ValueError, AttributeError) as error:
        raise UserError(f"the recipe's deepspeed {path!r} can't be read: {error}") from error
    if own := [key for key in ("optimizer", "scheduler") if key in content]:
        raise UserError(
            f"{path!r} sets {' and '.join(own)}, and so does the recipe: remove it from the file"
        )
    if stage == 3:
        raise UserError(f"{path!r} asks for stage 3: take stage 2, or the recipe's sharding: fsdp")
    sizes = {
        "train_micro_batch_size_per_gpu": recipe.batch,
        "gradient_accumulation_steps": recipe.accumulation,
        "gradient_clipping": recipe.clip,
    }
    return DeepSpeedPlugin(hf_ds_config={**content, **sizes, "train_batch_size": "auto"})
