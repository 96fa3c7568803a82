"""The Fréchet motion distance: what it follows, what it counts, and what it must not see."""

from __future__ import annotations

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor
from torchvision.transforms.functional import adjust_hue

from data_modules.common.errors import UserError
from vdsm_glass.metrics.motion_distance import FMD, MotionHistograms, block_motion, histograms, lengths, lightness

INSIDE = slice(1, -1)


def texture(n: int, *, side: int = 64, seed: int = 0) -> Tensor:
    """Smooth random pictures, (n, 3, side, side) in [0, 1]."""
    noise = torch.rand(n, 3, side // 4, side // 4, generator=torch.Generator().manual_seed(seed))
    return F.interpolate(noise, size=(side, side), mode="bicubic", align_corners=False).clamp(0, 1)


def moving(n: int, *, frames: int = 6, seed: int = 0, most: int = 2) -> Tensor:
    """Pictures that walk by whole pixels, each on a way of its own, (n, t, 3, 64, 64)."""
    steps = torch.randint(-most, most + 1, (n, frames, 2), generator=torch.Generator().manual_seed(seed)).cumsum(dim=1)
    ways = zip(texture(n, seed=seed), steps.tolist(), strict=True)
    return torch.stack([torch.stack([picture.roll((y, x), dims=(1, 2)) for x, y in way]) for picture, way in ways])


def distance(real: Tensor, generated: Tensor) -> float:
    metric = FMD()
    metric.update(real, real=True)
    metric.update(generated, real=False)
    return float(metric.compute())


@pytest.mark.parametrize(("x", "y"), [(0, 0), (3, 0), (0, -2), (-4, 4), (1, 3)])
def test_blocks_are_found_where_they_went(x: int, y: int):
    picture = lightness(texture(2)[:, None])[:, 0]
    found = block_motion(picture, 0.5 * picture.roll((y, x), dims=(1, 2)) + 0.1)
    wanted = torch.tensor([float(x), float(y)]).expand(2, 6, 6, 2)
    torch.testing.assert_close(found[:, INSIDE, INSIDE], wanted, atol=0.4, rtol=0)


def test_parts_of_a_pixel_are_found():
    large = lightness(texture(1, side=64)[:, None])[:, 0]
    picture = F.avg_pool2d(large, 2)
    found = block_motion(picture, F.avg_pool2d(large.roll((-1, 3), dims=(1, 2)), 2))
    torch.testing.assert_close(
        found[:, INSIDE, INSIDE], torch.tensor([1.5, -0.5]).expand(1, 2, 2, 2), atol=0.25, rtol=0
    )


def test_what_has_no_texture_stays():
    assert block_motion(torch.full((1, 32, 32), 0.3), torch.full((1, 32, 32), 0.7)).abs().max() == 0


def test_a_length_is_divided_between_its_two_bins():
    found = lengths(torch.tensor([[0.0, 0.0], [0.5, 0.0], [0.9, 1.2], [1e9, 0.0]]))
    torch.testing.assert_close(found[:2], torch.eye(6)[:2])
    torch.testing.assert_close(found[2], torch.eye(6)[2])
    torch.testing.assert_close(found[3], torch.eye(6)[5])
    torch.testing.assert_close(lengths(torch.tensor([2**0.5 - 0.5, 0.0])), torch.tensor([0, 0.5, 0.5, 0, 0, 0]))


def test_histograms_say_where_when_and_which_way():
    motion = torch.zeros(1, 3, 4, 4, 2)
    motion[0, 2, :2, 2:, 0] = -1.5  # the last of three moments, the quarter on the right above, to the left
    found = histograms(motion)[0]
    quarters, thirds, ways = found[:24].view(6, 2, 2), found[24:42].view(6, 3), found[42:]
    torch.testing.assert_close(quarters[2], torch.tensor([[0, 1 / 3], [0, 0]]))
    torch.testing.assert_close(thirds[2], torch.tensor([0, 0, 1 / 4]))
    torch.testing.assert_close(ways, torch.tensor([0, 0, 0.6 / 12, 0]))
    torch.testing.assert_close(quarters.sum(dim=0), torch.ones(2, 2))


def test_it_rises_with_damage_to_time():
    real, clips = moving(24, seed=1), moving(24, seed=2)
    clean = distance(real, clips)
    standing = clips[:, :1].expand_as(clips)
    half = torch.cat([clips[:, :3], clips[:, 2:3].expand(-1, 3, -1, -1, -1)], dim=1)
    assert clean < distance(real, half) < distance(real, standing)
    assert distance(real, clips) < distance(real, moving(24, seed=2, most=4))


def test_a_change_of_motion_counts_and_not_only_motion():
    """A way there and back, and one of the same steps in turns: only what changes from frame to frame differs."""
    picture, order = texture(8), {"there": [1, 1, 1, -1, -1, -1] * 2, "turns": [1, -1] * 6}
    clips = {}
    for name, steps in order.items():
        ways = torch.tensor(steps).cumsum(dim=0)
        clips[name] = torch.stack([picture.roll(int(x), dims=3) for x in ways], dim=1)
    features = {name: MotionHistograms()(clip)[:, -4:].mean(dim=0) for name, clip in clips.items()}
    assert features["turns"][0] > 2 * features["there"][0] > 0


@pytest.mark.parametrize(
    "change",
    [
        lambda video: video[:, :, [1, 2, 0]],
        lambda video: adjust_hue(video, 0.15),
        lambda video: 1 - video,
        lambda video: 0.5 * video,
        lambda video: video * torch.tensor([1.0, 0.9, 0.8]).view(3, 1, 1),
    ],
    ids=["channels", "hue", "inverted", "gain", "white balance"],
)
def test_other_colours_are_no_other_motion(change):
    real, clips = moving(24, seed=1), moving(24, seed=2)
    assert distance(real, change(clips)) == pytest.approx(distance(real, clips), rel=0.1)
    assert distance(clips, change(clips)) < 0.1 * distance(real, clips)


@pytest.mark.parametrize(
    "change",
    [
        lambda video: video[:, :, [1, 2, 0]],
        lambda video: adjust_hue(video, 0.15),
        lambda video: 1 - video,
        lambda video: 0.1 * video,
    ],
    ids=["channels", "hue", "inverted", "gain"],
)
def test_histograms_are_the_same_in_other_colours(change):
    clips = moving(8, seed=2)
    torch.testing.assert_close(MotionHistograms()(change(clips)), MotionHistograms()(clips), atol=0.01, rtol=0)


def test_large_frames_are_scored_as_small_ones():
    small = moving(6, seed=1)
    large = F.interpolate(small.flatten(0, 1), scale_factor=2, mode="nearest").unflatten(0, (6, 6))
    found, wanted = (MotionHistograms()(video) for video in (large, small))
    torch.testing.assert_close(found, wanted, atol=0.05, rtol=0)


def test_frames_without_a_block_and_clips_without_a_change_say_what_to_do():
    with pytest.raises(UserError, match=r"frames of 7 x 16 pixels .* leave fmd out"):
        FMD().update(torch.rand(2, 4, 3, 7, 16), real=True)
    with pytest.raises(UserError, match="need 3 frames, and these have 2"):
        FMD().update(torch.rand(2, 2, 3, 16, 16), real=True)
