"""What is seen in drawn videos is what was drawn."""

from __future__ import annotations

import io
from itertools import product
from pathlib import Path

import av
import numpy as np
import pytest
from scipy import ndimage

from data_modules.drawings.scenes import draw_push
from data_modules.drawings.tiny_video import write_film, write_pictures
from data_modules.sources.collection import find_videos
from tests.vdsm_glass.learn.drawn import Drawn, draw, sprite
from vdsm_glass.glass.difference import steadied, trembled
from vdsm_glass.learn.look import Seen, draw_findings, look, seen_in
from vdsm_glass.learn.motion import blocks, moved_alike
from vdsm_glass.learn.sample import BURST, Sample, sample


def seen(drawn: Drawn) -> Seen:
    video = drawn.video
    one = Sample(video, np.zeros(len(video), int), scale=1.0, size=video.shape[1:3], total=len(video))
    return seen_in([one], videos=1, frames=len(video))


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_an_agent_is_measured(seed: int):
    drawn = draw(frames=130, seed=seed)
    found = seen(drawn)
    assert found.refusal is None
    assert (found.agents, found.size) == (1, (120, 160))
    assert found.camera == 0
    assert found.moving > 0.95
    assert found.area == pytest.approx(drawn.mask.mean(), rel=0.4)
    steps = np.linalg.norm(np.diff(drawn.places[0].round(), axis=0), axis=1)
    assert found.pace == pytest.approx(np.percentile(steps, 75), rel=0.35)
    assert 20 < found.length < 36
    left, top, width, height = found.region
    rows, columns = np.nonzero(drawn.mask.any(axis=0))
    inside = (columns >= left) & (columns < left + width) & (rows >= top) & (rows < top + height)
    assert inside.mean() > 0.98


def test_the_region_is_where_the_agent_is():
    drawn = draw(frames=130)
    video = np.pad(drawn.video, ((0, 0), (40, 60), (100, 20), (0, 0)), mode="edge")
    left, top, width, height = seen(Drawn(video, drawn.mask, drawn.places)).region
    assert 80 < left <= 130
    assert left + width <= 280
    assert 20 < top < 70
    assert top + height <= 175


def test_what_glass_cannot_do_is_refused():
    assert "2 agents" in (seen(draw(frames=130, agents=2)).refusal or "")
    for pace in (0.15, 1.0):
        assert "camera" in (seen(draw(frames=130, camera=pace)).refusal or "")
    assert "nothing moves" in (seen(draw(frames=60, walks=False)).refusal or "")
    assert "camera" in (seen(draw(frames=14, camera=1.0)).refusal or "")
    rarely = draw(frames=130)
    rarely.video[:-8] = rarely.video[-8]
    assert "nothing moves" in (seen(rarely).refusal or "")
    cuts = draw(frames=60)
    cuts.video[15:30] = cuts.video[15:30, ::-1]
    cuts.video[45:] = cuts.video[45:, ::-1]
    assert "the whole picture changes" in (seen(cuts).refusal or "")


def test_a_change_of_light_is_neither_camera_nor_agent():
    drawn = draw(frames=130)
    light = 15 * np.sin(0.2 * np.arange(130))[:, None, None, None]
    video = (drawn.video * 0.8 + 20 + light).clip(0, 255).astype(np.uint8)
    found = seen(Drawn(video, drawn.mask, drawn.places))
    assert found.refusal is None
    assert found.area == pytest.approx(drawn.mask.mean(), rel=0.4)


def test_a_passer_by_moves_neither_the_region_nor_the_size():
    drawn = draw(frames=130)
    video = np.pad(drawn.video, ((0, 0), (0, 120), (0, 0), (0, 0)), mode="edge")
    video[60:70] = np.median(video, axis=0)  # behind the passer-by the agent is not seen
    for top, left in product((125, 165, 205), (5, 45, 85, 125)):
        video[60:70, top : top + 20, left : left + 20] = 10
    found, before = seen(Drawn(video, drawn.mask, drawn.places)), seen(drawn)
    assert found.refusal is None
    assert 2 * found.area == pytest.approx(before.area, rel=0.1)
    assert found.region[1] + found.region[3] < 160


@pytest.mark.parametrize("coarseness", [None, 30])
def test_a_camera_that_trembles_by_a_pixel_to_each_side_is_fixed(coarseness: int | None):
    drawn = draw(frames=100)
    generator = np.random.default_rng(0)
    video = np.stack([np.roll(frame, generator.integers(-1, 2, 2), axis=(0, 1)) for frame in drawn.video])
    found = seen(Drawn(coded(video, coarseness) if coarseness else video, drawn.mask, drawn.places))
    assert found.refusal is None
    assert found.area == pytest.approx(drawn.mask.mean(), rel=0.5)


@pytest.mark.parametrize("way", [(0, 0), (1, -1), (0.4, 0.7), (-1.6, 0.2), (2, 2)])
def test_how_far_a_camera_trembled_is_measured(way: tuple[float, float]):
    drawn = draw(frames=100)
    ground, (x, y) = np.median(drawn.video, axis=0).astype(np.uint8), way
    frame = ndimage.shift(drawn.video[50], (y, x, 0), order=1, mode="nearest")
    assert trembled(ground, frame) == pytest.approx(way, abs=0.1)
    steady, border = steadied(ground, frame)
    assert max(np.abs(way)) - 0.1 <= border <= max(np.abs(way)) + 1
    assert np.abs(steady.astype(float) - ndimage.shift(ground, (y, x, 0), order=1, mode="nearest")).mean() < 1
    assert trembled(ground, np.roll(ground, 4, axis=1)) == (0, 0), "that is no trembling"


@pytest.mark.thorough
def test_a_film_that_is_coded_coarsely_has_no_second_agent():
    """Where the agent was, H.264 leaves the ground a little wrong until it codes it again."""
    drawn = draw(frames=100, height=480, width=640)
    found = seen(Drawn(coded(drawn.video, 40), drawn.mask, drawn.places))
    assert found.refusal is None


def coded(video: np.ndarray, crf: int) -> np.ndarray:
    """What H.264 keeps of a video at a constant rate factor."""
    file = io.BytesIO()
    with av.open(file, "w", format="mp4") as container:
        stream = container.add_stream("libx264", rate=25, options={"crf": str(crf)})
        stream.height, stream.width = video.shape[1:3]
        stream.pix_fmt = "yuv420p"
        for frame in video:
            container.mux(stream.encode(av.VideoFrame.from_ndarray(frame, format="rgb24")))
        container.mux(stream.encode())
    file.seek(0)
    with av.open(file, "r") as film:
        return np.stack([frame.to_ndarray(format="rgb24") for frame in film.decode(video=0)])


def test_a_camera_over_an_even_ground_moves_and_is_not_many_agents():
    whole = np.full((120, 700, 3), 150, np.uint8)
    for number, x in enumerate(range(40, 660, 80)):
        cell = np.asarray(sprite(number, 0), np.uint8)
        whole[20 + 29 * number % 60 :, x : x + 32][:32][cell[..., 3] > 128] = cell[..., :3][cell[..., 3] > 128]
    video = np.stack([whole[:, 2 * t : 2 * t + 160] for t in range(100)])
    assert "the camera moves" in (
        seen(Drawn(video, np.zeros(video.shape[:3], bool), np.zeros((1, 100, 2)))).refusal or ""
    )


def test_small_clips_are_looked_at_together(tmp_path: Path):
    for number in range(4):
        write_film(tmp_path / f"{number}.mp4", draw_push(number, frames=30, size=64).video)
    write_pictures(tmp_path / "4", draw_push(4, frames=30, size=64).video)
    found, samples = look(find_videos(tmp_path))
    assert (found.videos, found.frames, found.shortest) == (5, 150, 30)
    assert found.refusal is None
    assert not found.one_ground, "toys lie elsewhere in each"
    assert draw_findings(samples, found, tmp_path / "seen.png").is_file()


def test_a_long_film_is_looked_at_in_bursts(tmp_path: Path):
    video = np.arange(200, dtype=np.uint8)[:, None, None, None].repeat(32, 1).repeat(32, 2).repeat(3, 3)
    write_pictures(tmp_path / "film", video)
    found = sample(find_videos(tmp_path)[0], frames=40)
    shown = found.frames[:, 0, 0, 0]
    assert len(shown) == 3 * BURST
    assert (np.diff(shown) == 1).sum() == 3 * (BURST - 1)
    assert (shown[0], shown[-1], found.total) == (0, 199, 200)
    assert len(np.unique(found.burst)) == 3


def test_an_agent_is_seen_between_frames():
    drawn = draw(frames=144)
    drawn.video[:48] = drawn.video[96:] = np.median(drawn.video, axis=0)
    parts = Sample(drawn.video, np.arange(144) // BURST, scale=1.0, size=(120, 160), total=1200)
    first, stop = seen_in([parts], videos=1, frames=1200).span
    between = (1200 - BURST) / 8
    assert first == pytest.approx(2.5 * between, abs=1)
    assert stop == pytest.approx(5.5 * between + BURST, abs=1)
    assert seen(draw(frames=130)).span == (0, 130)


def test_blocks_that_moved_alike_are_counted():
    picture = 60 * np.random.default_rng(0).random((120, 160))
    assert moved_alike(picture, picture) == (0, 0)
    assert moved_alike(picture, np.roll(picture, (-2, 3), axis=(0, 1))) == (3, -2)
    agent = picture.copy()
    agent[30:60, 40:80] = np.roll(picture, 3, axis=1)[30:60, 40:80]
    assert moved_alike(picture, agent) == (0, 0)


def test_blocks_are_parts_of_the_picture():
    picture = np.arange(35).reshape(5, 7)
    np.testing.assert_array_equal(blocks(picture, 2)[3], picture[2:4, 3:6])
