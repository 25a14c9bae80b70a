"""Whether the adapter's gates have collapsed: given all to one of several chosen experts.

The experts that get nothing then learn nothing, so a collapse stays; docs/training.md has figures.
"""

from __future__ import annotations

from collections.abc import Mapping

from openmova.train.domain_statistics import ExpertUse

COLLAPSED = 0.02
"""An expert that gets less than this, or more than 1 minus this, on average over the blocks: in a
single block it may, since blocks divide the work."""
WINDOW = 256
"""Samples that saw it together with another expert, of which the average is."""


class GateWatch:
    """Averages of each expert, over one window after the other.

    rate: the learning rate of the gates; 0 where they don't learn.
    """

    def __init__(self, rate: float) -> None:
        self.rate = rate
        self._sums: dict[str, tuple[int, float]] = {}
        self._warned: set[str] = set()

    def warning(self, experts: Mapping[str, ExpertUse]) -> str | None:
        """One line, where what was seen since the last call ends a window with a collapsed gate;
        once for each expert."""
        collapsed: dict[str, float] = {}
        for name, use in experts.items():
            samples, weights = self._sums.get(name, (0, 0.0))
            samples, weights = samples + use.joint, weights + use.joint_gate
            self._sums[name] = (samples, weights)
            if samples >= WINDOW:
                self._sums[name] = (0, 0.0)
                mean = weights / samples
                if not COLLAPSED <= mean <= 1 - COLLAPSED and name not in self._warned:
                    collapsed[name] = mean
        if not collapsed:
            return None
        self._warned |= collapsed.keys()
        shares = ", ".join(f"{name} {mean:.3f}" for name, mean in collapsed.items())
        remedy = (
            f"begin again with a lower one, such as learning_rates.gate={self.rate / 10:.0e}"
            if self.rate
            else "begin again with a model whose gates have not"
        )
        return (
            f"warning: the adapter's gates have collapsed: where others are chosen too, the mean "
            f"weight is {shares}; what gets nothing learns nothing: {remedy}, or annotate fewer "
            "experts"
        )
