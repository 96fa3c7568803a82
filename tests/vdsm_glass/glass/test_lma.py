from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor, nn

from tests.vdsm_glass.glass.small import clip, small_lma, small_sizes
from vdsm_glass.glass.lma import LMA, Rollout, recoloured
from vdsm_glass.glass.rnn import RNNState
from vdsm_glass.layers.conv_lstm import LSTMState

ABLATIONS: list[dict[str, Any]] = [
    {"directions": "plain"},
    {"quantizer": "gumbel"},
    {"modulated": False},
    {"joint_input": True},
    {"noise_channels": 2},
    {"actions": 5},
    {"revive_after": 2},
]


def loss_of(rollout: Rollout, f: Tensor) -> Tensor:
    """Something every output has a share in."""
    drawn = (rollout.frames[-1] - f[:, 1:]).abs().mean() + sum(frames.square().mean() for frames in rollout.frames)
    cycle = (rollout.phi.detach() - rollout.phi_hat).abs().mean()
    return drawn + rollout.mask.mean() + cycle + rollout.actions.commitment + rollout.actions.codebook


def step_by_step(lma: LMA, f: Tensor, delta_F: Tensor, a: Tensor, T_f: int) -> tuple[Tensor, Tensor]:
    """f̂_2..f̂_T and m̂_2..m̂_T, one step after the other."""
    state = lma.initial_state(f.shape[0], height=f.shape[-2], width=f.shape[-1])
    frames, masks = [], []
    for t in range(1, f.shape[1]):
        present = f[:, t - 1] if t <= T_f else frames[-1]
        frame, mask, state = lma.step(lma.encode(present), delta_F[:, t - 1], a[:, t - 1], state)
        frames.append(frame)
        masks.append(mask)
    return torch.stack(frames, dim=1), torch.stack(masks, dim=1)


@pytest.mark.parametrize("T_f", [1, 3, 5, 99])
def test_a_rollout_is_its_steps_one_by_one(T_f):
    lma = small_lma().eval()
    f, f_shifted, delta_F = clip()
    with torch.no_grad():
        rollout = lma(f, f_shifted, delta_F, T_f=T_f)
        frames, masks = step_by_step(lma, f, delta_F, rollout.actions.a, T_f)
    torch.testing.assert_close(rollout.frames[-1], frames, rtol=1e-5, atol=1e-5)
    torch.testing.assert_close(rollout.mask, masks, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("T_f", [1, 3])
def test_the_rnn_is_fed_the_real_frames_up_to_T_f_and_no_others(monkeypatch, T_f):
    lma = small_lma().eval()
    f, f_shifted, delta_F = clip()
    infer, a = lma.actions, torch.randn(2, 5, 4)
    # Actions are inferred from all real frames; held fixed, what is left is what the RNN sees.
    monkeypatch.setattr(lma, "actions", lambda *seen: replace(infer(*seen), a=a))

    def drawn_after_changing(t: int) -> Tensor:
        other = f.clone()
        other[:, t - 1] = 0.5
        return lma(other, f_shifted, delta_F, T_f=T_f).frames[-1]

    with torch.no_grad():
        expected = lma(f, f_shifted, delta_F, T_f=T_f).frames[-1]
        for t in range(T_f + 1, 7):
            assert torch.equal(drawn_after_changing(t), expected)
        changed = (drawn_after_changing(T_f) - expected).abs().amax(dim=(0, 2, 3, 4)) > 1e-5
    assert changed.tolist() == [False] * (T_f - 1) + [True] * (6 - T_f)


def test_features_are_those_of_the_frames_they_belong_to():
    lma = small_lma().eval()
    f, f_shifted, delta_F = clip()
    with torch.no_grad():
        rollout = lma(f, f_shifted, delta_F, T_f=2)
        for t in range(5):
            torch.testing.assert_close(rollout.phi[:, t], lma.E(f[:, t + 1]).phi, rtol=1e-5, atol=1e-5)
            drawn = lma.E(rollout.frames[-1][:, t]).phi
            torch.testing.assert_close(rollout.phi_hat[:, t], drawn, rtol=1e-5, atol=1e-5)


def test_actions_pair_the_shifted_frame_with_the_next():
    lma = small_lma().eval()
    f, f_shifted, _ = clip()
    with torch.no_grad():
        actions = lma.actions(f, f_shifted)
        for t in range(5):
            u = lma.A(lma.E(f_shifted[:, t]).attended, lma.E(f[:, t + 1]).attended)
            torch.testing.assert_close(actions.u[:, t], u)
            quantized = lma.VQ(u)
            assert torch.equal(quantized.index, actions.index[:, t])
            assert torch.equal(actions.a[:, t], lma.codes[quantized.index])


def test_the_encoder_sees_2t_minus_1_frames_of_a_clip_once():
    lma = small_lma()
    f, f_shifted, delta_F = clip(t=6)
    seen: list[int] = []
    lma.E.register_forward_pre_hook(lambda module, args: seen.append(len(args[0])))
    lma(f, f_shifted, delta_F, T_f=3)
    # Real and shifted ones; what was drawn from three real ones together; then one by one.
    assert seen == [2 * 11, 2 * 3, 2, 2]


@pytest.mark.parametrize("checkpoint", [False, True])
def test_the_encoders_statistics_are_those_of_real_foregrounds(checkpoint):
    lma, twin = small_lma(checkpoint=checkpoint), small_lma()
    f, f_shifted, delta_F = clip()
    loss_of(lma(f, f_shifted, delta_F, T_f=2), f).backward()
    twin.actions(f, f_shifted)
    torch.testing.assert_close(list(lma.E.buffers()), list(twin.E.buffers()))


def test_pictures_stay_in_their_ranges():
    lma = small_lma()
    for head in lma.D.heads:
        assert isinstance(head, nn.Conv2d)
        nn.init.normal_(head.weight, std=10)
    f, f_shifted, delta_F = clip()
    rollout = lma(f, f_shifted, delta_F, T_f=3)
    for frames, size in zip(rollout.frames, [(8, 12), (16, 24), (32, 48)], strict=True):
        assert frames.shape == (2, 5, 3, *size)
        assert frames.min() < -0.9
        assert frames.max() > 0.9
        assert frames.abs().max() <= 1
    assert rollout.mask.min() >= 0
    assert rollout.mask.max() <= 1
    assert rollout.mask.max() - rollout.mask.min() > 0.9


def test_no_gradient_leaves_for_inputs_that_were_detached():
    """The caller detaches what GMA made; whatever LMA does with it, GMA's parameters feel nothing."""
    lma = small_lma()
    gma = nn.Conv2d(3, 3, kernel_size=1)
    f, f_shifted, delta_F = clip()
    f = gma(f.flatten(0, 1)).unflatten(0, (2, 6))
    loss_of(lma(f.detach(), f_shifted, delta_F.detach(), T_f=2), f.detach()).backward()
    assert all(parameter.grad is None for parameter in gma.parameters())
    assert all(parameter.grad is not None for parameter in lma.parameters())


def test_gradients_pass_through_predictions_back_to_the_first_step(monkeypatch):
    lma = small_lma()
    f, f_shifted, delta_F = clip()
    delta_F.requires_grad_()
    run = lma.RNN.forward

    def forgetful(*inputs: Any) -> Any:
        """The state hands no gradient on, so that predictions alone do."""
        s, state = run(*inputs)
        return s, RNNState(*(LSTMState(*(part.detach() for part in lstm)) for lstm in state))

    monkeypatch.setattr(lma.RNN, "forward", forgetful)
    rollout = lma(f, f_shifted, delta_F, T_f=1)
    (gradient,) = torch.autograd.grad(rollout.frames[-1][:, -1].square().sum(), delta_F)
    assert gradient[:, 0].abs().min() > 0


@pytest.mark.parametrize("changes", ABLATIONS, ids=lambda changes: next(iter(changes)))
def test_ablations_train_all_their_parameters(changes):
    lma = small_lma(**changes)
    f, f_shifted, delta_F = clip()
    for _ in range(2):
        rollout = lma(f, f_shifted, delta_F, T_f=2)
        loss = loss_of(rollout, f)
        loss.backward()
    assert torch.isfinite(loss)
    assert rollout.actions.index.max() < changes.get("actions", 3)
    assert [name for name, parameter in lma.named_parameters() if parameter.grad is None] == []
    assert [n for n, p in lma.named_parameters() if p.grad is not None and not torch.isfinite(p.grad).all()] == []


@pytest.mark.parametrize("noise_channels", [0, 2])
def test_checkpointing_changes_neither_gradients_nor_statistics(noise_channels):
    f, f_shifted, delta_F = clip()
    results = []
    for checkpoint in (False, True):
        lma = small_lma(checkpoint=checkpoint, noise_channels=noise_channels)
        torch.manual_seed(5)
        loss = loss_of(lma(f, f_shifted, delta_F, T_f=2), f)
        loss.backward()
        results.append((loss, [parameter.grad for parameter in lma.parameters()], list(lma.buffers())))
        assert all(m.momentum == 0.1 for m in lma.modules() if isinstance(m, nn.BatchNorm2d))
    torch.testing.assert_close(results[1], results[0])


def test_one_clip_is_learned_by_heart():
    lma = small_lma()
    f = torch.linspace(-0.8, 0.8, 4)[None, :, None, None, None].expand(1, 4, 3, 32, 48)
    optimizer = torch.optim.Adam(lma.parameters(), lr=1e-2)
    errors = []
    for _ in range(40):
        rollout = lma(f, f[:, :-1], torch.zeros(1, 3, 2), T_f=3)
        error = (rollout.frames[-1] - f[:, 1:]).abs().mean()
        optimizer.zero_grad()
        (error + rollout.actions.commitment + rollout.actions.codebook).backward()
        optimizer.step()
        errors.append(error.item())
    assert errors[-1] < 0.3 * errors[0]


def test_half_precision_is_close_and_gives_float32_pictures():
    lma = small_lma().eval()
    f, f_shifted, delta_F = clip()
    with torch.no_grad():
        exact = lma(f, f_shifted, delta_F, T_f=2)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            rollout = lma(f, f_shifted, delta_F, T_f=2)
    assert {frames.dtype for frames in (*rollout.frames, rollout.mask)} == {torch.float32}
    assert (rollout.frames[-1] - exact.frames[-1]).abs().mean() < 0.02


def test_channels_last_changes_nothing():
    f, f_shifted, delta_F = clip()
    lma = small_lma().eval()
    expected = lma(f, f_shifted, delta_F, T_f=2)
    rollout = lma.to(memory_format=torch.channels_last)(f, f_shifted, delta_F, T_f=2)
    torch.testing.assert_close(rollout.frames, expected.frames, rtol=1e-4, atol=1e-5)


@pytest.mark.thorough
@pytest.mark.parametrize("name", ["E", "RNN", "D"])
def test_a_compiled_network_is_the_same_function(name):
    """Traced without a break; only its own trace, since tracing all takes minutes on a busy machine."""
    lma = small_lma()
    with torch.no_grad():
        state = lma.RNN.initial_state(2, 4, 6)
    inputs: dict[str, tuple[Any, ...]] = {
        "E": (torch.randn(4, 3, 32, 48),),
        "RNN": (torch.randn(2, 2, 4, 4, 6), torch.randn(2, 2, 2), torch.randn(2, 2, 4), state),
        "D": (torch.randn(4, 6, 4, 6),),
    }
    part = getattr(lma, name)
    results = []
    for call in (part, torch.compile(part, backend="aot_eager", fullgraph=True)):
        first = call(*inputs[name])[0]
        first = first if isinstance(first, Tensor) else first[-1]
        gradients = torch.autograd.grad(first.square().mean(), list(part.parameters()), materialize_grads=True)
        results.append((first, gradients))
    torch.testing.assert_close(results[1], results[0], rtol=1e-4, atol=1e-5)


def test_synchronised_batch_norm_reaches_every_norm():
    lma = nn.SyncBatchNorm.convert_sync_batchnorm(small_lma())
    plain = [m for m in lma.modules() if isinstance(m, nn.BatchNorm1d | nn.BatchNorm2d)]
    assert plain == []


def test_frames_that_cannot_be_halved_four_times_are_refused():
    lma = small_lma()
    with pytest.raises(ValueError, match="frames are 40x48, expected height and width to be multiples of 16"):
        lma.initial_state(1, height=40, width=48)
    f, f_shifted, delta_F = clip()
    with pytest.raises(ValueError, match="T_f is 0"):
        lma(f, f_shifted, delta_F, T_f=0)


CHANGE: dict[str, Any] = {"window": 48, "drawing": "change"}
OURS: dict[str, Any] = CHANGE | {"look": "agent", "outline": 8, "edges": True, "recolour": True}


def masks(f: Tensor) -> Tensor:
    """An agent of 12x16 pixels that goes right by a pixel a frame."""
    m = torch.zeros_like(f[:, :, :1])
    for t in range(f.shape[1]):
        m[:, t, :, 8:20, 6 + t : 22 + t] = 1
    return m


def test_the_papers_network_has_no_part_of_ours():
    assert not {name for name in small_lma().state_dict() if name.startswith(("O.", "VQ.seen"))}
    assert small_lma(**OURS).O is not None


@pytest.mark.parametrize("T_f", [1, 3, 99])
def test_a_rollout_of_changes_is_its_steps_one_by_one(T_f):
    lma = small_lma(**CHANGE).eval()
    f, f_shifted, delta_F = clip()
    m = masks(f)
    with torch.no_grad():
        rollout = lma(f, f_shifted, delta_F, T_f=T_f, m=m)
        state, drawn = lma.initial_state(2, height=32, width=48), []
        first = present = torch.cat([f, m], dim=2)[:, :1]
        for t in range(5):
            if t < T_f:
                present = torch.cat([f, m], dim=2)[:, t : t + 1]
            sources = lma.sources(first[:, 0], present)
            e = lma.encode(present[:, 0, :3])
            frame, mask, state = lma.step(e, delta_F[:, t], rollout.actions.a[:, t], state, sources)
            present = torch.cat([frame, mask], dim=1)[:, None]
            drawn.append(present[:, 0])
    expected = torch.cat([rollout.frames[-1], rollout.mask], dim=2)
    torch.testing.assert_close(torch.stack(drawn, dim=1), expected, rtol=1e-5, atol=1e-5)


def test_sources_are_the_foreground_before_and_the_first_one():
    first, present = torch.zeros(1, 4, 32, 48), torch.ones(1, 3, 4, 32, 48)
    sources = small_lma(**CHANGE).sources(first, present)
    assert sources is not None
    assert torch.equal(sources[:, :, 0], present)
    assert torch.equal(sources[:, :, 1], torch.zeros_like(present))


def test_changes_and_looks_need_masks():
    f, f_shifted, delta_F = clip()
    with pytest.raises(ValueError, match="drawing is change, expected the masks"):
        LMA(small_sizes(**CHANGE))(f, f_shifted, delta_F, T_f=1)
    with pytest.raises(ValueError, match="look is agent, expected the masks"):
        small_lma(look="agent", window=48).actions(f, f_shifted)


def test_what_the_agents_look_sees_does_not_depend_on_where_it_is():
    lma = small_lma(look="agent", window=48).eval()
    f, f_shifted, _ = clip(t=2)
    m = masks(f)
    f, moved = f * m, (5, 7)
    with torch.no_grad():
        u = lma.actions(f, f_shifted, m).u
        elsewhere = lma.actions(f.roll(moved, dims=(-2, -1)), f_shifted, m.roll(moved, dims=(-2, -1))).u
        other = lma.actions(f.flip(1), f_shifted, m.flip(1)).u
    torch.testing.assert_close(elsewhere, u, rtol=1e-4, atol=1e-4)
    assert (other - u).abs().max() > 1e-3


@pytest.mark.parametrize("look", ["features", "agent"])
def test_only_the_action_network_sees_other_colours_and_only_in_training(look):
    lma = small_lma(look=look, recolour=True, window=48)
    f, f_shifted, _ = clip()
    m, seen = masks(f), []
    lma.A.register_forward_pre_hook(lambda module, args: seen.append(args[0]))
    with torch.no_grad():
        for _ in range(2):
            lma.actions(f, f_shifted, m)
        lma.eval()
        phi = [lma.actions(f, f_shifted, m).phi for _ in range(2)]
    assert (seen[0] - seen[1]).abs().max() > 1e-3
    assert torch.equal(seen[2], seen[3])
    assert torch.equal(*phi)


def test_colours_are_rotated_about_grey_alike_within_a_clip():
    f = clip()[0]
    f[:, :, :, :4] = 0
    torch.manual_seed(0)
    other = recoloured(f)
    torch.testing.assert_close(other.square().sum(dim=2), f.square().sum(dim=2))
    assert other[:, :, :, :4].abs().max() == 0
    turn = torch.linalg.lstsq(f[0, 0].flatten(1).T, other[0, 0].flatten(1).T).solution
    torch.testing.assert_close(f[0, 3].flatten(1).T @ turn, other[0, 3].flatten(1).T, rtol=1e-4, atol=1e-4)
    assert (f[1, 0].flatten(1).T @ turn - other[1, 0].flatten(1).T).abs().max() > 0.1


def test_ours_train_all_their_parameters():
    lma = small_lma(**OURS)
    f, f_shifted, delta_F = clip()
    rollout = lma(f, f_shifted, delta_F, T_f=2, m=masks(f))
    assert rollout.outline is not None
    assert rollout.edges is not None
    (loss_of(rollout, f) + rollout.outline.square().mean() + rollout.edges.square().mean()).backward()
    assert [name for name, parameter in lma.named_parameters() if parameter.grad is None] == []


def test_checkpointing_changes_is_the_same():
    f, f_shifted, delta_F = clip()
    results = []
    for checkpoint in (False, True):
        lma = small_lma(checkpoint=checkpoint, **CHANGE)
        loss = loss_of(lma(f, f_shifted, delta_F, T_f=2, m=masks(f)), f)
        loss.backward()
        results.append((loss, [parameter.grad for parameter in lma.parameters()]))
    torch.testing.assert_close(results[1], results[0])
