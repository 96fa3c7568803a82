"""Every verb of `vdsm-glass generate`, from a checkpoint and its run's data or files to a file."""

from __future__ import annotations

import re
from pathlib import Path
from threading import Event

import numpy as np
import pytest
import torch
from PIL import Image
from rich.progress import Progress

from data_modules.common.errors import UserError
from tests.vdsm_glass.generate.small import KINDS, checkpoint, clips
from vdsm_glass.api import load
from vdsm_glass.cli import main as program
from vdsm_glass.commands import generate
from vdsm_glass.commands.clips import various
from vdsm_glass.export import export
from vdsm_glass.media import save
from vdsm_glass.play.clips import NamedClip
from vdsm_glass.vdsm.fitted import FittedPrior


@pytest.fixture(scope="module")
def runs(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A run's checkpoint of each kind; its data is drawn when it is asked for."""
    return {kind: checkpoint(kind, tmp_path_factory.mktemp(kind) / "run") for kind in KINDS}


def made(out: Path, *words: object) -> np.ndarray:
    """The video in the file that the command wrote."""
    assert generate.main([str(word) for word in (*words, "--out", out)]) == 0
    with np.load(out) as found:
        assert found["video"].min() >= 0
        assert found["video"].max() <= 1
        return found["video"]


SHAPES = {
    ("vdsm", "reconstruct"): (4, 6),
    ("vdsm", "transfer"): (3, 6),
    ("vdsm", "swap"): (4, 4, 6),
    ("vdsm", "rollout"): (4, 60),
    ("vdsm", "interpolate"): (7, 6),
    ("vdsm", "sample"): (7, 16),
    ("vdsm_frames", "reconstruct"): (4, 6),
    ("vdsm_frames", "swap"): (4, 4, 6),
    ("vdsm_frames", "interpolate"): (7, 6),
    ("vdsm_frames", "sample"): (7, 16),
    ("glass", "reconstruct"): (4, 6),
    ("glass", "transfer"): (3, 6),
    ("glass", "swap"): (4, 4, 6),
    ("glass", "actions"): (4, 3, 9),
}


@pytest.mark.parametrize(("kind", "verb"), SHAPES)
def test_every_verb_makes_its_videos_of_the_runs_own_clips(runs: dict[str, Path], tmp_path: Path, kind: str, verb: str):
    found = made(tmp_path / "made.npz", verb, runs[kind], "--seed", 3)
    frame = (3, 32, 48) if kind == "glass" else (3, 16, 16)
    assert found.shape == (*SHAPES[kind, verb], *frame)
    assert np.array_equal(found, made(tmp_path / "again.npz", verb, runs[kind], "--seed", 3))


@pytest.mark.parametrize("suffix", ["npz", "png"])
def test_one_seed_makes_one_file(runs: dict[str, Path], tmp_path: Path, suffix: str):
    files = []
    for name, seed in (("one", 5), ("again", 5), ("other", 6)):
        out = tmp_path / f"{name}.{suffix}"
        words = ["sample", str(runs["vdsm"]), "--count", "2", "--steps", "3", "--seed", str(seed), "--out", str(out)]
        assert generate.main(words) == 0
        files.append(out.read_bytes())
    assert files[0] == files[1] != files[2]


def test_samples_say_what_they_are_drawn_from(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    def sampled(path: Path, *words: str) -> tuple[np.ndarray, str]:
        found = made(tmp_path / "made.npz", "sample", path, "--count", 2, "--steps", 3, *words)
        return found, capsys.readouterr().err

    bare, said = sampled(runs["vdsm"])
    assert said == "vdsm-glass: drawn from the prior\n"
    with pytest.raises(UserError, match=r"carries no density that was fitted .*; draw from the prior"):
        sampled(runs["vdsm"], "--from", "fitted")
    path = checkpoint("vdsm", tmp_path / "run")
    model = load(path, device="cpu")
    fitted = FittedPrior.of(model.network.encode(clips("vdsm", b=9)))
    torch.save(torch.load(path, weights_only=True) | {"fitted": fitted.tensors()}, path)
    drawn, said = sampled(path)
    assert said == "vdsm-glass: drawn from the density fitted to training clips; --from prior: the prior\n"
    model.network.fitted = fitted
    np.testing.assert_allclose(drawn, model.sample(2, steps=3), atol=1e-6)
    assert np.abs(drawn - bare).max() > 1e-4
    prior, said = sampled(path, "--from", "prior")
    assert np.array_equal(prior, bare)
    assert said.startswith("vdsm-glass: drawn from the prior; --from fitted: ")


def test_videos_stand_before_or_behind_options(runs: dict[str, Path], tmp_path: Path):
    films = [save(clips("vdsm", b=1, seed=i)[0], tmp_path / f"{i}.mp4") for i in (1, 2)]
    before = made(tmp_path / "before.npz", "swap", runs["vdsm"], *films)
    out = tmp_path / "behind.npz"
    assert generate.main(["swap", "--fps", "4", str(runs["vdsm"]), "--out", str(out), *map(str, films)]) == 0
    with np.load(out) as found:
        assert np.array_equal(found["video"], before)


@pytest.mark.parametrize(("kind", "verb"), [(k, v) for k in KINDS for v in generate.VERBS if (k, v) not in SHAPES])
def test_what_a_model_cannot_make_is_said_before_any_clip_is_read(kind: str, verb: str, tmp_path: Path):
    path = checkpoint(kind, tmp_path / "run")
    with pytest.raises(UserError, match=rf"cannot do '{verb}'; it can do reconstruct"):
        generate.main([verb, str(path), "--out", str(tmp_path / "made.gif")])
    assert sorted(file.name for file in tmp_path.rglob("*") if file.is_dir()) == ["checkpoints", "run"]


def test_clips_are_those_that_were_named(runs: dict[str, Path], tmp_path: Path):
    path, root = runs["vdsm"], tmp_path / "data"
    data = ["--data", "pendulum", "--tiny", "--root", root, "--clips", 1, 0, "--frames", 4, "--split", "train"]
    found = made(tmp_path / "made.npz", "reconstruct", path, *data)
    from data_modules import Pendulum

    module = Pendulum(root=str(root), tiny=True, size=16, clip_length=4)
    module.prepare_data()
    video = module.training_dataset().split.array("video")
    first, second = module.training_dataset().split.first_rows[[1, 0]]
    wanted = torch.stack([torch.from_numpy(video[at : at + 4].copy()).float() / 255 for at in (first, second)])
    torch.testing.assert_close(
        torch.from_numpy(found), load(path, device="cpu").reconstruct(wanted), rtol=1e-4, atol=1e-5
    )


@pytest.mark.parametrize("suffix", ["gif", "webp", "mp4", "png"])
def test_files_of_any_size_go_in_and_pictures_come_out(runs: dict[str, Path], tmp_path: Path, suffix: str):
    films = [save(clips("glass", b=1, seed=i)[0], tmp_path / f"{i}.gif") for i in (1, 2)]
    out = tmp_path / f"made.{suffix}"
    for kind in ("vdsm", "glass"):
        assert generate.main(["transfer", str(runs[kind]), *map(str, films), "--out", str(out)]) == 0
        assert out.stat().st_size > 100
    if suffix == "gif":
        with Image.open(out) as picture:
            assert getattr(picture, "n_frames", 1) == 5


def test_the_actions_of_a_video_are_printed_and_kept(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str]
):
    film = save(clips("glass", b=1)[0], tmp_path / "film.mp4")
    out = tmp_path / "made.npz"
    assert made(out, "actions", runs["glass"], film, "--kind", "global", "--steps", 2).shape[:3] == (1, 5, 3)
    wanted = load(runs["glass"], device="cpu").actions(film)
    with np.load(out) as found:
        assert np.array_equal(found["local_action_0"], wanted.local_action.numpy())
        np.testing.assert_allclose(found["foreground_shift_0"], wanted.foreground_shift.numpy(), atol=1e-4)
    listed = " ".join(str(a) for a in wanted.local_action.tolist())
    assert f"video 0: local actions, counted from 0: {listed}\n" in capsys.readouterr().out


def test_an_exported_model_makes_the_same_file(runs: dict[str, Path], tmp_path: Path):
    folder = export(runs["vdsm"], tmp_path / "model")
    for seed in (1, 2):
        words = ("sample", "--count", 2, "--steps", 3, "--seed", seed)
        one, other = (made(tmp_path / "made.npz", words[0], path, *words[1:]) for path in (runs["vdsm"], folder))
        assert np.array_equal(one, other)
    with pytest.raises(UserError, match=r"model: lies in no run.*give videos.*--data NAME"):
        generate.main(["swap", str(folder), "--out", str(tmp_path / "made.gif")])


@pytest.mark.parametrize(
    ("words", "error"),
    [
        (["transfr", "MODEL"], "'transfr' cannot be generated; did you mean 'transfer'"),
        (["swap", "MODEL"], r"where to\? add --out made.gif"),
        (["swap", "MODEL", "--out", "made.avi"], "cannot be written as .avi"),
        (["swap", "none.ckpt", "--out", "made.gif"], "none.ckpt: no such checkpoint"),
        (["swap", "MODEL", "none.mp4", "--out", "made.gif"], "none.mp4: no such file"),
        (["swap", "MODEL", "DAMAGED", "--out", "made.gif"], "damaged.mp4: is cut off or damaged"),
        (["swap", "MODEL", "DAMAGED", "--out", "made.gif", "--clips", "1"], "give either"),
        (["transfer", "MODEL", "GOOD", "--out", "made.gif"], "transfer needs 2 videos, found 1"),
        (["interpolate", "MODEL", "GOOD", "GOOD", "GOOD", "--out", "made.gif"], "takes 2 videos, found 3"),
        (["swap", "MODEL", "GOOD", "--out", "GOOD/made.gif"], "good.mp4 is not a folder that you may write to"),
        (["swap", "MODEL", "--out", "made.gif", "--clips", "0", "9999"], "has no test clip 9999 of 6 frames"),
        (["swap", "MODEL", "--out", "made.gif", "--data", "pendulun"], "not a dataset.*pendulum"),
    ],
)
def test_what_is_wrong_is_said_with_what_to_do(
    runs: dict[str, Path], tmp_path: Path, capsys: pytest.CaptureFixture[str], words: list[str], error: str
):
    good = save(clips("vdsm", b=1)[0], tmp_path / "good.mp4")
    damaged = tmp_path / "damaged.mp4"
    damaged.write_bytes(good.read_bytes()[:700])
    names = {"MODEL": str(runs["vdsm"]), "DAMAGED": str(damaged), "GOOD": str(good)}
    words = [names.get(word, word) for word in words]
    assert program(["generate", *(word.replace("GOOD/", f"{good}/") for word in words)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("vdsm-glass: error: ")
    assert re.search(error, said)
    assert not Path("made.gif").exists()


@pytest.mark.parametrize(
    ("verb", "option", "value", "error"),
    [
        ("sample", "--seed", str(1 << 63), "is not a whole number from 0 to 9223372036854775807"),
        ("sample", "--steps", "0", "is not a whole number from 1 to 10000"),
        ("rollout", "--steps", "999999999", "is not a whole number from 1 to 10000"),
        ("actions", "--pixels", "nan", "is not a number"),
        ("actions", "--pixels", "two", "is not a number"),
    ],
)
def test_an_option_that_makes_no_sense_is_named(
    capsys: pytest.CaptureFixture[str], verb: str, option: str, value: str, error: str
):
    with pytest.raises(SystemExit):
        generate.main([verb, "none.ckpt", "--out", "made.gif", option, value])
    assert re.search(f"argument {option}: '{value}' {error}", capsys.readouterr().err)


def test_a_bar_appears_once_it_takes_a_while(monkeypatch: pytest.MonkeyPatch):
    started = Event()
    monkeypatch.setattr(Progress, "start", lambda _: started.set())
    for patience, wait, wanted in ((600.0, 0.0, False), (0.01, 60.0, True)):
        monkeypatch.setattr(generate, "PATIENCE", patience)
        with generate.progress("swap") as steps:
            assert list(steps([1, 2, 3])) == [1, 2, 3]
            assert started.wait(wait) == wanted


def test_clips_that_no_one_names_differ_in_identity_and_in_action():
    def of(*labels: str) -> list[NamedClip]:
        return [NamedClip(torch.zeros(1, 3, 2, 2), who, what) for who, what in labels]

    assert various(of("ax", "ax", "ay", "by", "cz"), 3) == [0, 3, 4]
    several = of("ax", "bx", "cx", "dx", "ay", "az")
    assert various(several, 4) == [0, 1, 2, 4]
    assert various(several, 9) == list(range(6))
