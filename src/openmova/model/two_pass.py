"""The two passes: the router names experts (coarse), these alone are encoded and fused (fine).

`encode_images` is the one way from pictures and questions to image tokens; `generate` answers from
them, and so does every other surface (paper, section 3.1 and 3.3).

Shapes: B batch, T tokens of a prompt, C base channels, H x W the base map, E experts of the pool,
N image tokens, D width of the language model.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass
from functools import wraps
from itertools import chain
from typing import Any, Protocol

import torch
from torch import Tensor, nn
from transformers import (
    Cache,
    GenerationConfig,
    GenerationMixin,
    LogitsProcessor,
    LogitsProcessorList,
    PreTrainedTokenizerBase,
    SuppressTokensLogitsProcessor,
)

from openmova.model.adapter import ExpertMap
from openmova.model.configuration_mova import MovaConfig
from openmova.model.pretrained import CACHE
from openmova.model.processing_mova import MovaProcessor
from openmova.model.splicing import drop_empty_tokens, picture_rows
from openmova.model.vision_mova import NO_IMAGES, MovaVision
from openmova.routing import (
    Routing,
    RoutingResult,
    expert_letters,
    parse_routing,
    read_routing_prompt,
)
from openmova.routing.budget import Unit
from openmova.routing.decoding import (
    LetterPrior,
    RoutingConstraint,
    active_steps,
    letter_scores,
)
from openmova.routing.routing import limit_experts
from openmova.routing.selection import ExpertSelection


@dataclass(frozen=True, kw_only=True)
class VisualContext:
    """What an answer is written from, and how it came about."""

    tokens: Tensor
    """[B, N, D]"""
    gates: Tensor
    """[B, blocks, E]; zero for experts that were not chosen"""
    chosen: Tensor
    """bool [B, E]"""
    routing: list[Routing]
    """the choice of each row with names, scores, and what the router wrote"""

    def row_gates(self) -> list[Tensor]:
        """For each row float32 [blocks, chosen experts], on the CPU."""
        rows = zip(self.gates, self.chosen, strict=True)
        return [gates[:, chosen].float().cpu() for gates, chosen in rows]


VISUAL_INPUTS = (
    *("pixel_values", "image_sizes", "routing_input_ids", "routing_attention_mask"),
    *("question_input_ids", "question_attention_mask"),
)


class Memory(Protocol):
    """What knows encoder outputs of pictures from before; else the model's own methods run."""

    def encode_base(self, pixel_values: Tensor, image_sizes: Tensor) -> Tensor: ...

    def encode_experts(
        self, pixel_values: Tensor, image_sizes: Tensor, routing: Tensor
    ) -> dict[int, ExpertMap]: ...

    def route(
        self, rows: Sequence[int], input_ids: Tensor, attention_mask: Tensor, base_map: Tensor
    ) -> RoutingResult: ...


@contextmanager
def evaluating(model: nn.Module) -> Iterator[None]:
    """Without dropout, and with a cache, which layers that checkpoint gradients don't have while
    they are trained."""
    training = [module for module in model.modules() if module.training]
    try:
        for module in training:
            module.training = False
        yield
    finally:
        for module in training:
            module.training = True


Timer = Callable[[str], AbstractContextManager[None]]
"""Gives a context that times a stage by its name."""


class TwoPassGeneration(GenerationMixin):
    """`generate` with both passes, for the model that has `model`, `config`, `tokenizer` and
    `processor`."""

    model: MovaVision
    config: MovaConfig
    tokenizer: PreTrainedTokenizerBase
    processor: MovaProcessor

    @torch.no_grad()
    def encode_images(
        self,
        inputs: Mapping[str, Tensor | None],
        *,
        selections: Sequence[ExpertSelection] | None = None,
        constrained: bool | None = None,
        memory: Memory | None = None,
        timer: Timer = lambda stage: nullcontext(),
    ) -> VisualContext:
        """Encode pictures under the experts of each row, or those that the router names.

        inputs, as the processor makes them: pixel_values uint8 [B, 3, h, w], image_sizes [B, 2];
        question_input_ids, routing_input_ids and their attention masks [B, T]. selections: who
        decides, for each row; None: the router. constrained: as `route`. memory: encoder outputs
        that are known; timer: told the stages base, routing, experts and adapter.
        Raises ValueError without pictures, or without the prompts that a row needs.
        """
        core = self.model
        pixel_values, image_sizes, prompts, masks, *question = map(inputs.get, VISUAL_INPUTS)
        if pixel_values is None or image_sizes is None:
            raise ValueError(NO_IMAGES)
        with timer("base"):
            base_map = (memory or core).encode_base(pixel_values, image_sizes)
        selections = selections or [ExpertSelection()] * len(base_map)
        known: Tensor | None = None
        with timer("routing"):
            names = self.config.expert_names
            nobody = (False,) * len(names)
            fixed = [selection.fixed or nobody for selection in selections]
            chosen = core.check_routing(torch.tensor(fixed, device=base_map.device).bool())
            asked = [row for row, selection in enumerate(selections) if selection.fixed is None]
            routing = [Routing.of(row, names) for row in chosen]
            if asked:
                if prompts is None or masks is None:
                    raise ValueError(
                        "to find a routing, generate needs routing_input_ids, as the processor "
                        "makes them; or pass routing= (bool [batch, experts])"
                    )
                router = prompts[asked], masks[asked], base_map[asked]
                if memory is None:
                    result = self.route(*router, constrained=constrained)
                else:
                    result = memory.route(asked, *router)
                for at, row in enumerate(asked):
                    limited = selections[row].limited(self.config.routing.max_experts)
                    chosen[row] = limited.apply(
                        result.routing[at], result.scores[at], names, self._expert_cost
                    )
                    routing[row] = Routing.of(chosen[row], names, result, at)
                known = result.tokens
        with timer("experts"):
            maps = (memory or core).encode_experts(pixel_values, image_sizes, chosen)
        with timer("adapter"):
            if known is None or chosen[asked].any(dim=1).all():
                tokens, gates = core.fuse(base_map, maps, chosen, *question)
            else:  # what the router saw of a row without expert are its image tokens
                rest = chosen.any(dim=1)
                rest[[row for row in range(len(chosen)) if row not in asked]] = True
                tokens = known.new_empty(len(chosen), *known.shape[1:])
                tokens[asked] = known
                gates = tokens.new_zeros(len(chosen), len(core.adapter.blocks), chosen.shape[1])
                if rest.any():
                    place = rest.cumsum(dim=0) - 1
                    moved = {j: ExpertMap(place[rows], one) for j, (rows, one) in maps.items()}
                    tokens[rest], gates[rest] = core.fuse(
                        base_map[rest],
                        moved,
                        chosen[rest],
                        *(None if part is None else part[rest] for part in question),
                    )
        return VisualContext(tokens=tokens, gates=gates, chosen=chosen, routing=routing)

    @torch.no_grad()
    def route(
        self,
        routing_input_ids: Tensor,
        routing_attention_mask: Tensor | None,
        base_map: Tensor,
        *,
        constrained: bool | None = None,
        pool_size: int | None = None,
        past_key_values: Cache | None = None,
    ) -> RoutingResult:
        """Ask the language model which experts these pictures and questions need (the coarse pass).

        routing_input_ids [B, T]: the routing prompts; base_map [B, C, H, W]. constrained: as in the
        config's routing, if not given. pool_size: how many experts the prompts' pool has, if it
        is not the model's own. past_key_values: of the prompts' first places, with all of their
        image tokens or none of them, which are not read again. An empty pool is not asked about.
        Raises ValueError if the model has no tokenizer.
        """
        rules = self.config.routing
        experts = len(self.model.experts)
        letters = expert_letters(experts if pool_size is None else pool_size)
        chosen = base_map.new_zeros(len(base_map), len(letters), dtype=torch.bool)
        none = base_map.new_zeros(len(base_map), experts, dtype=torch.bool)
        tokens, _ = self.model.fuse(base_map, {}, none)
        if not letters:
            return RoutingResult(chosen, chosen.float(), [""] * len(chosen), tokens)
        answer = self.generation_config
        end = answer.eos_token_id if answer.eos_token_id is not None else []
        processors = LogitsProcessorList([self._no_image_tokens()])
        length = routing_input_ids.shape[1]
        letter_options: dict[str, Any] = {"tokenizer": self.tokenizer, "letters": letters}
        letter_options |= {"eos_token_ids": end, "prompt_length": length}
        known = prior = None
        if rules.text_prior:
            known = self._text_prior(routing_input_ids, routing_attention_mask, len(letters))
        if known is not None:
            prior = LetterPrior(known, **letter_options)
            processors.append(prior)
        if rules.constrained if constrained is None else constrained:
            processors.append(RoutingConstraint(**letter_options))
        generated = super().generate(
            routing_input_ids,
            GenerationConfig(
                max_new_tokens=rules.max_new_tokens,
                do_sample=False,
                num_beams=1,
                num_return_sequences=1,
                # Set, so that the answer's settings in generation_config.json don't count here.
                min_new_tokens=0,
                temperature=1.0,
                top_p=1.0,
                top_k=50,
                repetition_penalty=1.0,
                no_repeat_ngram_size=0,
                return_dict_in_generate=True,
                output_logits=True,
            ),
            attention_mask=routing_attention_mask,
            image_tokens=tokens,
            pooled=none.new_ones(len(none)),
            logits_processor=processors,
            **{CACHE: past_key_values},
        )
        new_ids = generated.sequences[:, length:]
        texts = [
            text.strip() for text in self.tokenizer.batch_decode(new_ids, skip_special_tokens=True)
        ]
        for row, text in enumerate(texts):
            chosen[row, list(parse_routing(text, letters))] = True
        active = active_steps(new_ids, end)
        steps = list(generated.logits)
        if prior is not None:
            steps[0] = prior.first_step(steps[0])
        scores = letter_scores(steps, self.tokenizer, letters, active)
        return RoutingResult(chosen, scores, texts, tokens, getattr(generated, CACHE))

    @torch.no_grad()
    def generate(
        self,
        inputs: Tensor | None = None,
        generation_config: GenerationConfig | None = None,
        *,
        routing: Tensor | None = None,
        image_tokens: Tensor | None = None,
        max_experts: int | None = None,
        constrained: bool | None = None,
        logits_processor: Sequence[LogitsProcessor] | None = None,
        **kwargs: Any,
    ) -> Any:
        """Answer: both passes over a picture, or only the second with routing= or image_tokens=.

        Takes what the processor returns and every option of transformers' generate. routing bool
        [B, E] replaces the choice of the config's default_routing, max_experts limits the router's.
        Raises ValueError if a picture comes with neither a routing nor a routing prompt, and there
        is no processor to make one.
        """
        prompt = inputs if inputs is not None else kwargs.pop("input_ids", None)
        visual = {name: kwargs.pop(name, None) for name in VISUAL_INPUTS}
        if image_tokens is None and visual["pixel_values"] is not None:
            if prompt is not None:
                visual = self.complete(visual, routing, prompt, kwargs.get("attention_mask"))
            if routing is None:
                count = len(visual["pixel_values"])
                selections = [self._default_selection(max_experts)] * count
            else:
                rows = self.model.check_routing(routing).tolist()
                selections = [ExpertSelection(fixed=tuple(row)) for row in rows]
            context = self.encode_images(visual, selections=selections, constrained=constrained)
            image_tokens = context.tokens
        processors = LogitsProcessorList([self._no_image_tokens(), *(logits_processor or ())])
        shorter = prompt
        if image_tokens is not None and prompt is not None:
            mask = kwargs.get("attention_mask")
            shorter, kwargs["attention_mask"], image_tokens = drop_empty_tokens(
                prompt,
                torch.ones_like(prompt) if mask is None else mask,
                image_tokens,
                self.config.image_token_id,
            )
        generated = super().generate(
            shorter,
            generation_config,
            image_tokens=image_tokens,
            logits_processor=processors,
            **kwargs,
        )
        if shorter is not prompt:  # what comes back begins with the prompt that was given
            sequences = generated if isinstance(generated, Tensor) else generated.sequences
            prompts = prompt.repeat_interleave(len(sequences) // len(prompt), dim=0)
            sequences = torch.cat([prompts, sequences[:, shorter.shape[1] :]], dim=1)
            if isinstance(generated, Tensor):
                return sequences
            generated.sequences = sequences
        return generated

    def complete(
        self,
        visual: Mapping[str, Tensor | None],
        routing: Tensor | None,
        input_ids: Tensor,
        attention_mask: Tensor | None,
    ) -> dict[str, Tensor | None]:
        """What a caller left out of VISUAL_INPUTS: a black pixel for each row without picture, and
        the question and the routing prompt, where they are needed, as the prompts have them."""
        full = dict(visual)
        pixel_values, image_sizes, prompts, _, question, _ = map(visual.get, VISUAL_INPUTS)
        if pixel_values is None or image_sizes is None:
            raise ValueError(NO_IMAGES)
        full["pixel_values"], full["image_sizes"] = picture_rows(
            pixel_values, image_sizes, self._shows_picture(input_ids)
        )
        default = self.config.default_routing
        makers = []
        if question is None and (default != "none" if routing is None else bool(routing.any())):
            makers.append(self.processor.question_inputs)
        if prompts is None and routing is None and default == "router":
            makers.append(self.processor.routing_inputs)
        if makers:
            mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
            questions = self.processor.questions_in(input_ids, mask)
            for make in makers:
                for name, ids in make(questions).items():
                    full[name] = torch.tensor(ids, device=input_ids.device)
        return full

    @torch.no_grad()
    def find_routing(
        self, visual: Mapping[str, Tensor | None], input_ids: Tensor, base_map: Tensor
    ) -> Tensor:
        """The routing bool [B, E] where a caller gives none, as the config's default_routing has
        it; none for rows without picture. visual: complete. base_map [B, C, H, W]."""
        selection = self._default_selection()
        if selection.fixed is not None:
            chosen = torch.tensor([selection.fixed], device=input_ids.device)
        else:
            prompts, masks = visual["routing_input_ids"], visual["routing_attention_mask"]
            assert prompts is not None
            with evaluating(self):
                result = self.route(prompts, masks, base_map)
            chosen = limit_experts(result.routing, result.scores, self.config.routing.max_experts)
        return chosen & self._shows_picture(input_ids)[:, None]

    def _expert_cost(self, j: int, unit: Unit) -> float:
        return self.model.experts.cost(j).amount(unit, self.config.expert_names[j])

    def _shows_picture(self, input_ids: Tensor) -> Tensor:
        """bool [B]"""
        return (input_ids == self.config.image_token_id).any(dim=1)

    def _default_selection(self, max_experts: int | None = None) -> ExpertSelection:
        default = self.config.default_routing
        experts = None if default == "router" else default
        return ExpertSelection.of(experts, max_experts, self.config.expert_names)

    @wraps(GenerationMixin.prepare_inputs_for_generation)  # whose arguments `generate` may pass
    def prepare_inputs_for_generation(
        self,
        input_ids: Tensor,
        *args: Any,
        image_tokens: Tensor | None = None,
        is_first_iteration: bool | None = False,
        **kwargs: Any,
    ) -> dict[str, Any]:
        """As transformers does, with the image tokens only where the prompt is read."""
        inputs = super().prepare_inputs_for_generation(
            input_ids, *args, is_first_iteration=is_first_iteration, **kwargs
        )
        if is_first_iteration or not kwargs.get("use_cache", True):
            inputs["image_tokens"] = image_tokens
        return inputs

    def _text_prior(
        self, input_ids: Tensor, attention_mask: Tensor | None, size: int
    ) -> Tensor | None:
        """float32 [B, E]: what the texts of routing prompts [B, T] say for each letter of an expert
        that the router never learned: the weight times how much nearer its descriptions are to the
        question than those of any that was learned; not a number for those. None: all were.

        size: E; experts at the end of the model's own pool may have no line in the prompts."""
        mask = torch.ones_like(input_ids) if attention_mask is None else attention_mask
        told = map(read_routing_prompt, self.processor.questions_in(input_ids, mask))
        asked = [
            (pool + self.config.descriptions[len(pool) : size], question) for pool, question in told
        ]
        rules = self.config.routing
        own = {text: spec for spec in self.config.experts for text in spec["descriptions"]}
        learned = {text for text, spec in own.items() if spec["name"] not in rules.unlearned}
        is_new = torch.tensor([[text not in learned for text in pool] for pool, _ in asked])
        if not is_new.any():
            return None
        words = {
            text: own[text]["descriptions"] if text in own else [text]
            for p, _ in asked
            for text in p
        }
        texts = list(dict.fromkeys([*chain(*words.values()), *(question for _, question in asked)]))
        encoded = {
            name: torch.tensor(ids, device=input_ids.device)
            for name, ids in self.processor.sentence_inputs(texts).items()
        }
        known = dict(zip(texts, self.model.encode_sentences(**encoded).float(), strict=True))
        means = {
            text: torch.stack([known[t] for t in said]).mean(dim=0) for text, said in words.items()
        }
        likeness = torch.stack(
            [
                torch.stack([means[text] for text in pool]) @ known[question]
                for pool, question in asked
            ]
        )
        is_new = is_new.to(likeness.device)
        best = likeness.masked_fill(is_new, -torch.inf).amax(dim=1, keepdim=True)
        nearer = likeness - best.masked_fill(best.isinf(), 0)
        return (rules.text_prior * nearer).masked_fill(~is_new, torch.nan)

    def _no_image_tokens(self) -> LogitsProcessor:
        """A picture is shown to the model, never written by it."""
        return SuppressTokensLogitsProcessor([self.config.image_token_id], str(self.device))
