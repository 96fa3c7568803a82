"""What is generated is scored, under both conventions, by any number of processes; what cannot be scored says why."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Trainer

from callbacks import Evaluation, GLASSEvaluation
from data_modules import Pendulum, WSprites
from data_modules.errors import UserError
from tests.callbacks.test_glass_evaluation import model as small_glass_module
from tests.runs import run_alone
from tests.vdsm_glass.glass.small import small_glass
from vdsm_glass.generate.protocols import OF_SEQUENCES, generation, teacher_forced
from vdsm_glass.generate.reconstruct import reconstruct
from vdsm_glass.metrics.book import MARKDOWN, RESULTS, Book
from vdsm_glass.vdsm import VDSMPretrain
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes

pytestmark = pytest.mark.filterwarnings("ignore:The '.*' does not have many workers")
ROOT = Path(__file__).resolve().parents[2]
SIZES = Sizes(kappa_z=3, kappa_s=4, kappa_d=5, encoder_channels=(4, 4, 8), identity_dim=6, decoder_channels=(8, 4))


def pendula(root: Path) -> Pendulum:
    data = Pendulum(root=str(root), size=16, clip_length=6, colours=3, swings=3, sequences_per_pair=4, frames=6)
    data.prepare_data()
    return data


def scored(folder: Path, model: Any, data: Any, *callbacks: Any) -> dict[str, float]:
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    return dict(trainer.test(model, data, verbose=False)[0])


def test_glass_is_scored_without_the_frame_it_was_given_and_with_it(tmp_path: Path):
    data = WSprites(root=str(tmp_path), tiny=True, size=(48, 64), clip_length=4, batch_size=3)
    model = small_glass_module()
    evaluation = Evaluation(metrics=["mse", "psnr", "fvd"], batch_size=3)
    logged = scored(tmp_path, model, data, GLASSEvaluation(), evaluation)
    clips = data.evaluation_dataset("test")
    video = clips[list(range(len(clips)))].decoded().video
    drawn = reconstruct(model.net.eval(), video)
    book = Book.read(tmp_path / RESULTS)
    honest, counted = (book.results[f"reconstruction/{name}mse"] for name in ("", "first_frame_counted/"))
    error = (drawn - video).square()
    assert honest.value == pytest.approx(error[:, 1:].mean().item(), rel=1e-4)
    assert counted.value == pytest.approx(error.mean().item(), rel=1e-4)
    assert honest.value == pytest.approx(logged["test/reconstruction/mse"], rel=1e-5)
    assert honest.per_position == pytest.approx(error[:, 1:].mean(dim=(0, 2, 3, 4)).tolist(), rel=1e-4)
    assert (honest.protocol.given_frames, counted.protocol.given_frames) == (1, 0)
    assert honest.protocol.clips == len(clips)
    assert "miou" in book.results  # of the other callback: one book
    assert "needs 10 or more" in book.not_computed["reconstruction/fvd"].reason
    assert "reconstruction/first_frame_counted/psnr" not in book.results, "infinite where a frame is copied"
    assert "| reconstruction/mse |" in (tmp_path / MARKDOWN).read_text("utf-8")
    assert (tmp_path / "pictures" / "evaluation_reconstruction.png").is_file()
    assert (tmp_path / "pictures" / "per_position.png").is_file()


def test_missing_weights_are_named_and_stand_ins_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("VDSM_GLASS_CACHE", str(tmp_path / "nothing"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    data, model = pendula(tmp_path), VDSMPretrain(SIZES)
    protocols = ["reconstruction", "swap", "prior"]
    scored(tmp_path / "real", model, data, Evaluation(metrics=["mse", "fid"], protocols=protocols, max_clips=5))
    book = Book.read(tmp_path / "real" / RESULTS)
    assert book.results["reconstruction/mse"].protocol.clips == 5
    assert "swap/mse" not in book.results, "nothing that a swap should equal"
    for protocol in protocols:
        assert "inception" in book.not_computed[f"{protocol}/fid"].reason
    assert "not computed" in capsys.readouterr().out
    stand_ins = Evaluation(metrics=["fid"], protocols=protocols, stand_ins=True, batch_size=4)
    scored(tmp_path / "random", model, data, stand_ins)
    for protocol in protocols:
        result = Book.read(tmp_path / "random" / RESULTS).results[f"{protocol}/fid/random_features"]
        assert result.network == "random_features"
        assert result.checksum
        assert result.value > 0


def test_an_unknown_metric_or_protocol_is_named_with_the_nearest(tmp_path: Path):
    data, model = pendula(tmp_path), VDSMPretrain(SIZES)
    with pytest.raises(UserError, match="did you mean 'psnr'"):
        scored(tmp_path, model, data, Evaluation(metrics=["pnsr"]))
    with pytest.raises(UserError, match=r"cannot be asked for 'swop'.*did you mean 'swap'"):
        scored(tmp_path, model, data, Evaluation(protocols=["swop"]))


def test_what_vdsm_generates_is_what_each_protocol_says():
    torch.manual_seed(0)
    net = SequenceVDSM(SIZES).eval()
    video = torch.rand(3, 5, 3, 16, 16)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        drawn = {name: generation(net, name).make(net, video, generator) for name in OF_SEQUENCES}
        latents = net.encode(video)
        for i in range(3):
            other = latents.s[(i - 1) % 3 : (i - 1) % 3 + 1] if i else latents.s[2:]
            expected = net.decode(latents.z[i : i + 1], other)
            torch.testing.assert_close(drawn["swap"][i : i + 1], expected)
    assert drawn["rollout"].shape[1] == 60
    torch.testing.assert_close(drawn["rollout"][:, :5], drawn["reconstruction"], rtol=1e-4, atol=1e-5)
    assert drawn["prior"].shape == video.shape


def test_with_teacher_forcing_every_frame_comes_from_the_real_one_before():
    net = small_glass(theta=0.3)
    video = torch.rand(2, 4, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    changed = video.clone()
    changed[:, 2] = 1 - video[:, 2]
    with torch.no_grad():
        drawn, other = teacher_forced(net, video), teacher_forced(net, changed)
        alone = reconstruct(net, video)
    assert torch.equal(drawn[:, 0], video[:, 0])
    # Both protocols draw the first step from the same real frame; only then do they part.
    torch.testing.assert_close(2 * drawn[:, 1], 2 * alone[:, 1], rtol=0, atol=0.2)
    assert not torch.allclose(drawn[:, 3], alone[:, 3], atol=1e-3)
    assert not torch.allclose(drawn[:, 3], other[:, 3], atol=1e-4)


def test_two_processes_give_the_numbers_of_one(tmp_path: Path):
    smoke = ROOT / "experiments" / "smoke"
    recipe = ["--config", str(ROOT / "experiments" / "vdsm" / "compact" / "pendulum_pretrain.yaml")]
    options = [*recipe, "--config", str(smoke / "run.yaml"), "--data.root", str(tmp_path / "data")]
    options += ["--run.dir", str(tmp_path / "runs"), "--trainer.limit_test_batches", "1.0"]
    assert run_alone("fit", *options, "--run.name", "one") == 0
    checkpoint = tmp_path / "runs" / "one" / "latest" / "checkpoints" / "last.ckpt"
    test = ["test", *options, "--ckpt_path", str(checkpoint), "--trainer.callbacks+=callbacks.Evaluation"]
    test += ["--trainer.callbacks.metrics=[mse,ssim,fid]", "--trainer.callbacks.stand_ins=true"]
    books = []
    for more in ([], ["--trainer.devices", "2", "--trainer.strategy", "ddp_fork"]):
        assert run_alone(*test, *more) == 0
        books.append(Book.read(tmp_path / "runs" / "one" / "latest" / "test" / "latest" / RESULTS))
    names = ["reconstruction/mse", "reconstruction/ssim", "reconstruction/fid/random_features"]
    for name in names:
        one, two = (book.results[name] for book in books)
        assert one.protocol == two.protocol
        assert two.value == pytest.approx(one.value, rel=1e-4)
