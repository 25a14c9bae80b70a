"""The MoVA model: encoders, MoV-Adapter and language model, native to transformers.

`MovaModel` runs the decoder over text and the image tokens that `MovaVision` makes of pictures,
questions and a routing. `MovaForConditionalGeneration` adds the head, the loss, and by
`TwoPassGeneration` the routing pass and generation.

Shapes: B batch, T tokens of the text, E experts of the pool, N image tokens, D width of the
language model, V vocabulary.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from transformers import (
    AutoModel,
    AutoModelForImageTextToText,
    AutoModelForMultimodalLM,
    AutoTokenizer,
    GenerationMixin,
    PreTrainedTokenizerBase,
)
from transformers.modeling_outputs import BaseModelOutputWithPast, CausalLMOutputWithPast
from transformers.models.auto.modeling_auto import MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES
from transformers.utils import PROCESSOR_NAME, can_return_tuple

from openmova.model.configuration_mova import MovaConfig
from openmova.model.onnx_language_model import OnnxHead, OnnxLanguageModel
from openmova.model.packing import Compaction, Packing
from openmova.model.pretrained import CACHE, MovaPreTrainedModel
from openmova.model.processing_mova import MovaProcessor
from openmova.model.splicing import filled_tokens, merge_image_tokens
from openmova.model.two_pass import VISUAL_INPUTS, TwoPassGeneration
from openmova.model.vision_mova import MovaVision
from openmova.routing import RouterLora, RouterLoraConfig

# How some language models change their logits after the head: field of their config -> the change.
LOGIT_CHANGES: dict[str, Callable[[Tensor, float], Tensor]] = {
    "final_logit_softcapping": lambda logits, cap: cap * torch.tanh(logits / cap),
    "logit_scale": lambda logits, scale: logits * scale,
    "logits_scaling": lambda logits, scale: logits / scale,
}

PLACES = ("output_hidden_states", "output_attentions")
"""What has, as the cache, a place for each token of the prompt."""


@dataclass
class MovaModelOutput(BaseModelOutputWithPast):
    """last_hidden_state [B, T, D]; image_hidden_states: the image tokens [B, N, D]; gates
    [B, blocks, E], where pixel_values were given."""

    image_hidden_states: Tensor | None = None
    gates: Tensor | None = None


@dataclass
class MovaOutput(CausalLMOutputWithPast):
    """loss, if labels were given; logits [B, T, V], or [M, V] of M kept positions; the rest as
    `MovaModelOutput`."""

    image_hidden_states: Tensor | None = None
    gates: Tensor | None = None


class MovaModel(MovaVision):
    """Encoders, adapter and decoder, without the language model's head.

    folder: the checkpoint folder that experts and files named in the config are read from. whole:
    the model with the head, whose routing pass finds what a call of `forward` leaves out.
    """

    _keys_to_ignore_on_load_unexpected = [r"^lm_head\."]

    def __init__(
        self,
        config: MovaConfig,
        folder: Path | None = None,
        whole: TwoPassGeneration | None = None,
    ):
        super().__init__(config, folder)
        self._whole = (whole,)  # in a tuple, as it is no part of this one
        language_model: Any
        self.router_lora: RouterLora | None = None
        if config.runtime == "onnx":
            language_model = OnnxLanguageModel(config.text_config, folder)
        else:
            language_model = AutoModel.from_config(config.text_config)
            if config.routing.lora is not None:
                self.router_lora = RouterLora(language_model, config.routing.lora)
        self.language_model = language_model
        # Over several devices an encoder and the adapter each stay on one.
        self._no_split_modules = {type(self.base).__name__, "MoVAdapter", "BertModel"}
        self.post_init()

    def add_router_lora(self, lora: RouterLoraConfig) -> None:
        """Give the routing pass matrices of its own, which change nothing yet."""
        made = RouterLora(self.language_model, lora)
        self.router_lora = made.to(self.adapter.position)  # its device and dtype
        self.config.routing = replace(self.config.routing, lora=lora)

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        routing: Tensor | None = None,
        image_tokens: Tensor | None = None,
        pooled: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        pack: int = 0,
        **kwargs: Any,
    ) -> MovaModelOutput:
        """Run the decoder over text and image tokens.

        input_ids [B, T] with N image tokens a row; attention_mask [B, T]; VISUAL_INPUTS by their
        names and routing as in `image_tokens`, or image_tokens [B, N, D] made before. Pictures may
        be those of the rows with image tokens alone. Of a model with a head, question and routing
        may be left out: they are found in the prompts and by the config's default_routing, with the
        routing prompts if these are given. pooled bool [B]: rows of the routing pass, which see
        their picture in fewer tokens, so that their input_ids hold fewer, and the router's LoRA,
        where there is one. pack: if given, the decoder runs, without a cache, on rows of at most so
        many tokens that hold several samples each, in which hidden_states and attentions stay.
        Raises ValueError for inputs that do not fit together.
        """
        if (input_ids is None) == (inputs_embeds is None):
            raise ValueError("pass either input_ids or inputs_embeds")
        gates = None
        visual = {name: kwargs.pop(name, None) for name in VISUAL_INPUTS}
        if image_tokens is None and visual["pixel_values"] is not None:
            base_map = None
            (whole,) = self._whole
            if whole is not None and input_ids is not None:
                visual = whole.complete(visual, routing, input_ids, attention_mask)
                if routing is None:
                    base_map = self.encode_base(visual["pixel_values"], visual["image_sizes"])
                    routing = whole.find_routing(visual, input_ids, base_map)
            if routing is None:
                raise ValueError(
                    "pixel_values need a routing: pass routing= (bool [batch, experts]), or call "
                    "the model with a head, which asks the router"
                )
            pictures, sizes, _, _, question, mask = map(visual.get, VISUAL_INPUTS)
            image_tokens, gates = self.image_tokens(
                pictures, sizes, routing, question, mask, base_map
            )
        has_empty = False
        if input_ids is not None:
            words = input_ids
            if image_tokens is not None:  # the image token itself need not be in the vocabulary
                words = words.masked_fill(words == self.config.image_token_id, 0)
            inputs_embeds = self.get_input_embeddings()(words)  # [B, T, D]
            if image_tokens is not None:
                inputs_embeds = self._merge(inputs_embeds, input_ids, image_tokens, pooled)
                if self.config.adapter.summary_grid is not None:  # nobody attends to empty places
                    places = input_ids == self.config.image_token_id
                    empty = places & ~filled_tokens(inputs_embeds)
                    has_empty = bool(empty.any())
                    if has_empty:
                        if attention_mask is None:
                            attention_mask = torch.ones_like(input_ids)
                        attention_mask = attention_mask.masked_fill(empty, 0)
        assert inputs_embeds is not None
        if pack and attention_mask is None:
            attention_mask = inputs_embeds.new_ones(inputs_embeds.shape[:2], dtype=torch.long)
        if isinstance(attention_mask, Tensor) and attention_mask.ndim == 2:
            seen = attention_mask[:, -inputs_embeds.shape[1] :, None]
            inputs_embeds = inputs_embeds * seen.to(inputs_embeds.dtype)
            if position_ids is None:
                position_ids = (attention_mask.long().cumsum(dim=1) - 1).clamp(min=0)
                position_ids = position_ids[:, -inputs_embeds.shape[1] :]
        kwargs |= {"attention_mask": attention_mask, "position_ids": position_ids}
        packing: Packing | Compaction | None = None
        has_cache = kwargs.get(CACHE) is not None or kwargs.get("use_cache", not self.training)
        compact = has_empty and not has_cache and not any(map(kwargs.get, PLACES))
        if pack or compact:
            assert isinstance(attention_mask, Tensor) and position_ids is not None
            seen = attention_mask.bool()
            packing = Packing(seen, pack) if pack else Compaction(seen)
            inputs_embeds = packing.into_rows(inputs_embeds)
            kwargs |= packing.decoder_inputs(position_ids)
            if pooled is not None and pack:  # of the rows' places
                pooled = packing.into_rows(pooled[:, None].expand_as(attention_mask))
        if self.router_lora is not None:
            self.router_lora.begin(self.language_model, pooled)
        elif isinstance(self.language_model, OnnxLanguageModel):
            kwargs["pooled"] = pooled
        outputs = self.language_model(
            inputs_embeds=inputs_embeds,
            return_dict=True,
            **kwargs,
        )
        hidden = outputs.last_hidden_state
        return MovaModelOutput(
            last_hidden_state=hidden if packing is None else packing.into_batch(hidden),
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=image_tokens,
            gates=gates,
            **{CACHE: getattr(outputs, CACHE)},
        )

    def _merge(
        self, embeddings: Tensor, input_ids: Tensor, image_tokens: Tensor, pooled: Tensor | None
    ) -> Tensor:
        """Image tokens into the embeddings [B, T, D]; rows of pooled bool [B] get pooled ones."""
        image_token_id = self.config.image_token_id
        if pooled is None or not pooled.any():
            return merge_image_tokens(embeddings, input_ids, image_tokens, image_token_id)
        few = self.routing_tokens(image_tokens)
        for tokens, others in ((image_tokens, pooled), (few, ~pooled)):
            ids = input_ids.masked_fill(others[:, None], -1)  # these rows have no place for them
            embeddings = merge_image_tokens(embeddings, ids, tokens, image_token_id)
        return embeddings


class MovaForConditionalGeneration(MovaPreTrainedModel, TwoPassGeneration, GenerationMixin):
    """The whole model: forward with loss, and `generate` that does both passes.

    tokenizer: of the language model, which the routing pass decodes with; processor: makes the
    prompts of router and gate where a call has only the answer's. Both are read from the checkpoint
    folder when they are first needed, or set by hand.
    """

    model: MovaModel

    def __init__(self, config: MovaConfig, folder: Path | None = None):
        super().__init__(config)
        self.model = MovaModel(config, folder, whole=self)
        text = config.text_config
        self.lm_head: Any
        if config.runtime == "onnx":
            self.lm_head = OnnxHead(folder)
        else:
            self.lm_head = nn.Linear(text.hidden_size, text.vocab_size, bias=False)
        fields = text.to_dict()
        self._logit_changes = [
            (change, fields[name]) for name, change in LOGIT_CHANGES.items() if fields.get(name)
        ]
        self._tokenizer: PreTrainedTokenizerBase | None = None
        self._processor: MovaProcessor | None = None
        embeddings = self.get_input_embeddings()
        (name,) = (name for name, module in self.named_modules() if module is embeddings)
        if config.runtime == "transformers":
            self._tied_weights_keys = {"lm_head.weight": f"{name}.weight"}
        self.post_init()

    @property
    def tokenizer(self) -> PreTrainedTokenizerBase:
        """The language model's tokenizer. Raises ValueError if there is none."""
        if self._tokenizer is None:
            folder = self.model.experts.folder
            if folder is None or not (folder / "tokenizer_config.json").is_file():
                raise ValueError(
                    "the routing pass reads the answer with a tokenizer and the model has none: "
                    "set model.tokenizer = processor.tokenizer, or pass routing="
                )
            self._tokenizer = AutoTokenizer.from_pretrained(folder)
        return self._tokenizer

    @tokenizer.setter
    def tokenizer(self, tokenizer: PreTrainedTokenizerBase) -> None:
        self._tokenizer = tokenizer

    @property
    def processor(self) -> MovaProcessor:
        """The processor that is saved with the model. Raises ValueError if there is none."""
        if self._processor is None:
            folder = self.model.experts.folder
            if folder is None or not (folder / PROCESSOR_NAME).is_file():
                raise ValueError(
                    "the prompts of the router and the gate are made by a processor and the model "
                    "has none: set model.processor, or pass routing= and question_input_ids="
                )
            self._processor = MovaProcessor.from_pretrained(folder)
        return self._processor

    @processor.setter
    def processor(self, processor: MovaProcessor) -> None:
        self._processor = processor

    @can_return_tuple
    def forward(
        self,
        input_ids: Tensor | None = None,
        attention_mask: Tensor | None = None,
        pixel_values: Tensor | None = None,
        image_sizes: Tensor | None = None,
        routing: Tensor | None = None,
        question_input_ids: Tensor | None = None,
        question_attention_mask: Tensor | None = None,
        image_tokens: Tensor | None = None,
        pooled: Tensor | None = None,
        position_ids: Tensor | None = None,
        inputs_embeds: Tensor | None = None,
        labels: Tensor | None = None,
        logits_to_keep: int | Tensor = 0,
        pack: int = 0,
        **kwargs: Any,
    ) -> MovaOutput:
        """Logits [B, T, V] and, with labels [B, T] (-100: no loss), the next-token loss.

        The other inputs as `MovaModel.forward`. logits_to_keep: only so many from the end, or at
        these positions; or a mask bool [B, T] of the M positions to keep, whatever their row, so
        that the logits are [M, V] in order and the loss is that of these positions.
        """
        outputs = self.model(
            input_ids=input_ids,
            attention_mask=attention_mask,
            pixel_values=pixel_values,
            image_sizes=image_sizes,
            routing=routing,
            question_input_ids=question_input_ids,
            question_attention_mask=question_attention_mask,
            image_tokens=image_tokens,
            pooled=pooled,
            position_ids=position_ids,
            inputs_embeds=inputs_embeds,
            pack=pack,
            **kwargs,
        )
        at: Any  # of [B, T]
        if isinstance(logits_to_keep, int):
            at = (slice(None), slice(-logits_to_keep, None))
        else:
            at = logits_to_keep if logits_to_keep.ndim == 2 else (slice(None), logits_to_keep)
        logits = self.lm_head(outputs.last_hidden_state[at])
        for change, value in self._logit_changes:
            logits = change(logits, value)
        loss = None
        if labels is not None:
            vocabulary = self.config.text_config.vocab_size
            # The label of a position is the token after it; the last one has none.
            targets = nn.functional.pad(labels[:, 1:], (0, 1), value=-100)[at]
            loss = self.loss_function(
                logits=logits, labels=None, shift_labels=targets, vocab_size=vocabulary, **kwargs
            )
        return MovaOutput(
            loss=loss,
            logits=logits,
            hidden_states=outputs.hidden_states,
            attentions=outputs.attentions,
            image_hidden_states=outputs.image_hidden_states,
            gates=outputs.gates,
            **{CACHE: getattr(outputs, CACHE)},
        )


AutoModel.register(MovaConfig, MovaModel)
AutoModelForImageTextToText.register(MovaConfig, MovaForConditionalGeneration)
AutoModelForMultimodalLM.register(MovaConfig, MovaForConditionalGeneration)
# Where `transformers serve` looks for models.
MODEL_FOR_MULTIMODAL_LM_MAPPING_NAMES[MovaConfig.model_type] = "MovaForConditionalGeneration"
