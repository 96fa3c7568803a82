"""What the labels of a dataset mean."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Labels:
    """What identities and actions are called, and what identities are made of.

    Args:
        identity: the name of each identity; empty where they are only numbered.
        action: the same of each action.
        attributes: by factor, its value for each identity: what to recognise where no identity is in two splits. Empty
            where the identity is all there is.
    """

    identity: Sequence[str] = ()
    action: Sequence[str] = ()
    attributes: Mapping[str, Sequence[int]] = field(default_factory=dict)

    def to_json(self) -> dict[str, Any]:
        """Plain lists."""
        attributes = {factor: [int(value) for value in values] for factor, values in self.attributes.items()}
        return {"identity": list(self.identity), "action": list(self.action), "attributes": attributes}

    @classmethod
    def from_json(cls, content: dict[str, Any]) -> Labels:
        """Raises: KeyError, TypeError, ValueError, AttributeError where `content` is not what `to_json` gives."""
        labels = cls(identity=content["identity"], action=content["action"], attributes=content["attributes"])
        if labels.to_json() != content or not all(isinstance(name, str) for name in (*labels.identity, *labels.action)):
            raise ValueError("its labels are none")
        return labels
