"""GLASS's labelled evaluation within validation and test."""

from __future__ import annotations

import logging
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from callbacks import GLASSEvaluation
from data_modules import WSprites
from data_modules.batch import VideoBatch
from tests.vdsm_glass.glass.small import NARROW, WIDTHS, small_glass
from vdsm_glass.generate.glass import GLASSModel
from vdsm_glass.glass import GLASSModule
from vdsm_glass.glass.sizes import LMASizes
from vdsm_glass.metrics.masks import soft_iou
from vdsm_glass.metrics.results import ResultSet


class Unlabelled(WSprites):
    """The same clips of which nothing is known."""

    def transfer_batch_to_device(self, batch: VideoBatch, device: torch.device, dataloader_idx: int) -> VideoBatch:
        return VideoBatch.unlabelled(super().transfer_batch_to_device(batch, device, dataloader_idx).video)


def model() -> GLASSModule:
    torch.manual_seed(0)
    return GLASSModule(gma=NARROW, lma=LMASizes(**WIDTHS), perceptual="none")


def trainer(folder: Path) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        callbacks=[GLASSEvaluation()],
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


@pytest.fixture(scope="module")
def root(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tmp_path_factory.mktemp("data"))


def data(root: str, kind: type[WSprites] = WSprites) -> WSprites:
    # Four clips in batches of three: the last one is smaller.
    return kind(root=root, tiny=True, size=(48, 64), clip_length=5, batch_size=3)


def test_scores_are_logged_and_begin_anew_every_time(root: str, tmp_path: Path):
    run, net, clips = trainer(tmp_path), model(), data(root)
    first, again = (run.validate(net, clips, verbose=False)[0] for _ in range(2))
    wanted = {
        "miou",
        "miou_re",
        "foreground_shift_error",
        "background_angle_accuracy",
        "nmi_g",
        "nmi_s",
        "con",
        "delta_mse",
    }
    assert {f"val/{name}" for name in wanted} < first.keys()
    assert first == pytest.approx(again)
    assert 0 < first["val/miou"] < 1
    assert first["val/foreground_shift_error"] > 0


def test_a_test_ends_with_a_table_and_a_file(root: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]):
    run, clips = trainer(tmp_path), data(root)
    logged = run.test(model(), clips, verbose=False)[0]
    results = ResultSet.read(tmp_path / "results.json").results
    made = {"psnr": "first frame", "miou_re": "first frame", "miou_re_teacher_forced": "every real frame"}
    real = ("miou", "nmi_rand", "delta_mse", "foreground_shift_error_paper_units_perfect")
    for name in (*real, *made):
        assert results[name].value == pytest.approx(logged[f"test/{name}"])
        protocol = results[name].protocol
        assert (protocol.clips, protocol.frames) == (len(clips.evaluation_dataset("test")), 5)
        assert (protocol.height, protocol.width) == (48, 64)
        assert protocol.generated_by.startswith(made.get(name, ""))
        assert (protocol.given_frames, bool(protocol.generated_by)) == ((1, True) if name in made else (0, False))
    assert "miou" in capsys.readouterr().out


def test_what_is_rebuilt_from_the_first_frame_and_what_from_every_real_one_are_told_apart(root: str, tmp_path: Path):
    run, module, clips = trainer(tmp_path), model(), data(root)
    module.net = small_glass(theta=0.3)
    # Masks that depend visibly on what is seen.
    module.net.gma.M.forward = lambda frames: torch.sigmoid(5 * frames[:, :1])
    logged = run.test(module, clips, verbose=False)[0]
    found = clips.evaluation_dataset("test")
    batch = found[list(range(len(found)))].decoded()
    assert batch.mask is not None
    masks, made = batch.mask[:, 1:], GLASSModel(module.net.eval())
    free, forced = made.reconstruct(batch.video), made.teacher_forced(batch.video)
    for name, video in {"miou_re": free, "miou_re_teacher_forced": forced}.items():
        with torch.no_grad():
            again = module.net.gma.M(2 * video[:, 1:].flatten(0, 1) - 1)
        assert logged[f"test/{name}"] == pytest.approx(float(soft_iou(again, masks.flatten(0, 1)).mean()), rel=1e-4)
    assert logged["test/miou_re"] != pytest.approx(logged["test/miou_re_teacher_forced"], rel=1e-2)
    error = (free - batch.video)[:, 1:].square().mean(dim=(1, 2, 3, 4))
    assert logged["test/psnr"] == pytest.approx(float(-10 * error.log10().mean()), rel=1e-4)


def test_without_labels_nothing_is_scored_and_that_is_said_once(root, tmp_path, caplog):
    run, net, clips = trainer(tmp_path), model(), data(root, Unlabelled)
    with caplog.at_level(logging.WARNING):
        found = [run.validate(net, clips, verbose=False)[0] for _ in range(2)]
        run.test(net, clips, verbose=False)
    assert not any("miou" in name or "nmi" in name for name in found[0])
    assert caplog.text.count("not scored") == 1
    results = ResultSet.read(tmp_path / "results.json").results
    assert results["psnr"].protocol.clips == len(clips.evaluation_dataset("test"))
