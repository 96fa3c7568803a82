"""A played clip against one that is animated at once."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from data_modules.common.errors import UserError
from tests.vdsm_glass.play.small import small_glass
from vdsm_glass.generate.glass import GLASSModel
from vdsm_glass.glass.animation import ActionSequence, advance, animate, infer
from vdsm_glass.glass.net import GLASS
from vdsm_glass.play import session_glass
from vdsm_glass.play.session_glass import ClipFullError, GlassSession, Move, moves_in, room

MOVES = [
    Move(foreground=(7.0, 0.0), action=1),
    Move(background=(0.0, -3.0)),
    Move(foreground=(0.0, 4.0), background=(2.0, 1.0), action=2),
]


@pytest.fixture(scope="module")
def net() -> GLASS:
    return small_glass()


@pytest.fixture(scope="module")
def video() -> Tensor:
    return torch.rand(2, 5, 3, 32, 48, generator=torch.Generator().manual_seed(1))


def animated(net: GLASS, first: Tensor, moves: list[Move]) -> Tensor:
    actions = ActionSequence(
        foreground_shift=torch.tensor([[move.foreground for move in moves]]),
        local_action=torch.tensor([[move.action for move in moves]]),
        background_shift=torch.tensor([[move.background for move in moves]]),
    )
    return animate(net, first[None], actions).video[0]


def played(net: GLASS, first: Tensor, moves: list[Move]) -> GlassSession:
    session = GlassSession(net, first)
    for move in moves:
        session.play(move)
    return session


def test_a_played_clip_is_the_animation_by_its_moves(net: GLASS, video: Tensor):
    session = played(net, video[0, 0], MOVES)
    assert len(session) == 4
    torch.testing.assert_close(session.video(), animated(net, video[0, 0], MOVES))
    assert torch.equal(session.video()[0], video[0, 0])
    assert not torch.allclose(session.picture(1), session.picture(2))


def test_after_undo_the_clip_goes_on_as_if_the_move_had_never_been(net: GLASS, video: Tensor):
    session = played(net, video[0, 0], MOVES[:2])
    assert session.undo()
    session.play(MOVES[2])
    torch.testing.assert_close(session.video(), animated(net, video[0, 0], [MOVES[0], MOVES[2]]))
    assert session.moves == [MOVES[0], MOVES[2]]


@pytest.mark.parametrize("memory", [None, 2])
def test_a_long_clip_keeps_few_scenes_and_is_the_same_clip(
    memory: int | None, net: GLASS, video: Tensor, monkeypatch: pytest.MonkeyPatch
):
    moves = [Move(foreground=(float(n % 3 - 1), 1.0 - n % 2), action=n % 3) for n in range(40)]
    whole = GlassSession(net, video[0, 0], memory=memory)
    monkeypatch.setattr(session_glass, "NEWEST", 2)
    monkeypatch.setattr(session_glass, "OLDER", 3)
    session = GlassSession(net, video[0, 0], memory=memory)
    for move in moves:
        session.play(move)
    monkeypatch.setattr(session_glass, "NEWEST", 99)
    for move in moves:
        whole.play(move)
    assert len(session.scenes.kept) <= 6
    torch.testing.assert_close(session.video(), whole.video(), rtol=0, atol=0.51 / 255)
    torch.testing.assert_close(session.picture(7, mask=True), whole.picture(7, mask=True), rtol=0, atol=1 / 255)
    for _ in range(15):
        assert session.undo()
        assert whole.undo()
        torch.testing.assert_close(session.scenes.last.picture, whole.scenes.last.picture)
    session.play(moves[0])
    whole.play(moves[0])
    torch.testing.assert_close(session.picture(), whole.picture())


def test_the_first_frame_cannot_be_undone_and_reset_goes_back_to_it(net: GLASS, video: Tensor):
    session = played(net, video[0, 0], MOVES)
    session.reset()
    assert not session.undo()
    assert len(session) == 1
    assert torch.equal(session.picture(), video[0, 0])
    session.play(MOVES[1])
    torch.testing.assert_close(session.video(), animated(net, video[0, 0], MOVES[1:2]))


def test_sessions_on_one_network_do_not_know_of_each_other(net: GLASS, video: Tensor):
    one, other = GlassSession(net, video[0, 0]), GlassSession(net, video[1, 0])
    for move in MOVES:
        one.play(move)
        other.play(move)
    torch.testing.assert_close(one.video(), animated(net, video[0, 0], MOVES))
    torch.testing.assert_close(other.video(), animated(net, video[1, 0], MOVES))


def test_a_short_memory_draws_by_the_last_moves_where_the_older_ones_led(net: GLASS, video: Tensor):
    moves = [
        Move(foreground=(8.0, 0.0), background=(0.0, -3.0), action=1),
        Move(foreground=(0.0, -4.0), action=2),
        Move(foreground=(2.0, 0.0), background=(1.0, 0.0)),
    ]
    session = GlassSession(net, video[0, 0], memory=2)
    for move in moves:
        session.play(move)
    torch.testing.assert_close(session.video()[:3], animated(net, video[0, 0], moves[:2]))
    last = played(net, video[0, 0], moves[1:]).scenes.last
    assert last.f.abs().max() > 0.01
    torch.testing.assert_close(session.scenes.last.f[..., 8:], last.f[..., :-8], rtol=1e-4, atol=1e-5)
    torch.testing.assert_close(session.scenes.last.m[..., 8:], last.m[..., :-8], rtol=1e-4, atol=1e-5)
    assert session.scenes.last.f[..., :7].abs().max() == 0
    assert session.scenes.last.moved.tolist() == [[1.0, -3.0]]


def test_a_figure_gets_room_for_its_moves():
    mask = torch.zeros(20, 30)
    mask[12:18, 3:9] = 1  # two pixels free below it, three to its left
    assert room(mask, torch.tensor([[0.0, 2.0], [-3.0, 0.0]])).tolist() == [0, 0]
    assert room(mask, torch.tensor([[0.0, 2.0], [0.0, 3.0], [0.0, -9.0]])).tolist() == [0, -3]
    assert room(mask, torch.tensor([[-4.0, -13.0], [0.0, 1.0]])).tolist() == [1, 1]
    assert room(mask, torch.tensor([[-14.0, 0.0], [28.0, 0.0]])).tolist() == [9, 0]
    assert room(torch.zeros(20, 30), torch.tensor([[5.0, 5.0]])).tolist() == [0, 0]


@pytest.mark.parametrize("aside", [5.0, -20.0])
def test_what_is_drawn_ahead_spares_all_steps_but_one_and_changes_no_picture(
    aside: float, net: GLASS, video: Tensor, monkeypatch: pytest.MonkeyPatch
):
    plain, ahead = (GlassSession(net, video[0, 0], memory=3) for _ in range(2))
    drawn: list[Any] = []
    monkeypatch.setattr(session_glass, "advance", lambda *args, **how: drawn.append(how) or advance(*args, **how))
    steps = []
    for n in range(6):
        move = Move(foreground=(aside if n == 4 else 2.0, 1.0), background=(1.0, 0.0), action=n % 3)
        plain.play(move)
        ahead.draw_ahead()
        drawn.clear()
        ahead.play(move)
        steps.append(len(drawn))
        assert torch.equal(plain.picture(), ahead.picture())
        if n == 2:
            assert plain.undo()
            assert ahead.undo()
    assert steps[-1] == 1
    assert steps.count(1) >= 5
    for session in (plain, ahead):
        session.begin(video[1, 0])
    for move in MOVES:
        plain.play(move)
        ahead.play(move)
    assert torch.equal(plain.picture(), ahead.picture())


def test_the_same_moves_are_drawn_anew_with_another_memory(net: GLASS, video: Tensor):
    session = GlassSession(net, video[0, 0], memory=1)
    for move in MOVES:
        session.play(move)
    short = session.video()
    session.remember(None)
    assert session.moves == MOVES
    torch.testing.assert_close(session.video(), animated(net, video[0, 0], MOVES))
    session.remember(1)
    torch.testing.assert_close(session.video(), short)
    assert not torch.allclose(short[2], animated(net, video[0, 0], MOVES)[2])


def test_copied_moves_rebuild_the_video_they_come_from(net: GLASS, video: Tensor):
    moves = moves_in(net, video[0])
    assert [move.action for move in moves] == infer(net, video[:1]).actions.local_action[0].tolist()
    session = played(net, video[0, 0], moves)
    torch.testing.assert_close(session.video(), GLASSModel(net).reconstruct(video[:1])[0], rtol=1e-4, atol=1e-4)


def test_the_mask_is_laid_over_the_picture(net: GLASS, video: Tensor):
    session = played(net, video[0, 0], MOVES[:1])
    share = 0.55 * session.scenes.last.m[0]
    colour = torch.tensor(session_glass.MASK_COLOUR)[:, None, None]
    torch.testing.assert_close(session.picture(mask=True), session.picture() * (1 - share) + share * colour)


def test_what_cannot_be_played_is_refused_and_changes_nothing(
    net: GLASS, video: Tensor, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr(session_glass, "MOST_FRAMES", 3)
    session = played(net, video[0, 0], MOVES[:2])
    with pytest.raises(ClipFullError, match="the clip has 3 frames"):
        session.play(MOVES[2])
    session.undo()
    with pytest.raises(ValueError, match="action is 3, expected 0 to 2"):
        session.play(Move(action=3))
    assert len(session) == 2
    assert session.moves == MOVES[:1]
    with pytest.raises(UserError, match="a single picture shows no action"):
        moves_in(net, video[0, :1])
