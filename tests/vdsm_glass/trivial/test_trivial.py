"""The trivial models do what they say, and everything that other models do."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from torch import Tensor

from data_modules.batch import VideoBatch
from data_modules.common.errors import UserError
from vdsm_glass.api import load
from vdsm_glass.cli import main
from vdsm_glass.metrics.results import ResultSet
from vdsm_glass.trivial.models import (
    FirstFrameModel,
    MemoryModel,
    NearestClipModel,
    RandomActionModel,
    TrivialModel,
    TrueShiftsModel,
)
from vdsm_glass.trivial.modules import RandomActionModule
from vdsm_glass.trivial.networks import PART, Memory, RigidCrop, filled

ROOT = Path(__file__).resolve().parents[3]
RECIPES = [
    f"{model}/{data}/compact"
    for model in ("first_frame", "nearest_clip", "random_action", "true_shifts")
    for data in ("w_sprites", "sprites")
    if (model, data) != ("true_shifts", "sprites")  # Sprites has no shifts
]


def noise(*shape: int, seed: int = 0) -> Tensor:
    bytes_ = torch.randint(256, shape, generator=torch.Generator().manual_seed(seed))
    return bytes_.float() / 255


@pytest.fixture
def memory() -> Memory:
    """More clips than are compared at once."""
    memory = Memory(clips=PART + 3, frames=4, size=(6, 8))
    memory.keep(noise(PART, 5, 3, 6, 8))
    memory.keep(noise(PART, 5, 3, 6, 8, seed=1))
    return memory


def test_a_memory_keeps_the_first_clips_and_knows_how_far_each_is(memory: Memory):
    shown = torch.cat([noise(PART, 5, 3, 6, 8), noise(PART, 5, 3, 6, 8, seed=1)])[: PART + 3, :4]
    torch.testing.assert_close(memory.recalled(torch.arange(PART + 3), frames=4), shown)
    video = noise(2, 4, 3, 6, 8, seed=2)
    distances = torch.stack([(shown - each).square().sum(dim=(1, 2, 3, 4)).sqrt() for each in video])
    torch.testing.assert_close(memory.distances(video), distances)
    torch.testing.assert_close(memory.recalled(torch.tensor([1]), frames=6)[0, 4:], shown[1, 3:].expand(2, -1, -1, -1))
    with pytest.raises(UserError, match="clips have 3 frames of 6 x 8, but the model keeps 4 of 6 x 8"):
        memory.keep(noise(1, 3, 3, 6, 8))
    with pytest.raises(UserError, match="kept no clip yet"):
        Memory(clips=2, frames=4, size=(6, 8)).distances(video)


def test_the_nearest_clip_is_found_and_a_transfer_is_near_to_both(memory: Memory):
    model = NearestClipModel(memory)
    kept = memory.recalled(torch.arange(PART + 3), frames=4)
    torch.testing.assert_close(model.reconstruct((kept[17:] * 0.9).clamp(0, 1)), kept[17:])
    motion, identity = noise(1, 4, 3, 6, 8, seed=3), noise(1, 4, 3, 6, 8, seed=4)
    best = min(range(PART + 3), key=lambda n: (kept[n] - motion[0]).norm() + (kept[n] - identity[0]).norm())
    torch.testing.assert_close(model.transfer(motion, identity)[0], kept[best])


def test_a_random_action_begins_as_it_is_told_and_goes_on_as_one_of_those_that_begin_alike(memory: Memory):
    model = RandomActionModel(memory)
    kept = memory.recalled(torch.arange(PART + 3), frames=4)
    first = noise(1, 4, 3, 6, 8, seed=5)
    order = (kept[:, 0] - first[0, 0]).flatten(1).norm(dim=1).argsort()[:8].tolist()
    make = model.protocols["reconstruction"].make
    drawn = set()
    for seed in range(30):
        clip = make(model, first, first, torch.Generator().manual_seed(seed))[0]
        torch.testing.assert_close(clip[0], first[0, 0])
        drawn |= {n for n in range(len(kept)) if torch.equal(clip[1:], kept[n, 1:])}
    assert drawn <= set(order)
    assert len(drawn) > 4  # 30 draws of 8: fewer once in 10^7
    for place, n in enumerate(order):
        clip = model.acted(first, torch.tensor([place]), 4)[0]
        torch.testing.assert_close(clip[1:], kept[n, 1:])
    told = model.protocols["transfer"].make(model, kept[:1], first, torch.Generator().manual_seed(0))
    torch.testing.assert_close(told[0, 0], first[0, 0])


def test_random_actions_are_those_that_were_drawn_anew_for_each_batch_and_hold(memory: Memory):
    module = RandomActionModule(clips=PART + 3, frames=4, size=(6, 8))
    module.net.load_state_dict(memory.state_dict())
    errors: list[Any] = []
    module.log = lambda _, loss, **__: errors.append(loss)  # pyright: ignore[reportAttributeAccessIssue]
    batch = VideoBatch.unlabelled(noise(6, 4, 3, 6, 8, seed=6))
    torch.manual_seed(0)
    first, second = module.test_step(batch), module.validation_step(batch)
    assert first is not None and second is not None  # noqa: PT018
    assert first.shape == (6, 3)
    assert (first == first[:, :1]).all()
    assert not torch.equal(first, second)  # once in 8^6
    drawn = RandomActionModel(module.net).acted(batch.video, first[:, 0], 4)
    torch.testing.assert_close(errors[0], (drawn - batch.video).square().mean())


def test_a_first_frame_stays():
    video, other = noise(2, 4, 3, 6, 8), noise(2, 7, 3, 6, 8, seed=1)
    model = FirstFrameModel(torch.nn.Identity())
    torch.testing.assert_close(model.reconstruct(video), video[:, :1].expand_as(video))
    torch.testing.assert_close(model.transfer(video, other), other[:, :1].expand_as(video))


@pytest.mark.parametrize("kind", [FirstFrameModel, NearestClipModel, RandomActionModel, TrueShiftsModel])
def test_a_transfer_has_as_many_frames_as_asked_or_says_that_there_are_none(kind: type[TrivialModel], memory: Memory):
    network = memory if issubclass(kind, MemoryModel) else RigidCrop(threshold=0.1)
    model, video = kind(network), noise(2, 4, 3, 6, 8)
    for steps in (1, 3, 4):
        assert model.transfer(video, video, steps=steps).shape == (2, steps, 3, 6, 8)
    with pytest.raises(UserError, match=f"5 frames are asked for, but the source has 4: {model.title} shows"):
        model.transfer(video, video, steps=5)
    with pytest.raises(UserError, match="steps is 0, expected 1 or more"):
        model.transfer(video, video, steps=0)


def walking(figure: list[tuple[int, int]], ground: list[tuple[int, int]]) -> VideoBatch:
    """A rigid figure that walks before noise that moves, with true labels."""
    wide, body = noise(3, 80, 100), noise(3, 12, 10, seed=1)
    (x, y), (u, v) = (20, 20), (20, 20)
    frames, masks = [], []
    for step in range(len(figure) + 1):
        frame = wide[:, v : v + 48, u : u + 64].clone()
        mask = torch.zeros(1, 48, 64)
        frame[:, y : y + 12, x : x + 10] = body
        mask[:, y : y + 12, x : x + 10] = 1
        frames.append(frame)
        masks.append(mask)
        if step < len(figure):
            x, y = x + figure[step][0], y + figure[step][1]
            # What moves to the right is seen through a window that moves to the left.
            u, v = u - ground[step][0], v - ground[step][1]
    batch = VideoBatch.unlabelled(torch.stack(frames)[None])
    shifts = (torch.tensor([each], dtype=torch.float32) for each in (figure, ground))
    return VideoBatch(batch.video, batch.identity, batch.action, batch.clip, torch.stack(masks)[None], *shifts)


FIGURE, GROUND = [(3, 0), (3, 1), (0, -4), (-5, 0)], [(2, 0), (0, -1), (-2, 1), (1, 1)]


def test_true_shifts_move_the_figure_and_the_ground_as_the_labels_say():
    batch = walking(FIGURE, GROUND)
    model = TrueShiftsModel(RigidCrop(threshold=0.1))
    made = model.protocols["reconstruction"].make(model, batch, batch, torch.Generator())
    error = (made - batch.video).abs().mean(dim=(0, 2, 3, 4))
    # What the figure hid and what comes in from outside is not known: a tenth of the frame at most.
    assert error[0] == 0
    assert error.max() < 0.04
    still = FirstFrameModel(torch.nn.Identity()).reconstruct(batch.video)
    assert (still - batch.video).abs().mean() > 0.2
    inside = (slice(None), slice(None), slice(None), slice(16, 28), slice(21, 31))
    torch.testing.assert_close(made[inside][:, 4], batch.video[inside][:, 4], atol=1e-3, rtol=0)


def test_what_a_figure_hid_is_filled_from_around_it():
    batch = walking(FIGURE, GROUND)
    mask = batch.mask[0]  # pyright: ignore[reportOptionalSubscript]
    grey = torch.full((5, 3, 48, 64), 0.5)
    torch.testing.assert_close(filled(grey * (1 - mask) + mask, mask), grey)


def test_a_transfer_takes_the_others_figure_and_the_first_ones_shifts():
    batch, other = walking(FIGURE, GROUND), walking([(0, 0)] * 4, [(0, 0)] * 4)
    other = VideoBatch(1 - other.video, other.identity, other.action, other.clip, other.mask)
    model = TrueShiftsModel(RigidCrop(threshold=0.1))
    made = model.protocols["transfer"].make(model, batch, other, torch.Generator())
    expected = model.network(other.video[:, 0], other.mask[:, 0], batch.foreground_shift, batch.background_shift)  # pyright: ignore[reportOptionalSubscript]
    torch.testing.assert_close(made, expected)


def test_shifts_are_found_where_no_label_says_them():
    batch = walking(FIGURE, GROUND)
    mask, foreground, background = RigidCrop(threshold=0.1).found(batch.video)
    assert torch.equal(background, batch.background_shift)  # pyright: ignore[reportArgumentType]
    assert torch.equal(foreground, batch.foreground_shift)  # pyright: ignore[reportArgumentType]
    true = batch.mask[:, 0]  # pyright: ignore[reportOptionalSubscript]
    assert (mask * true).sum() / true.sum() > 0.9


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Shared, so that each dataset's tiny store is built once."""
    return tmp_path_factory.mktemp("trivial")


@pytest.mark.parametrize("recipe", RECIPES)
def test_every_recipe_is_fitted_tested_exported_and_loaded(recipe: str, folder: Path):
    configs = [ROOT / "experiments" / f"{recipe}.yaml", ROOT / "experiments/smoke/run.yaml"]
    options = [*(f"--config={file}" for file in configs), f"--run.dir={folder}/runs", f"--data.root={folder}/data"]
    if recipe.startswith(("nearest", "random")):
        options.append("--model.clips=4")
    assert main(["fit", *options]) == 0
    run = folder / "runs" / recipe / "latest"
    asked = ["--evaluation.metrics=[mse]", "--evaluation.protocols=[reconstruction]", "--evaluation.leave_out=1"]
    assert main(["test", *options, *asked, "--ckpt_path=last"]) == 0
    results = ResultSet.read(run / "test/latest/results.json").results
    assert results["reconstruction/mse"].protocol.given_frames == 1
    assert results["reconstruction/first_frame_counted/mse"].protocol.given_frames == 0
    # Sprites has no labels of what happens between two frames.
    assert ("nmi_g" in results) == (recipe == "random_action/w_sprites/compact")
    file = run / "checkpoints/last.ckpt"
    assert torch.load(file, weights_only=True)["global_step"] == 2
    model, out = load(file, device="cpu"), folder / recipe.replace("/", "_")
    assert model.trivial
    assert main(["export", str(file), str(out)]) == 0
    h, w = model.size or (96, 128)
    video = noise(1, 5, 3, h, w)
    torch.testing.assert_close(load(out, device="cpu").transfer(video, video), model.transfer(video, video))
    assert main(["generate", "reconstruct", str(file), "--out", str(out / "made.gif")]) == 0
