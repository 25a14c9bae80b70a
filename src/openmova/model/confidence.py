"""How sure an answer is, as a probability: a logistic of how likely its tokens were.

The model's own probabilities tell right answers from wrong ones but are too high; a logistic that
was fitted on held-out answers makes shares of them (Platt 1999; Guo et al. 2017).
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from openmova.routing import Routing

FEATURES = ("mean", "least", "whole", "routing")


def confidence_features(log_probs: Sequence[float], routing: Routing) -> dict[str, float]:
    """What the confidence is made of, by the names of FEATURES.

    log_probs: natural logarithms of the probability of each of the answer's tokens, its end too.
    mean, least, whole: their mean, their least, and that of the whole answer, their sum; routing:
    how far the least decided of the router's scores is from one half, 0 to 1; 1 if none was asked.
    """
    return {
        "mean": sum(log_probs) / len(log_probs),
        "least": min(log_probs),
        "whole": sum(log_probs),
        "routing": min((abs(2 * score - 1) for score in routing.scores.values()), default=1.0),
    }


@dataclass(frozen=True, kw_only=True)
class ConfidenceConfig:
    """A checkpoint's calibration. Raises ValueError for values that make no sense."""

    weights: Mapping[str, float]
    """By the names of FEATURES; what is not named does not count."""
    bias: float
    unsure_below: float = 0.5
    """An answer of less confidence is shown as unsure."""
    declining: Sequence[str] = field(default=())
    """Answers that say that there is none, such as "I can't tell.": their confidence is 0."""

    def __post_init__(self) -> None:
        if unknown := sorted(set(self.weights) - set(FEATURES)):
            raise ValueError(f"weights may be {', '.join(FEATURES)}, not {', '.join(unknown)}")
        if not 0 <= self.unsure_below <= 1:
            raise ValueError(f"unsure_below must be 0 to 1, not {self.unsure_below}")

    def confidence(self, text: str, log_probs: Sequence[float], routing: Routing) -> float:
        """The probability, 0 to 1, that the text is the right answer."""
        if text in self.declining:
            return 0.0
        features = confidence_features(log_probs, routing)
        score = self.bias + sum(weight * features[name] for name, weight in self.weights.items())
        return 0.5 * (1 + math.tanh(0.5 * score))  # the logistic function, without overflow
