"""What models make, against the networks themselves; what they cannot make is one error."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from data_modules.common.errors import UserError
from tests.vdsm_glass.generate.small import KINDS, checkpoint, clips
from vdsm_glass.api import Model, load
from vdsm_glass.glass.animation import animate, infer
from vdsm_glass.vdsm.frames import Latents


@pytest.fixture(scope="module")
def models(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """One of each kind, on the CPU."""
    return {kind: load(checkpoint(kind, tmp_path_factory.mktemp(kind) / "run"), device="cpu") for kind in KINDS}


def same(found: torch.Tensor, wanted: torch.Tensor) -> None:
    """Equal but for the rounding of another batch size."""
    torch.testing.assert_close(found, wanted, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize("kind", KINDS)
def test_one_video_many_a_list_and_bytes_are_understood_alike(models: dict[str, Model], kind: str):
    model, video = models[kind], (clips(kind) * 255).round() / 255
    pictures = (video * 255).round().byte().permute(0, 1, 3, 4, 2).numpy()
    wanted = model.reconstruct(video)
    assert wanted.shape == video.shape
    same(model.reconstruct(video[1]), wanted[1])
    same(model.reconstruct(list(video)), wanted)
    same(model.reconstruct(pictures), wanted)
    same(model.reconstruct(pictures[0]), wanted[0])


@torch.no_grad()
def test_vdsm_transfers_the_sources_dynamics_to_the_targets_identity(models: dict[str, Model]):
    model, (a, b) = models["vdsm"], clips("vdsm")
    net: Any = model.network
    made = model.transfer(a, b, steps=9)
    wanted = net.decode(net.follow(net.dynamics(a[None]), steps=9), net.frames.encode(b[None]).s)[0]
    same(made, wanted)
    same(model.transfer(a, torch.stack([b, a]), steps=9)[0], wanted)
    same(model.swap([a, b])[1, 0], model.transfer(a, b))
    same(model.rollout(a, steps=9), model.transfer(a, a, steps=9))


def test_swap_draws_each_identity_in_each_motion(models: dict[str, Model]):
    model, video = models["vdsm_frames"], clips("vdsm_frames", b=3)
    net: Any = model.network
    latents: Latents = net.encode(video)
    same(model.swap(video)[2, 0], net.decode(latents.z[:1], latents.s[2:])[0])
    assert model.swap(video, identities=video[:1]).shape[:2] == (1, 3)


def test_interpolation_ends_at_both_videos(models: dict[str, Model]):
    a, b = clips("vdsm")
    for kind in ("vdsm", "vdsm_frames"):
        swapped, made = models[kind].swap([a, b]), models[kind].interpolate(a, b, count=4)
        same(made[0], swapped[0, 0])
        same(made[-1], swapped[1, 0])
    made = models["vdsm"].interpolate(a, b, count=3, of="motion")
    same(made[-1], models["vdsm"].swap([a, b])[0, 1])


def test_samples_and_drawn_rollouts_are_those_of_their_seed(models: dict[str, Model]):
    for kind in ("vdsm", "vdsm_frames"):
        model = models[kind]
        assert torch.equal(model.sample(2, steps=3, seed=4), model.sample(2, steps=3, seed=4))
        assert not torch.equal(model.sample(2, steps=3, seed=4), model.sample(2, steps=3, seed=5))
    video = clips("vdsm")[0]
    drawn = [models["vdsm"].rollout(video, steps=4, dynamics="prior", seed=seed) for seed in (1, 1, 2)]
    assert torch.equal(drawn[0], drawn[1])
    assert not torch.equal(drawn[0], drawn[2])


def test_glass_moves_the_targets_first_frame_by_the_sources_actions(models: dict[str, Model]):
    model, (a, b) = models["glass"], clips("glass")
    net: Any = model.network
    wanted = animate(net, b[:1], infer(net, a[None]).actions).video[0]
    same(model.transfer(a, b), wanted)
    same(model.transfer(a, b[:1], steps=3), wanted[:3])
    same(model.animate(b, model.actions(a)), wanted)
    same(model.swap([a, b])[1, 0], wanted)
    assert model.action_matrix(torch.stack([a, b]), steps=2).shape[:3] == (2, 3, 3)
    assert model.action_matrix(a, of="global", steps=2).shape[:3] == (1, 5, 3)


@pytest.mark.parametrize(
    ("kind", "verb", "arguments"),
    [
        ("vdsm", "actions", (np.zeros((3, 16, 16, 3), np.uint8),)),
        ("vdsm", "action_matrix", (np.zeros((3, 16, 16, 3), np.uint8),)),
        ("vdsm_frames", "transfer", ("a.mp4", "b.mp4")),
        ("vdsm_frames", "rollout", ("a.mp4",)),
        ("glass", "rollout", ("a.mp4",)),
        ("glass", "interpolate", ("a.mp4", "b.mp4")),
        ("glass", "sample", ()),
    ],
)
def test_what_a_model_cannot_do_is_said_with_what_it_can(
    models: dict[str, Model], kind: str, verb: str, arguments: tuple[Any, ...]
):
    with pytest.raises(UserError, match=rf"cannot do '{verb}'; it can do reconstruct, "):
        getattr(models[kind], verb)(*arguments)


def test_inputs_that_make_no_sense_are_named(models: dict[str, Model]):
    vdsm, glass = models["vdsm"], models["glass"]
    with pytest.raises(UserError, match=r"3 videos and 2 make no pairs"):
        vdsm.transfer(clips("vdsm", b=3), clips("vdsm", b=2))
    with pytest.raises(UserError, match=r"one frame shows no action"):
        glass.actions(clips("glass", t=1)[0])
    with pytest.raises(UserError, match=r"9 frames are asked for, but the source has 5"):
        glass.transfer(clips("glass")[0], clips("glass")[1], steps=9)
    with pytest.raises(UserError, match=r"steps is 0, expected 1 or more"):
        vdsm.rollout(clips("vdsm")[0], steps=0)
    with pytest.raises(UserError, match=r"count is 1, expected 2 or more"):
        vdsm.interpolate(*clips("vdsm"), count=1)
