"""Whether a confidence means what it says: the reliability diagram and the calibration error.

Guo et al., On Calibration of Modern Neural Networks (ICML 2017), with bins of as many answers each
instead of equal widths, so that no bin is nearly empty.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from openmova.evaluate.intervals import Share
from openmova.runtime.files import new_file

BINS = 10


def reliability(confidences: Sequence[float], right: Sequence[bool]) -> dict[str, Any]:
    """Confidences from 0 to 1, and for each answer whether it was right; plain JSON types.

    n; error: the expected calibration error, the mean distance of confidence and share over the
    bins, weighted by their answers, 0 without any; bins: of as many answers each, at most BINS,
    each with its mean confidence and the share of right answers. Equals stand in their order.
    """
    order = np.argsort(confidences, kind="stable")
    parts = np.array_split(order, min(BINS, max(len(order), 1)))
    bins, distance = [], 0.0
    for part in parts if len(order) else []:
        mean = float(np.mean([confidences[i] for i in part]))
        share = Share.of([bool(right[i]) for i in part])
        distance += share.n * abs(mean - share.value)
        bins.append({"confidence": round(mean, 4), "right": share.to_dict()})
    n = len(order)
    return {"n": n, "error": round(distance / n, 4) if n else 0.0, "bins": bins}


def draw_reliability(found: Mapping[str, Any], file: Path, title: str) -> None:
    """What `reliability` found as a PNG file: the share of right answers against the confidence."""
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    figure = Figure(figsize=(4.4, 4.4), layout="constrained")
    FigureCanvasAgg(figure)
    axes = figure.add_subplot()
    axes.plot([0, 1], [0, 1], color="0.6", linestyle="--", label="means what it says")
    across = [one["confidence"] for one in found["bins"]]
    shares = [one["right"]["value"] for one in found["bins"]]
    low, high = zip(*(one["right"]["ci95"] for one in found["bins"]), strict=True)
    bars = [np.subtract(shares, low).clip(0), np.subtract(high, shares).clip(0)]
    axes.errorbar(across, shares, yerr=bars, fmt="o", capsize=3, label="answers, with 95% interval")
    axes.set(xlabel="confidence", ylabel="share of right answers", xlim=(0, 1), ylim=(0, 1))
    axes.set_title(f"{title}\n{found['n']} answers, calibration error {found['error']:.3f}")
    axes.legend(loc="upper left", frameon=False)
    with new_file(file) as unfinished:
        figure.savefig(unfinished, format="png", dpi=110)
