"""What GLASS makes of clips and of first frames, against one animation at a time."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor, nn

from data_modules.common.errors import UserError
from tests.vdsm_glass.glass.small import finding, small_glass, small_sizes
from vdsm_glass.generate.glass import SHIFTS, GLASSModel
from vdsm_glass.glass.animation import ActionSequence, Animation, animate, infer
from vdsm_glass.glass.net import GLASS

K = small_sizes().actions


@pytest.fixture(scope="module")
def net() -> GLASS:
    return small_glass(theta=0.3)


@pytest.fixture(scope="module")
def video() -> Tensor:
    return torch.rand(3, 4, 3, 32, 48, generator=torch.Generator().manual_seed(1))


def held(net: GLASS, first: Tensor, shift: tuple[float, float], action: int, steps: int) -> Animation:
    """One first frame (3, h, w), one action held, written out."""
    actions = ActionSequence(
        foreground_shift=torch.tensor(shift).expand(1, steps, 2),
        local_action=torch.full((1, steps), action),
        background_shift=torch.zeros(1, steps, 2),
    )
    return animate(net, first[None], actions)


def test_a_reconstruction_is_the_first_frame_animated_by_what_was_inferred(net: GLASS, video: Tensor):
    drawn = GLASSModel(net).reconstruct(video)
    torch.testing.assert_close(drawn, animate(net, video[:, 0], infer(net, video).actions).video)
    assert torch.equal(drawn[:, 0], video[:, 0])
    assert not torch.allclose(drawn[:, 1], drawn[:, 2])


def test_each_protocol_is_the_verb_it_names(net: GLASS, video: Tensor):
    model, other = GLASSModel(net), video.flip(dims=[0])
    made = {name: way.make(model, video, other, torch.Generator()) for name, way in model.protocols.items()}
    assert made.keys() == {"reconstruction", "teacher_forced", "transfer"}
    torch.testing.assert_close(made["reconstruction"], model.reconstruct(video))
    torch.testing.assert_close(made["teacher_forced"], model.teacher_forced(video))
    torch.testing.assert_close(made["transfer"], model.transfer(video, other))
    assert (made["teacher_forced"] - made["reconstruction"])[:, -1].abs().max() > 1e-2


@pytest.mark.parametrize("name", ["reconstruction", "teacher_forced"])
def test_the_first_background_goes_as_far_as_all_shifts_together(video: Tensor, name: str):
    net = small_glass(theta=0.3)
    finding(net.gma, foreground=(0, 0), background=(3, -2))
    # No agent, neither found nor drawn.
    for head in (net.gma.M.head, net.lma.D.heads[-1]):
        nn.init.zeros_(head.weight)
        nn.init.constant_(head.bias, -20)
    made = GLASSModel.protocols[name].make(GLASSModel(net), video, video, torch.Generator())
    for t in range(4):
        wanted = video[:, 0, :, 2 * t :, : 48 - 3 * t]
        torch.testing.assert_close(made[:, t, :, : 32 - 2 * t, 3 * t :], wanted, rtol=0, atol=1e-4)


def test_an_animation_of_changes_is_the_rollout_that_was_trained(video: Tensor):
    net = small_glass(theta=0.3, drawing="change", look="agent", window=32)
    with torch.no_grad():
        trained = net.rollout(net.gma.foregrounds(2 * video - 1), T_f=1)
    played = animate(net, video[:, 0], infer(net, video).actions)
    drawn = torch.cat([played.foreground, played.mask], dim=2)[:, 1:]
    torch.testing.assert_close(drawn, trained, rtol=1e-4, atol=1e-4)
    assert trained.shape[-2:] == video.shape[-2:]


def test_transfer_has_identities_in_rows_and_actions_in_columns(net: GLASS, video: Tensor):
    cells = GLASSModel(net).swap(video, identities=video[:2, :1])
    assert cells.shape == (2, 3, *video.shape[1:])
    for i in range(2):
        for j in range(3):
            one = animate(net, video[i : i + 1, 0], infer(net, video[j : j + 1]).actions)
            torch.testing.assert_close(cells[i, j], one.video[0])
    torch.testing.assert_close(cells[1, 1], GLASSModel(net).reconstruct(video)[1])


def test_transfer_goes_on_for_as_long_as_there_are_actions(net: GLASS, video: Tensor):
    model = GLASSModel(net)
    torch.testing.assert_close(model.transfer(video[:1], video, steps=2), model.transfer(video[:1], video)[:, :2])
    with pytest.raises(UserError, match="5 frames are asked for, but the source has 4"):
        model.transfer(video[:1], video, steps=5)


def test_local_actions_are_held_without_a_shift(net: GLASS, video: Tensor):
    first = video[:2, 0]
    cells = GLASSModel(net).action_matrix(first[:, None])
    assert cells.shape == (2, K, 9, 3, 32, 48)
    assert torch.equal(cells[:, :, 0], first[:, None].expand_as(cells[:, :, 0]))
    for i in range(2):
        for k in range(K):
            torch.testing.assert_close(cells[i, k], held(net, first[i], (0, 0), k, 8).video[0])
    assert all(not torch.allclose(cells[0, 0, -1], cells[0, k, -1]) for k in range(1, K))
    assert torch.equal(cells, GLASSModel(net).action_matrix(first[:, None]))


def test_global_actions_are_the_five_shifts_in_pixels(net: GLASS, video: Tensor):
    first = video[:2, 0]
    cells = GLASSModel(net).action_matrix(first[:, None], of="global", pixels=7, local_action=1, steps=3)
    assert cells.shape == (2, 5, 4, 3, 32, 48)
    assert list(SHIFTS) == ["right", "left", "down", "up", "stay"]
    for j, shift in enumerate([(7, 0), (-7, 0), (0, 7), (0, -7), (0, 0)]):
        torch.testing.assert_close(cells[1, j], held(net, first[1], shift, 1, 3).video[0])
    assert not torch.allclose(cells[0, 0, -1], cells[0, 1, -1])


def test_overlay_is_green_before_and_red_after(net: GLASS, video: Tensor):
    first = video[:2, 0]
    red, green, blue = GLASSModel(net).overlay(first[:, None], pixels=7).unbind(dim=2)
    assert bool((blue == 0).all())
    mask = net.gma.M(2 * first - 1)
    # On black, the first foreground is the frame where the mask is: I ⊙ m, masked once more as all foregrounds are.
    before = (((2 * first - 1) * mask + 1) / 2 * mask).mean(dim=1).detach()
    torch.testing.assert_close(green, before[:, None].expand_as(green))
    for j, shift in enumerate(SHIFTS.values()):
        one = held(net, first[0], (7.0 * shift[0], 7.0 * shift[1]), 0, 1)
        after = ((one.foreground[0, 1] + 1) / 2 * one.mask[0, 1]).mean(dim=0)
        torch.testing.assert_close(red[0, j], after)


def test_a_local_action_that_does_not_exist_is_refused(net: GLASS, video: Tensor):
    with pytest.raises(UserError, match=f"local_action is {K}, expected 0 to {K - 1}"):
        GLASSModel(net).action_matrix(video[:1], of="global", pixels=7, local_action=K)
