"""What a number was measured on, and what it was measured with: both travel with it."""

from __future__ import annotations

from dataclasses import asdict, dataclass, replace
from typing import Any


@dataclass(frozen=True)
class Protocol:
    """What was scored against what.

    Args:
        split: of the dataset.
        clips, frames, height, width: of the real side; frames of a clip.
        stride: dataset frames from one frame to the next.
        generated_by: how the generated side came to be; empty where only real clips were looked at.
        given_frames: leading frames that the generator was given and that are not counted.
        network_mode: of the batch norms.
    """

    split: str
    clips: int
    frames: int
    height: int
    width: int
    stride: int = 1
    generated_by: str = ""
    given_frames: int = 0
    network_mode: str = "eval"


@dataclass(frozen=True)
class Result:
    """A number.

    Args:
        network, checksum: of the weights that a metric took its features from; None where it takes none.
        seconds: that the metric took, all processes at once.
        per_position: the score of each frame of a clip, where there is one.
    """

    name: str
    value: float
    protocol: Protocol
    network: str | None = None
    checksum: str | None = None
    seconds: float | None = None
    per_position: tuple[float, ...] | None = None

    def to_json(self) -> dict[str, Any]:
        """As `from_json` reads it; what is None is left out."""
        return {name: value for name, value in asdict(self).items() if value is not None}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Result:
        """Raises: KeyError, TypeError, not what `to_json` writes."""
        given: dict[str, Any] = content | {"protocol": Protocol(**content["protocol"])}
        made = cls(**given)
        return made if made.per_position is None else replace(made, per_position=tuple(made.per_position))


@dataclass(frozen=True)
class NotComputed:
    """A number that was asked for and could not be had, and why."""

    name: str
    reason: str
