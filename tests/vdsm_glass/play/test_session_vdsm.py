"""The board and what lies between its cells, against the verbs that draw them."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor

from tests.vdsm_glass.play.small import small_vdsm
from vdsm_glass.generate.vdsm import VDSMFramesModel, VDSMModel
from vdsm_glass.play.page_vdsm import between
from vdsm_glass.play.session_vdsm import Board, Choice, VDSMSession
from vdsm_glass.vdsm.sequences import SequenceVDSM


@pytest.fixture(scope="module")
def net() -> SequenceVDSM:
    return small_vdsm()


@pytest.fixture(scope="module")
def video() -> Tensor:
    return torch.rand(5, 4, 3, 16, 16, generator=torch.Generator().manual_seed(1))


@pytest.fixture
def session(net: SequenceVDSM, video: Tensor) -> VDSMSession:
    return VDSMSession(Board(VDSMModel(net), identities=video[:2], actions=video[2:]))


def test_the_board_is_everybody_doing_everything(session: VDSMSession, net: SequenceVDSM, video: Tensor):
    assert (session.board.rows, session.board.columns) == (2, 3)
    torch.testing.assert_close(session.board.cells, VDSMModel(net).swap(video[2:], video[:2]))


def test_a_choice_shows_its_cell(session: VDSMSession):
    for row in range(2):
        for column in range(3):
            session.choose(Choice(row, column))
            torch.testing.assert_close(session.video(), session.board.cells[row, column])
    session.share_s = session.share_d = 1.0
    torch.testing.assert_close(session.video(), session.board.cells[1, 2])


def test_sliders_go_from_one_identity_or_action_to_the_other(session: VDSMSession, net: SequenceVDSM):
    d, s = session.board.what.d, session.board.who.s
    assert d is not None
    session.choose(Choice(0, 0))
    session.choose(Choice(1, 1), second=True)
    session.share_d = 0.5
    halfway = (d[:1] + d[1:2]) / 2
    torch.testing.assert_close(session.video(), net.decode(net.rollout(halfway, steps=4), s[:1])[0].detach())
    session.share_s = 0.25
    mixed = 0.75 * s[0] + 0.25 * s[1]
    torch.testing.assert_close(session.video(), net.decode(net.rollout(halfway, steps=4), mixed[None])[0].detach())


def test_a_long_clip_begins_as_the_short_one(session: VDSMSession):
    short = session.video()
    session.long = True
    assert session.video().shape[0] == 60
    torch.testing.assert_close(session.video()[:4], short)


def test_stepping_goes_round_the_edges(session: VDSMSession):
    session.step((-1, 0))
    assert session.a == Choice(0, 2)
    session.step((0, 1))
    session.step((0, 1))
    assert session.a == Choice(0, 2)
    session.step((0, -1), second=True)
    assert session.b == Choice(0, 2)
    with pytest.raises(ValueError, match="not on a board of 2 x 3"):
        session.choose(Choice(2, 0))


def test_stage_1_interpolates_poses_and_draws_no_further_than_it_saw(net: SequenceVDSM, video: Tensor):
    board = Board(VDSMFramesModel(net.frames), identities=video[:2], actions=video[2:])
    session = VDSMSession(board)
    session.choose(Choice(0, 1), second=True)
    session.share_d, session.long = 0.5, True
    z = (board.what.z[0] + board.what.z[1]) / 2
    assert board.longest == 4
    torch.testing.assert_close(session.video(), net.frames.decode(z[None], board.who.s[:1])[0].detach())


def test_a_caption_names_what_is_shown_between_two_choices():
    names = ["cyan", "white", "white"]
    assert [between(names, 0, 1, share) for share in (0, 1)] == ["cyan", "white"]
    assert between(names, 0, 1, 0.55) == "55% from cyan to white"
    assert between(names, 1, 2, 0.5) == "white"
