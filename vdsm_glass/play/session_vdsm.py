"""VDSM as it is played: a person chooses an identity and an action.  [VDSM section 5]"""

from __future__ import annotations

from typing import Any, NamedTuple

import torch
from torch import Tensor

from vdsm_glass.generate.vdsm import VDSMFramesModel, decode_grid
from vdsm_glass.generate.vocabulary import LONG
from vdsm_glass.play.clips import Data, clips_to_play

ROWS, COLUMNS = 6, 6
"""Of a board, at most."""


class Choice(NamedTuple):
    """A cell of the board: the identity of its row does the action of its column."""

    row: int
    column: int


class Board:
    """The identities of some clips, the actions of others, and every identity doing every action; all tabs share it.

    Args:
        model: of either stage.
        identities: (n, t, 3, h, w) in [0, 1], the clips that give a row its identity.
        actions: (m, t, 3, h, w) in [0, 1], those that give a column its action.
    """

    @torch.no_grad()
    def __init__(self, model: VDSMFramesModel, *, identities: Tensor, actions: Tensor) -> None:
        self.net: Any = model.network
        self.unfolds = "rollout" in model.can
        self.who, self.what = model.encode(identities), model.encode(actions)
        self.frames = actions.shape[1]
        self.cells = decode_grid(self.net, self.what.z, self.who.s).cpu()

    @classmethod
    def of(cls, model: VDSMFramesModel, data: Data | None) -> tuple[Board, list[str], list[str]]:
        """The board of clips of the test split, and what to call its rows and columns.  Raises: as `clips_to_play`."""
        rows = clips_to_play(model, data, by="identity", most=ROWS)
        columns = clips_to_play(model, data, by="action", most=COLUMNS)
        identities, actions = (torch.stack([clip.video for clip in clips]) for clips in (rows, columns))
        board = cls(model, identities=identities, actions=actions)
        return board, [clip.identity for clip in rows], [clip.action for clip in columns]

    @property
    def rows(self) -> int:
        """The number of identities."""
        return len(self.who.s)

    @property
    def columns(self) -> int:
        """The number of actions."""
        return len(self.what.z)

    @property
    def longest(self) -> int:
        """How many frames can be drawn; without dynamics no more than the clips have."""
        return LONG if self.unfolds else self.frames


class VDSMSession:
    """One person's choices, and the clip that follows from them.

    Args:
        board: shared. `a` and `b` are the cells between which s and d are interpolated: its first and last, at first.
            `share_s` and `share_d` in [0, 1] say how far; `long` draws `LONG` frames instead of the clips' length.
    """

    def __init__(self, board: Board) -> None:
        self.board = board
        self.a, self.b = Choice(0, 0), Choice(board.rows - 1, board.columns - 1)
        self.share_s = self.share_d = 0.0
        self.long = False

    def choose(self, choice: Choice, *, second: bool = False) -> None:
        """Sets `a`, or with `second` `b`.  Raises: ValueError, the board has no such cell."""
        if not (0 <= choice.row < self.board.rows and 0 <= choice.column < self.board.columns):
            raise ValueError(f"{choice} is not on a board of {self.board.rows} x {self.board.columns}")
        if second:
            self.b = choice
        else:
            self.a = choice

    def step(self, way: tuple[int, int], *, second: bool = False) -> None:
        """Goes to a neighbouring cell, round the edges.  Args: way (x, y), x to the right and y down."""
        now = self.b if second else self.a
        row, column = (now.row + way[1]) % self.board.rows, (now.column + way[0]) % self.board.columns
        self.choose(Choice(row, column), second=second)

    @torch.no_grad()
    def video(self) -> Tensor:
        """(t, 3, h, w) in [0, 1]: s and d between the two choices, d unfolded into as many poses as are asked for.

        Stage 1 knows no d: there the poses themselves are interpolated.
        """
        who, what, net = self.board.who, self.board.what, self.board.net
        s = torch.lerp(who.s[self.a.row], who.s[self.b.row], self.share_s)[None]
        if what.d is None:
            z = torch.lerp(what.z[self.a.column], what.z[self.b.column], self.share_d)[None]
        else:
            d = torch.lerp(what.d[self.a.column], what.d[self.b.column], self.share_d)[None]
            z = net.rollout(d, steps=self.board.longest if self.long else self.board.frames)
        return net.decode(z, s)[0].cpu()
