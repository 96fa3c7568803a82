"""From what was seen in videos to a recipe: size, region, θ, K, clips, and the time of each phase."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from data_modules.common.errors import UserError
from data_modules.sources.frames import Region
from vdsm_glass import recipes
from vdsm_glass.learn.look import Seen

EXPERIMENTS = Path(__file__).resolve().parents[2] / "experiments"
BASE = EXPERIMENTS / "glass" / "w_sprites" / "compact.yaml"
PHASES = (0, 800, 2200, 3600, 4800, 5700)
"""Steps of the base recipe at which what learns changes: masks by pairs, by fours, actions, drawing, free drawing."""
KINDS = ("masks by pairs", "masks by fours", "shifts and actions", "drawing from real frames", "drawing from its own")
SHARES = (0.07, 0.23, 0.15, 0.3, 0.25)
"""Of the time, for each phase."""
MULTIPLE = 16
PIXELS, FEW_PIXELS = 96 * 128, 64 * 96
"""Of a frame at most; few where there are less than `LONG` minutes, unless the agent would then be too small."""
LONG, LEAST_AGENT = 20.0, 8.0
"""Minutes; pixels of an agent's longer side, at least, if the frame's pixels allow it."""
LEAST_SIDE = 48
PACE = 2.0
"""Pixels of a frame that an agent should go in a step."""
EVAL_CLIP, CLIP = 12, 6
ALMOST_ALL = 0.9
"""Of one long film: where the agent is seen in less, the rest before and after is left out."""


@dataclass(frozen=True)
class Plan:
    """What is chosen.

    Args:
        size: height and width of a frame; region: what is cut out of the film.
        theta: share of that which the agent covers; threshold, one_ground: see `Seen`.
        actions: K; window: side of LMA's windows.
        stride, clip_length, eval_clip_length: of the data module.
        split_by, between: of the data module.
    """

    size: tuple[int, int]
    region: Region
    theta: float
    threshold: float
    one_ground: bool
    actions: int
    window: int
    stride: int
    clip_length: int
    eval_clip_length: int
    split_by: str
    between: tuple[int, int] | None

    def said(self) -> list[str]:
        """The choices, a sentence each."""
        left, top, width, height = self.region
        return [
            f"Frames of {self.size[1]}x{self.size[0]} are made of {width}x{height} px at ({left}, {top}).",
            f"θ = {self.theta:.4f}, K = {self.actions}, clips of {self.clip_length} frames, {self.stride} apart.",
            f"A window of {self.window} px goes along with the agent.",
        ]


def plan(seen: Seen, *, minutes: float, folders: bool = False) -> Plan:
    """Chooses by what was seen and the time there is.  Raises: UserError, videos are too short.

    Args: folders, the videos lie in folders called train and test.
    """
    region = widened(seen.region, seen.size)
    first, stop = seen.span
    between = seen.span if seen.videos == 1 and stop - first < ALMOST_ALL * seen.shortest else None
    if between is not None:
        seen = replace(seen, shortest=stop - first)
    _, _, wide, high = region
    needed = wide * high * (LEAST_AGENT / seen.length) ** 2
    most = min(PIXELS, max(needed, FEW_PIXELS if minutes < LONG else PIXELS))
    scale = min(1.0, (most / (wide * high)) ** 0.5)
    height, width = (max(LEAST_SIDE, MULTIPLE * round(side * scale / MULTIPLE)) for side in (high, wide))
    scale = (height / high + width / wide) / 2
    theta = seen.area * seen.size[0] * seen.size[1] / (wide * high)
    stride, clip, eval_clip = clips(seen, pace=seen.pace * scale, in_time=seen.videos < 3)
    window = MULTIPLE * int(np.clip(np.ceil(1.6 * seen.length * scale / MULTIPLE), 2, 4))
    return Plan(
        size=(height, width),
        region=region,
        theta=float(np.clip(theta, 0.001, 0.5)),
        threshold=seen.threshold,
        one_ground=seen.one_ground,
        actions=6 if seen.frames / stride >= 600 else 4,
        window=window,
        stride=stride,
        clip_length=clip,
        eval_clip_length=eval_clip,
        split_by="auto" if folders or seen.videos >= 3 else "time",
        between=between,
    )


def widened(region: Region, size: tuple[int, int]) -> Region:
    """The region, its shorter side at least half of its longer one; the whole frame where little would be cut off."""
    left, top, wide, high = region
    if wide * high > 0.8 * size[0] * size[1]:
        return 0, 0, size[1], size[0]
    least = max(wide, high) // 2
    grown = []
    for start, length, whole in ((left, wide, size[1]), (top, high, size[0])):
        more = min(max(length, least, MULTIPLE), whole)
        grown.append((min(max(0, start - (more - length) // 2), whole - more), more))
    return grown[0][0], grown[1][0], grown[0][1], grown[1][1]


def clips(seen: Seen, *, pace: float, in_time: bool) -> tuple[int, int, int]:
    """Stride, frames of a training clip, and of one for evaluation.

    Args: pace, pixels of a frame that the agent goes in a frame of the film; in_time, videos are split in time.
    Raises: UserError, the shortest video is too short.
    """
    wanted = int(np.clip(round(PACE / pace), 1, 12)) if pace > 0 else 1
    room = seen.shortest // 5 if in_time else seen.shortest
    for stride in range(wanted, 0, -1):
        for length in (EVAL_CLIP, 8, CLIP):
            # A video that is cut once a clip shows nothing else.
            if (length - 1) * stride + 1 <= (room if in_time else max(room // 2, min(room, CLIP))):
                return stride, CLIP, length
    least = 5 * CLIP if in_time else CLIP
    raise UserError(f"the shortest video has {seen.shortest} frames; expected at least {least}. Leave it out.")


def recipe(chosen: Plan, videos: Path, home: Path, *, minutes: float) -> dict[str, Any]:
    """The base recipe, for these videos, all of its phases in so many minutes."""
    content = deepcopy(recipes.read(BASE))
    model, data = content["model"]["init_args"], content["data"]["init_args"]
    trainer = content["trainer"]
    schedules = trainer.pop("callbacks+")[0]
    schedules["init_args"]["difference"] = {"knots": [[PHASES[1], 1.0], [2 * PHASES[2] // 3, 0.0]], "shape": "linear"}
    model["lma"] |= {"actions": chosen.actions, "window": chosen.window}
    model["weights"]["ground"] = 2.0
    model["theta"] = round(chosen.theta, 5)
    data.pop("frames")
    data |= {
        "videos": str(videos.absolute()),
        "region": list(chosen.region),
        "between": chosen.between and list(chosen.between),
        "shape": "stretch",
        "size": list(chosen.size),
        "stride": chosen.stride,
        "clip_length": chosen.clip_length,
        "eval_clip_length": chosen.eval_clip_length,
        "split_by": chosen.split_by,
        "gap": 1,
    }
    trainer |= {
        "max_epochs": -1,
        "limit_val_batches": 0,
        "logger": [{"class_path": "callbacks.RunCSVLogger"}],
    }
    clock = {"minutes": round(minutes, 3), "steps": list(PHASES), "shares": list(SHARES)}
    ground = {"threshold": round(chosen.threshold, 2), "one_ground": chosen.one_ground}
    trainer["callbacks"] = [
        {"class_path": "callbacks.Clock", "init_args": clock},
        {"class_path": "callbacks.MedianGround", "init_args": ground},
        schedules,
        {"class_path": "callbacks.CodebookHealth", "init_args": {"window": 20}},
        {"class_path": "callbacks.GLASSPictures", "init_args": {"every_n_epochs": 0}},
        {"class_path": "callbacks.LearningPage", "init_args": {"home": str(home.absolute())}},
    ]
    parts = [EXPERIMENTS / "parts" / "data" / "folder.yaml", EXPERIMENTS / "glass" / "parts" / "glass.yaml"]
    return content | {"base": [str(part) for part in parts]}
