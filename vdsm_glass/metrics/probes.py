"""Linear probes: what can be read off a representation by a straight cut, and what leaks into it."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from sklearn.pipeline import Pipeline


@dataclass(frozen=True)
class LinearProbe:
    """Multinomial logistic regression on standardised features, both scikit-learn's.

    >>> x = np.array([[-1.0], [-0.9], [0.9], [1.0]])
    >>> LinearProbe.fit(x, np.array([3, 3, 5, 5])).accuracy(x, np.array([3, 3, 5, 3]))
    0.75
    """

    classifier: Pipeline

    @classmethod
    def fit(cls, features: np.ndarray, labels: np.ndarray) -> LinearProbe:
        """Args: features (n, f); labels (n,), at least two different ones.   Raises: ValueError, there is one."""
        from sklearn.linear_model import LogisticRegression
        from sklearn.pipeline import make_pipeline
        from sklearn.preprocessing import StandardScaler

        return cls(make_pipeline(StandardScaler(), LogisticRegression(max_iter=5000)).fit(features, labels))

    def predict(self, features: np.ndarray) -> np.ndarray:
        """Args: features (n, f).   Returns: (n,) labels."""
        return self.classifier.predict(features)

    def accuracy(self, features: np.ndarray, labels: np.ndarray) -> float:
        """Share of rows whose label is found, in [0, 1].  Args: features (n, f); labels (n,)."""
        return float(np.mean(self.predict(features) == labels))


def chance(labels: np.ndarray) -> float:
    """Accuracy of always naming the commonest label: that of a probe which sees nothing.  Args: labels (n,) >= 0."""
    return float(np.bincount(labels).max() / len(labels))
