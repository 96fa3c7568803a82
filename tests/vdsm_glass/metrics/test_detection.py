"""ADD and MDR by hand: which box is the player, how far it is off, and where it is missed."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from data_modules.common.errors import UserError
from vdsm_glass.metrics.detection import ADDMDR, DetectionProtocol, Detections

PERSON, CHAIR = 1, 62


class Red(nn.Module):
    """Finds the box of red pixels of every frame; no box where there is no red."""

    def forward(self, frames: Tensor) -> list[Detections]:
        return [self.found(frame[0] > 0.5) for frame in frames]

    def found(self, red: Tensor) -> Detections:
        ys, xs = red.nonzero(as_tuple=True)
        corners = [[xs.min(), ys.min(), xs.max() + 1, ys.max() + 1]] if len(xs) else []
        boxes = torch.tensor(corners).float().reshape(-1, 4)
        n = len(boxes)
        return {"boxes": boxes, "labels": torch.full((n,), PERSON), "scores": torch.full((n,), 0.9)}


def frame(corner: tuple[int, int] | None) -> Tensor:
    """A red rectangle of 10 x 20 pixels whose upper left corner is (x, y), on black."""
    result = torch.zeros(3, 96, 256)
    if corner:
        x, y = corner
        result[0, y : y + 20, x : x + 10] = 1
    return result


def video(*corners: tuple[int, int] | None) -> Tensor:
    return torch.stack([frame(corner) for corner in corners])[None]


def test_add_is_over_frames_found_in_both_and_mdr_over_those_of_the_reference():
    metric = ADDMDR(Red(), chunk=2)
    reference = video((100, 40), (100, 40), (100, 40), (100, 40), None)
    metric.update(video((100, 40), (103, 44), None, (101, 40), (50, 50)), reference)
    metric.update(video((100, 40)), video((100, 40)))
    found = metric.compute()
    assert float(found["add"]) == pytest.approx((0 + 5 + 1 + 0) / 4)
    assert float(found["mdr"]) == pytest.approx(100 / 5)


def test_where_nothing_is_found_in_both_there_is_no_add():
    metric = ADDMDR(Red())
    metric.update(video(None), video((100, 40)))
    assert {name: float(value) for name, value in metric.compute().items()} == {"mdr": 100}
    metric.reset()
    metric.update(video((100, 40)), video(None))
    with pytest.raises(UserError, match="the reference frames have no detection"):
        metric.compute()


def boxes(*rows: tuple[float, float, float, float], label: int = PERSON, score: float = 0.9) -> Detections:
    n = len(rows)
    return {"boxes": torch.tensor(rows).float(), "labels": torch.full((n,), label), "scores": torch.full((n,), score)}


@pytest.mark.parametrize(
    ("box", "counts"),
    [
        ((100, 40, 110, 60), True),
        ((40, 26, 60, 60), False),  # x2 <= 60 and y1 <= 26
        ((40, 27, 60, 60), True),
        ((40, 26, 61, 60), True),
        ((200, 26, 220, 60), False),  # x1 >= 200 and y1 <= 26
        ((199, 26, 220, 60), True),
        ((200, 27, 220, 60), True),
        ((100, 80, 110, 95), True),
        ((100, 80.5, 110, 95), False),  # y1 > 80
    ],
)
def test_boxes_of_others_do_not_count(box: tuple[float, float, float, float], counts: bool):
    centre = DetectionProtocol().centre(boxes(box))
    if counts:
        assert centre.tolist() == [(box[0] + box[2]) / 2, (box[1] + box[3]) / 2]
    else:
        assert centre.isnan().all()


def test_the_tallest_sure_person_is_the_player():
    rule = DetectionProtocol()
    # The tallest of all stands in a zone, the widest is not the tallest.
    found = boxes((0, 0, 50, 90), (100, 40, 190, 50), (100, 40, 110, 60), (150, 50, 158, 69))
    assert rule.centre(found).tolist() == [105, 50]
    assert rule.centre(boxes((100, 40, 110, 60), score=0.8)).isnan().all()
    assert rule.centre(boxes((100, 40, 110, 60), label=CHAIR)).isnan().all()


def test_zones_are_for_frames_of_one_size():
    with pytest.raises(UserError, match=r"for frames of 96 x 256, and these are 64 x 64"):
        ADDMDR(Red()).update(torch.zeros(1, 1, 3, 64, 64), torch.zeros(1, 1, 3, 64, 64))
    anywhere = ADDMDR(Red(), rule=DetectionProtocol(zones=(), size=(64, 64)))
    anywhere.update(*(video((5, 5))[..., :64, :64] for _ in range(2)))
    assert anywhere.compute()["add"] == 0
