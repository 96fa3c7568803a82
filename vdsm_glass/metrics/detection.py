"""ADD and MDR: a detector's positions of the player in generated frames against those in the real ones."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from math import inf
from pathlib import Path

import torch
from einops import rearrange
from torch import Tensor, nn

from data_modules.common.errors import UserError
from vdsm_glass import published_weights
from vdsm_glass.metrics.states import StatefulMetric

Detections = Mapping[str, Tensor]
"""What a detector finds in a frame: boxes (n, 4) as x1, y1, x2, y2 in pixels, labels (n,), scores (n,)."""


@dataclass(frozen=True)
class Zone:
    """Part of a frame in which boxes are not the player's: those that are within all bounds.

    Args: x2_up_to, x1_from, y1_up_to, y1_beyond: x2 <= it, x1 >= it, y1 <= it, y1 > it; in pixels.
    """

    x2_up_to: float = inf
    x1_from: float = -inf
    y1_up_to: float = inf
    y1_beyond: float = -inf

    def holds(self, boxes: Tensor) -> Tensor:
        """Boxes (n, 4) -> (n,) bool."""
        x1, y1, x2, _ = boxes.unbind(dim=1)
        return (x2 <= self.x2_up_to) & (x1 >= self.x1_from) & (y1 <= self.y1_up_to) & (y1 > self.y1_beyond)


@dataclass(frozen=True)
class DetectionProtocol:
    """Which of a detector's boxes is the player; the defaults are Playable Video Generation's for Tennis.

    Args:
        label: COCO's number of the class, person.
        score: a box counts if the detector's score is above it.
        zones: boxes in any of them do not count: umpires in the upper corners, ball boys at the net (y1 > 80).
        size: height and width of the frames for which the zones are made.
    """

    label: int = 1
    score: float = 0.8
    zones: tuple[Zone, ...] = (Zone(x2_up_to=60, y1_up_to=26), Zone(x1_from=200, y1_up_to=26), Zone(y1_beyond=80))
    size: tuple[int, int] = (96, 256)

    def centre(self, found: Detections) -> Tensor:
        """The centre (x, y) of the tallest box that counts, (2,) in pixels; NaN if no box counts."""
        boxes = found["boxes"]
        keep = (found["labels"] == self.label) & (found["scores"] > self.score)
        for zone in self.zones:
            keep &= ~zone.holds(boxes)
        boxes = boxes[keep]
        if not len(boxes):
            return found["boxes"].new_full((2,), torch.nan)
        x1, y1, x2, y2 = boxes[(boxes[:, 3] - boxes[:, 1]).argmax()]
        return torch.stack([(x1 + x2) / 2, (y1 + y2) / 2])


class ADDMDR(StatefulMetric):
    """Average detection distance and missed detection rate.  [Playable Video Generation, Menapace et al. 2021]

    `compute` gives scalars: `add`, the mean distance in pixels over frames in which the player is detected on both
    sides, if there are any; `mdr`, of the frames with a detection in the reference, the % without one in the generated
    video.

    Args:
        detector: frames (n, 3, h, w) in [0, 1] -> `Detections` of each.
        rule: which box is the player.
        name, checksum: of the detector, for reports.
        chunk: how many frames the detector is given at once.
    """

    higher_is_better = False

    def __init__(
        self,
        detector: nn.Module,
        *,
        rule: DetectionProtocol | None = None,
        name: str = "",
        checksum: str = "",
        chunk: int = 8,
    ) -> None:
        super().__init__()
        self.detector = detector
        self.rule = rule or DetectionProtocol()
        self.network_info = {"network": name or type(detector).__name__, "checksum": checksum}
        self.chunk = chunk
        self.add_sums("distance", "both", "missed", "in_reference", dtype=torch.float64)

    def update(self, generated: Tensor, reference: Tensor) -> None:
        """Args: (b, t, 3, h, w) in [0, 1] each.   Raises: UserError, frames of another size than the rule's."""
        drawn, true = (self.centres(video) for video in (generated, reference))
        seen, found = ~true.isnan().any(dim=-1), ~drawn.isnan().any(dim=-1)
        both = seen & found
        distance = torch.linalg.vector_norm(drawn[both] - true[both], dim=-1).double()
        self.count(distance=distance.sum(), both=both.sum(), missed=(seen & ~found).sum(), in_reference=seen.sum())

    @torch.no_grad()
    def centres(self, video: Tensor) -> Tensor:
        """The player's centre: video (b, t, 3, h, w) -> (b, t, 2) in pixels, (x, y), NaN where it is not found."""
        if tuple(video.shape[-2:]) != self.rule.size:
            raise UserError(
                f"the detections' rule is for frames of {self.rule.size[0]} x {self.rule.size[1]}, and these are "
                f"{video.shape[-2]} x {video.shape[-1]}; leave add_mdr out, or give a DetectionProtocol of that size"
            )
        frames = rearrange(video, "b t c h w -> (b t) c h w")
        found: list[Tensor] = []
        for part in frames.split(self.chunk):
            results: Sequence[Detections] = self.detector(part)
            found += [self.rule.centre(result) for result in results]
        return rearrange(torch.stack(found), "(b t) xy -> b t xy", b=len(video))

    def compute(self) -> dict[str, Tensor]:
        """`mdr` and `add`.  Raises: UserError, the player was found in no reference frame."""
        if self.in_reference == 0:
            raise UserError("ADD and MDR: the reference frames have no detection; leave add_mdr out for such data")
        results = {"mdr": 100 * self.missed / self.in_reference}
        return results | ({"add": self.distance / self.both} if self.both > 0 else {})


def person_detector(weights: Path | None = None) -> tuple[nn.Module, str]:
    """torchvision's Faster R-CNN R50-FPN of COCO, in eval mode, and its file's SHA-256.

    Raises: UserError, `weights`, or the file in the cache, is missing or another file.
    """
    from torchvision.models.detection import fasterrcnn_resnet50_fpn

    path = published_weights.find_for_metric("fasterrcnn", given=weights, metric="add_mdr")
    network = fasterrcnn_resnet50_fpn(weights=None, weights_backbone=None)
    try:
        network.load_state_dict(published_weights.read_state(path, of="Faster R-CNN"))
    except RuntimeError as error:
        raise UserError(f"{path} does not fit Faster R-CNN R50-FPN; download it again: {error}") from error
    return network.eval().requires_grad_(False), published_weights.sha256(path)
