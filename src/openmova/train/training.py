"""One run, from a recipe to a trained model in DIR/final: what `openmova train` does."""

from __future__ import annotations

from contextlib import nullcontext
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

from openmova.data.bad_samples import BadSamples
from openmova.errors import UserError
from openmova.model.modeling_mova import MovaForConditionalGeneration
from openmova.model.processing_mova import MovaProcessor
from openmova.runtime.files import new_folder
from openmova.train.interrupt import Interrupt
from openmova.train.loop import TrainingLoop, accelerator_of
from openmova.train.plot import can_draw
from openmova.train.preparation import RunSetup, is_first_process, load_start, prepare
from openmova.train.progress import Progress, Tell
from openmova.train.run_folder import RunFolder, step_of
from openmova.train.trackers import open_trackers
from openmova.train.training_recipe import TrainingRecipe

if TYPE_CHECKING:
    from openmova.train.reward_loop import RewardLoop


def train(
    recipe: TrainingRecipe, output: Path, *, resume: bool, tell: Tell, bar: bool = False
) -> Path:
    """Run a recipe, or go on with it, and return the folder of the trained model.

    In every process of a distributed run; the first of them holds the folder, and tells. bar: show
    one on standard error, in place of the lines of single steps.
    Raises UserError for what can't be used, and where the run has to stop; KeyboardInterrupt, when
    it could write a checkpoint first.
    """
    folder = RunFolder(output)
    if not is_first_process():
        return _train(recipe, folder, resume=resume, tell=lambda line: None, bar=False)
    with folder.claim():
        if recipe.stage == "teach":
            from openmova.train.teach import teach

            return teach(recipe, folder, resume=resume, tell=tell, bar=bar)
        return _train(recipe, folder, resume=resume, tell=tell, bar=bar)


def _train(
    recipe: TrainingRecipe, folder: RunFolder, *, resume: bool, tell: Tell, bar: bool
) -> Path:
    setup = prepare(recipe)
    if is_first_process():
        folder.begin(recipe.to_dict(), resume=resume)
    accelerator = accelerator_of(recipe)
    accelerator.wait_for_everyone()  # for the first to have begun
    if folder.final.exists():
        tell(f"{folder.final} is there: nothing to do")
        return folder.final
    checkpoint = folder.latest(accelerator.num_processes, tell) if resume else None
    accelerator.wait_for_everyone()  # before the first removes any
    begun = 0 if checkpoint is None else step_of(checkpoint)
    if is_first_process():
        with folder.writing():
            folder.log.rewind(lambda entry: entry["step"] <= begun)
        if not can_draw():
            tell("no plot.png without matplotlib: pip install 'openmova[train]'")
    bad = BadSamples(folder.bad, share=recipe.bad_share)
    interrupt = Interrupt(tell)
    loop: TrainingLoop | RewardLoop
    if recipe.stage == "grpo":
        try:
            from openmova.train.reward_loop import RewardLoop
        except ImportError as error:
            raise UserError("the stage grpo needs trl: pip install 'openmova[train]'") from error
        loop = RewardLoop(setup, folder, bad, interrupt=interrupt)
    else:
        loop = TrainingLoop(setup, accelerator, folder, bad, interrupt=interrupt)
    trackers = open_trackers(recipe.report, folder.path, begun) if is_first_process() else []
    progress = Progress(setup, folder, tell, begun=begun, trackers=trackers, bar=bar)
    if checkpoint is not None:
        tell(f"going on from {checkpoint.name}")
    # Several processes would stop after different steps: there Ctrl-C stops at once.
    listening = interrupt.listening() if accelerator.num_processes == 1 else nullcontext()
    try:
        with listening:
            loop.run(checkpoint, progress)
        if loop.step < setup.steps:
            raise KeyboardInterrupt
    except KeyboardInterrupt:
        kept = folder.newest()
        goes_on = "nothing was kept" if kept is None else f"--resume goes on from {kept.name}"
        tell(f"stopped after step {loop.step}: {goes_on}")
        raise
    if setup.sharding is not None:
        setup.sharding.gather()
    if is_first_process():
        folder.draw()
        model = _final_model(setup)
        with folder.writing(), new_folder(folder.final) as unfinished:
            save_model(model, setup.processor, unfinished)
        without = f", {loop.unannotated} had no experts list" if loop.unannotated else ""
        samples = f"{bad.bad} of {bad.bad + bad.good} samples were bad{without}"
        tell(f"{folder.final}: trained, {samples}")
    accelerator.wait_for_everyone()
    return folder.final


def _final_model(setup: RunSetup) -> MovaForConditionalGeneration:
    """The model of a run that is over, in the dtype that it began with."""
    lora, recipe = setup.lora, setup.recipe
    if lora is None:
        return setup.model.to(setup.dtype)
    if recipe.lora.quantize is None:
        lora.merge()
        return setup.model.to(setup.dtype)
    stored, _ = load_start(replace(recipe, lora=replace(recipe.lora, quantize=None)))
    lora.merge_into(stored)
    return stored


def save_model(model: MovaForConditionalGeneration, processor: MovaProcessor, folder: Path) -> None:
    """A complete checkpoint folder: all weights, the experts' too, and the processor."""
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
