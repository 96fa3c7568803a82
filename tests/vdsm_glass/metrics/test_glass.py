"""Whole evaluation: a predictor that knows the labels, on real batches of drawn W-Sprites."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import nn
from torchmetrics import Metric

from data_modules import WSprites
from data_modules.batch import VideoBatch
from vdsm_glass.glass.animation import ActionSequence, Animation, Inference
from vdsm_glass.glass.gma import Layers
from vdsm_glass.metrics.glass import GLASSScores
from vdsm_glass.metrics.motion import DeltaAccuracy


class Net(nn.Module):
    """A network whose M finds whatever is red, for frames that `red` made."""

    class GMA(nn.Module):
        def M(self, frames: torch.Tensor) -> torch.Tensor:
            return (frames[:, :1] > 0).float()

    def __init__(self) -> None:
        super().__init__()
        self.gma = self.GMA()


def red(mask: torch.Tensor) -> torch.Tensor:
    """(b, t, 1, h, w) -> (b, t, 3, h, w) in [0, 1]."""
    return torch.cat([mask, torch.zeros_like(mask), torch.zeros_like(mask)], dim=2)


def knowing(batch: VideoBatch) -> tuple[Inference, Animation]:
    """What a perfect network says, but for the names of actions."""
    assert batch.mask is not None
    assert batch.local_action is not None
    assert batch.foreground_shift is not None
    assert batch.background_shift is not None
    actions = ActionSequence(
        foreground_shift=batch.foreground_shift,
        local_action=8 - batch.local_action[:, 1:],
        background_shift=batch.background_shift,
    )
    layers = Layers(m=batch.mask, f=batch.video, b_hat=batch.video)
    # The given first frame is all foreground: it must not count.
    masks = torch.cat([torch.ones_like(batch.mask[:, :1]), batch.mask[:, 1:]], dim=1)
    return Inference(actions=actions, layers=layers), Animation(video=red(masks), mask=masks, foreground=red(masks))


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> WSprites:
    module = WSprites(root=str(tmp_path_factory.mktemp("data")), tiny=True, size=(48, 64), clip_length=12, batch_size=3)
    module.prepare_data()
    return module


@pytest.fixture(scope="module")
def batches(data: WSprites) -> list[VideoBatch]:
    found = [batch.decoded() for batch in data.train_dataloader()]
    assert sum(len(batch) for batch in found) >= 6
    return found


class Peer:
    """Gathers a metric's states from this process and from another one, in their order."""

    def __init__(self, other: Metric) -> None:
        self.states = iter(list(other.metric_state.values()))

    def __call__(self, state: torch.Tensor, group: Any = None) -> list[torch.Tensor]:
        theirs = next(self.states)
        return [state, torch.cat(theirs) if isinstance(theirs, list) else theirs]


def scores(data: WSprites, batches: Sequence[VideoBatch], *, wrong: bool = False) -> GLASSScores:
    result = GLASSScores(actions=9, walks=data.walks)
    for batch in batches:
        inference, animation = knowing(batch)
        if wrong:
            actions = replace(inference.actions, foreground_shift=-inference.actions.foreground_shift)
            inference = replace(inference, actions=actions)
        result.update(Net(), batch, inference=inference, animation=animation)
    return result


def values(found: GLASSScores) -> dict[str, float]:
    return {name: value.item() for name, value in found.compute().items()}


def test_a_perfect_predictor_makes_no_error(data, batches):
    results = values(scores(data, batches))
    for name in ("miou", "miou_thresholded", "miou_re", "miou_re_thresholded", "nmi_g", "nmi_s"):
        assert results[name] == pytest.approx(1)
    for layer in ("foreground", "background"):
        assert results[f"{layer}_shift_error_max"] == 0
        assert results[f"{layer}_angle_accuracy"] == 1
        assert results[f"{layer}_shift_error_paper_units"] == results[f"{layer}_shift_error_paper_units_perfect"] > 0.1
    assert results["con"] == pytest.approx(0, abs=1e-6)
    assert results["nmi_rand"] < 0.4
    assert results["clips"] == sum(len(batch) for batch in batches)


def test_published_arithmetic_of_the_walks_on_these_frames(data, batches):
    """Half-size frames: steps of 3.5 px in a walk of 32 by 16, and of 1 px in one of 25."""
    results = values(scores(data, batches))
    assert results["foreground_shift_error_paper_units_max"] <= 3.5 * (1 - 2 / 32) + 1e-6
    assert results["background_shift_error_paper_units_max"] == pytest.approx(1 - 2 / 25)


def test_a_layer_that_cannot_walk_has_no_error_in_parts_of_its_walk(data, batches):
    inference, animation = knowing(batches[0])
    found = GLASSScores(actions=9, walks={"foreground": (64.0, 32.0), "background": (0.0, 0.0)})
    found.update(Net(), batches[0], inference=inference, animation=animation)
    names = {name for name in values(found) if "paper_units" in name}
    assert names
    assert all(name.startswith("foreground") for name in names)


def test_going_the_other_way_is_twice_the_shift_and_always_wrong(data, batches):
    results = values(scores(data, batches, wrong=True))
    assert results["foreground_shift_error_max"] == pytest.approx(7)
    assert results["foreground_angle_accuracy"] == 0
    assert results["background_angle_accuracy"] == 1


def test_the_true_shift_of_the_figure_is_held_against_the_inferred_action(data, batches):
    shifts = torch.cat([batch.foreground_shift.flatten(end_dim=1) for batch in batches])
    actions = torch.cat([knowing(batch)[0].actions.local_action.flatten() for batch in batches])
    within = sum(
        (shifts[actions == k] - shifts[actions == k].mean(dim=0)).square().sum() for k in actions.unique().tolist()
    )
    results = values(scores(data, batches))
    assert results["delta_mse"] == pytest.approx(100 * float(within / (shifts - shifts.mean(dim=0)).square().sum()))
    accuracy = DeltaAccuracy()
    accuracy.update(shifts, actions)
    assert results["delta_acc"] == accuracy.compute().item()
    # What is inferred of the shift is something else.
    assert values(scores(data, batches, wrong=True))["delta_mse"] == results["delta_mse"]


def test_what_is_not_labelled_is_left_out(data, batches):
    inference, animation = knowing(batches[0])
    bare = replace(batches[0], mask=None, foreground_shift=None, local_action=None)
    found = GLASSScores(actions=9)
    found.update(Net(), bare, inference=inference, animation=animation)
    names = ("background_shift_error", "background_shift_error_min", "background_shift_error_max")
    assert set(found.compute()) == {"clips", *names, "background_angle_accuracy"}
    found.reset()
    found.update(Net(), VideoBatch.unlabelled(bare.video), inference=inference, animation=animation)
    assert set(found.compute()) == {"clips"}


def test_where_nothing_moves_there_is_no_direction_to_score(data, batches):
    inference, animation = knowing(batches[0])
    nowhere = torch.zeros_like(inference.actions.background_shift)
    still = replace(batches[0], foreground_shift=nowhere, background_shift=nowhere)
    found = GLASSScores(actions=9)
    found.update(Net(), still, inference=inference, animation=animation)
    assert not {"background_angle_accuracy", "foreground_angle_accuracy", "delta_mse"} & set(found.compute())


def test_two_processes_score_what_one_does(data, batches):
    """Each metric is told that there are two processes, and what the other one has."""
    whole = values(scores(data, batches, wrong=True))
    here, there = scores(data, batches[:1], wrong=True), scores(data, batches[1:], wrong=True)
    for metric, other in zip(here.modules(), there.modules(), strict=True):
        if isinstance(metric, Metric) and isinstance(other, Metric):
            metric.distributed_available_fn = lambda: True
            metric.dist_sync_fn = Peer(other)
    assert values(here) == pytest.approx(whole, rel=1e-6)


def test_other_clips_codes_cost_what_they_add_to_the_error_where_the_label_changes(data, batches):
    found = GLASSScores(actions=9, walks=data.walks)
    for batch in batches:
        inference, animation = knowing(batch)
        assert batch.mask is not None
        assert batch.local_action is not None
        true = (2 * batch.video - 1) * batch.mask
        changed = torch.zeros(true.shape[:2], dtype=torch.bool)
        changed[:, 1:] = batch.local_action[:, 1:] != batch.local_action[:, :-1]
        far = torch.where(changed[..., None, None, None], 0.2, 5.0)
        own, other = (replace(animation, foreground=true + share * far) for share in (1, 2))
        found.update(Net(), batch, inference=inference, animation=own, other=other)
    results = values(found)
    assert results["foreground_mse_at_changes"] == pytest.approx(0.04, rel=1e-4)
    assert results["foreground_mse_at_changes_other_codes"] == pytest.approx(0.16, rel=1e-4)
    assert results["other_codes_cost"] == pytest.approx(3, rel=1e-4)
    assert "other_codes_cost" not in values(scores(data, batches))
