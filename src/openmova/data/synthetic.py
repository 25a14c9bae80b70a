"""Generated images and questions as training samples, as many as wanted, each from its number."""

from __future__ import annotations

import random
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from openmova.data.samples import Samples
from openmova.data.synthetic.charts import draw_chart
from openmova.data.synthetic.forms import draw_form
from openmova.data.synthetic.questions import ask
from openmova.data.synthetic.shapes import draw_shapes

DRAW = (draw_form, draw_chart, draw_shapes)


class SyntheticSamples(Samples):
    """`count` samples: forms, charts and shapes in turn; annotated with nano's experts."""

    def __init__(self, count: int, *, seed: int = 0) -> None:
        super().__init__("synthetic", Path())
        self.count = count
        self.seed = seed

    def __len__(self) -> int:
        return self.count

    def record(self, index: int) -> Mapping[str, Any]:
        rng = random.Random(f"synthetic-{self.seed}-{index}")
        drawn = DRAW[index % len(DRAW)](rng)
        fact = rng.choice(drawn.facts)
        return {
            "image": drawn.image,
            "messages": [
                {"role": "user", "content": ask(fact, rng)},
                {"role": "assistant", "content": fact.answer},
            ],
            "experts": fact.experts,
            "domain": drawn.domain,
        }
