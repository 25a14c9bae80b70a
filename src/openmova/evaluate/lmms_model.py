"""The lmms-eval plug-in: `lmms-eval eval --model openmova --model_args pretrained=DIR --tasks ...`.

Questions go to `Mova.ask_batch`, so that an answer is the same in any batch. lmms-eval keeps
answers only once all are there; the argument `output` gives a run a journal, and it goes on where
it was stopped.
"""

from __future__ import annotations

import hashlib
from collections.abc import Collection, Iterator, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from lmms_eval.api.instance import GenerationResult, Instance, TokenCounts
from lmms_eval.api.model import lmms
from lmms_eval.models.model_utils.gen_metrics import log_metrics
from lmms_eval.protocol import ChatMessages
from loguru import logger

from openmova.errors import UserError
from openmova.runtime.run_store import Journal, Row, fingerprint

if TYPE_CHECKING:
    from openmova.images.opening import ImageSource

MAX_NEW_TOKENS = 1024
"""Where a task names no limit: that of the release's evaluation scripts (behaviour 3.5)."""
FILLER = "\n\n"
"""What lmms-eval stops at where a task names nothing; its own models pass over it too."""


class OpenMova(lmms):
    """A MoVA as lmms-eval asks it: one picture and one question, answered greedily."""

    is_simple = False

    def __init__(
        self,
        pretrained: str = "nano",
        *,
        batch_size: int | str = 1,
        device: str | None = None,
        dtype: str | None = None,
        quantization: str | None = None,
        offload: bool = False,
        device_map: str | None = None,
        experts: str | None = None,
        max_experts: int | None = None,
        output: str | None = None,
    ) -> None:
        """pretrained to device_map as for `Mova.from_pretrained`, experts and max_experts as for
        `Mova.ask`; several processes take a device each. output: the folder of the journal.
        """
        super().__init__()
        from accelerate import PartialState

        from openmova.inference.mova import Mova

        if not str(batch_size).isdecimal() or int(batch_size) < 1:
            raise UserError(f"batch_size is {batch_size!r}: give a number from 1")
        processes = PartialState()
        if processes.num_processes > 1:
            device = str(processes.device)
        self.mova = Mova.from_pretrained(
            pretrained,
            device=device,
            dtype=dtype,
            quantization=quantization,
            offload=offload,
            device_map=device_map,
        )
        self.pretrained = pretrained
        self.batch_size = int(batch_size)
        self.asking: dict[str, Any] = {"experts": experts, "max_experts": max_experts}
        self.loading = {"dtype": dtype, "quantization": quantization}
        self.output = None if output is None else Path(output)
        if self.output is not None and processes.num_processes > 1:
            self.output /= f"process-{processes.process_index}"

    @property
    def device(self) -> Any:
        """Where lmms-eval gathers what several processes found."""
        return self.mova.model.device

    def generate_until(self, requests: Sequence[Instance]) -> list[GenerationResult]:
        """An answer for each request, in order; a document asked about twice is answered once.

        Logs, for each task, which experts were chosen: lmms-eval writes it into its results. Raises
        UserError for a document without exactly one picture, and for a journal of other settings.
        """
        rows: dict[str, Row] = {}
        chosen: list[tuple[str, list[str]]] = []
        by_task: dict[str, list[Instance]] = {}
        for request in requests:
            by_task.setdefault(request.task_name, []).append(request)
        with Journal.opened(
            self.output, self._settings(by_task), model=self.pretrained, program="lmms-eval eval"
        ) as journal:
            for task, asked in by_task.items():
                wanted = asked[0].args[2]
                for name in ("do_sample", "temperature"):
                    if wanted.get(name):
                        logger.warning(f"{task} asks for {name}={wanted[name]}: answering greedily")
                documents = {_key(request): request for request in asked}
                answer = partial(self._answers, wanted)
                made = journal.complete(documents, answer, batch=self.batch_size, name=task)
                rows |= dict(zip(documents, made, strict=True))
                chosen += [(task, row["experts"]) for row in made]
            usage = self._usage(chosen)
            journal.finish({"routing": usage})
        _log(list(rows.values()), usage)
        kept = [rows[_key(request)] for request in requests]
        return [
            GenerationResult(row["answer"], TokenCounts(output_tokens=row["tokens"]))
            for row in kept
        ]

    def loglikelihood(self, requests: Sequence[Instance]) -> list[tuple[float, bool]]:
        raise UserError("openmova writes answers: give a task of output_type generate_until")

    def generate_until_multi_round(self, requests: Sequence[Instance]) -> list[str]:
        raise UserError("openmova answers one question at a time: give a task of one round")

    def clean(self) -> None:
        """Frees the model before the answers are scored, as lmms-eval asks."""
        del self.mova
        super().clean()

    def _settings(self, by_task: dict[str, list[Instance]]) -> dict[str, Any]:
        """What the answers depend on; read only where a journal is kept."""
        if self.output is None:
            return {}
        from importlib.metadata import version

        from openmova.checkpoints.locate import checkpoint_folder

        return {
            "suite": f"lmms-eval {version('lmms-eval')}",
            "weights": fingerprint(checkpoint_folder(self.pretrained)),
            **self.loading,
            **self.asking,
            "questions": {task: _checksum(asked) for task, asked in by_task.items()},
        }

    def _usage(self, chosen: list[tuple[str, list[str]]]) -> dict[str, dict[str, Any]]:
        """By task, over the questions of all processes: task and experts of each."""
        from accelerate.utils import gather_object

        everywhere = gather_object(chosen)
        return {
            task: expert_usage([names for of, names in everywhere if of == task], self.mova.experts)
            for task in dict.fromkeys(task for task, _ in everywhere)
        }

    def _answers(self, wanted: dict[str, Any], requests: list[Instance]) -> Iterator[Row]:
        """What is kept of the questions of one batch; wanted: how their task has them answered."""
        pairs = [self._asked(request) for request in requests]
        answers = self.mova.ask_batch(
            pairs,
            **self.asking,
            max_new_tokens=wanted.get("max_new_tokens", MAX_NEW_TOKENS),
            batch_size=len(pairs),
        )
        tokenizer = self.mova.processor.tokenizer
        for (_, question), answer in zip(pairs, answers, strict=True):
            text = _until(answer.text, wanted.get("until"))
            yield {
                "question": question,
                "answer": text,
                "experts": list(answer.routing.experts),
                "scores": {name: round(score, 4) for name, score in answer.routing.scores.items()},
                "tokens": len(tokenizer(text, add_special_tokens=False).input_ids),
            }

    def _asked(self, request: Instance) -> tuple[ImageSource, str]:
        """The picture and the question of a request."""
        _, messages_of, _, document, task, split = request.args
        said = ChatMessages(messages=messages_of(self.task_dict[task][split][document]))
        images, videos, sounds = said.extract_media()
        if len(images) != 1 or videos or sounds or [m.role for m in said.messages] != ["user"]:
            raise UserError(
                f"document {document} of {task} has {len(said.messages)} messages, {len(images)} "
                f"pictures, {len(videos)} videos and {len(sounds)} sounds: MoVA answers one "
                "question about one picture; give a task of such questions"
            )
        (message,) = said.messages
        return images[0], "".join(c.text for c in message.content if c.type == "text")


def expert_usage(chosen: Sequence[Collection[str]], pool: Sequence[str]) -> dict[str, Any]:
    """Of questions, each with the experts chosen for it; at least one question.

    share: of the questions for which an expert of the pool was chosen; none: for which nobody was;
    mean_experts: chosen for a question, on average. Four decimals.
    """
    n = len(chosen)
    return {
        "questions": n,
        "share": {name: round(sum(name in names for names in chosen) / n, 4) for name in pool},
        "none": round(sum(not names for names in chosen) / n, 4),
        "mean_experts": round(sum(len(names) for names in chosen) / n, 4),
    }


def _key(request: Instance) -> str:
    return f"{request.task_name}/{request.doc_id}"


def _checksum(requests: Sequence[Instance]) -> str:
    """Of a task's questions as they are asked, and of how their answers end."""
    digest = hashlib.sha256()
    for request in requests:
        question, _, wanted, document, *_ = request.args
        digest.update(repr((document, question, sorted(wanted.items()))).encode())
    return f"{len(requests)}, SHA-256 {digest.hexdigest()}"


def _until(text: str, stops: str | Sequence[str] | None) -> str:
    """The text up to the first of the strings that a task stops at."""
    for stop in [stops] if isinstance(stops, str) else stops or ():
        if stop and stop != FILLER:
            text = text.partition(stop)[0]
    return text


def _log(rows: Sequence[Row], usage: dict[str, dict[str, Any]]) -> None:
    """Hands the statistics to lmms-eval: under "throughput" in its results, as avg_routing/..."""
    seconds = sum(row["seconds"] for row in rows)
    tokens = sum(row["tokens"] for row in rows)
    figures: dict[str, float] = {}
    for task, found in usage.items():
        figures |= {
            f"routing/{task}/{name}": found[name] for name in ("questions", "mean_experts", "none")
        }
        figures |= {f"routing/{task}/share/{name}": share for name, share in found["share"].items()}
    log_metrics(
        total_elapsed_time=seconds,
        total_gen_tokens=tokens,
        avg_speed=tokens / seconds if seconds else 0.0,
        additional_metrics=figures,
    )
