"""What is generated is scored, under both conventions, by any number of processes; what cannot be scored says why."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any, ClassVar

import pytest
import torch
from lightning.pytorch import Trainer
from torch import Tensor

from callbacks import Evaluation, GLASSEvaluation
from data_modules import Pendulum, WSprites
from data_modules.common.errors import UserError
from data_modules.loading.clips import ClipDataset
from tests.callbacks.test_glass_evaluation import model as small_glass_module
from tests.runs import run_alone
from tests.vdsm_glass.glass.small import small_glass
from vdsm_glass import registry
from vdsm_glass.generate.glass import GLASSModel
from vdsm_glass.generate.vdsm import VDSMModel
from vdsm_glass.generate.vocabulary import GenerationProtocol, Model
from vdsm_glass.metrics.results import MARKDOWN, RESULTS, ResultSet
from vdsm_glass.vdsm import VDSMPretrain
from vdsm_glass.vdsm.fitted import FittedPrior
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
    drawn = GLASSModel(model.net.eval()).reconstruct(video)
    book = ResultSet.read(tmp_path / RESULTS)
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
    assert (tmp_path / "pictures" / "evaluation_reconstruction.gif").is_file()
    assert (tmp_path / "pictures" / "per_position.png").is_file()


def test_missing_weights_are_named_and_stand_ins_have_names_of_their_own(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("VDSM_GLASS_CACHE", str(tmp_path / "nothing"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "nothing"))
    data, model = pendula(tmp_path), VDSMPretrain(SIZES)
    names = ["reconstruction", "swap", "prior"]
    scored(tmp_path / "real", model, data, Evaluation(metrics=["mse", "fid"], protocols=names, max_clips=5))
    book = ResultSet.read(tmp_path / "real" / RESULTS)
    assert book.results["reconstruction/mse"].protocol.clips == 5
    assert "swap/mse" not in book.results, "nothing that a swap should equal"
    for protocol in names:
        assert "inception" in book.not_computed[f"{protocol}/fid"].reason
    assert "not computed" in capsys.readouterr().out
    stand_ins = Evaluation(metrics=["fid"], protocols=names, stand_ins=True, batch_size=4)
    scored(tmp_path / "random", model, data, stand_ins)
    for protocol in names:
        result = ResultSet.read(tmp_path / "random" / RESULTS).results[f"{protocol}/fid/random_features"]
        assert result.network == "random_features"
        assert result.checksum
        assert result.value > 0


def test_a_fitted_density_is_scored_beside_the_prior_and_one_that_is_not_there_is_a_gap(tmp_path: Path):
    data, model = pendula(tmp_path), VDSMPretrain(SIZES)
    evaluation = Evaluation(metrics=["fmd"], protocols=["prior", "fitted"], batch_size=3)
    scored(tmp_path / "old", model, data, evaluation)
    old = ResultSet.read(tmp_path / "old" / RESULTS)
    assert "carries no density that was fitted to training clips" in old.not_computed["fitted"].reason
    assert not any(name.startswith("fitted/") for name in old.results)
    model.net.eval()
    model.net.fitted = FittedPrior.of_training_clips(model.net, data, most=9)
    scored(tmp_path / "new", model, data, evaluation)
    new = ResultSet.read(tmp_path / "new" / RESULTS)
    assert "fitted" not in new.not_computed
    names = {name.partition("/")[2] for name in new.results if name.startswith("prior/fmd")}
    assert names == {name.partition("/")[2] for name in new.results if name.startswith("fitted/fmd")}
    (name,) = names
    assert new.results[f"prior/{name}"].value == pytest.approx(old.results[f"prior/{name}"].value)
    assert new.results[f"fitted/{name}"].value != pytest.approx(new.results[f"prior/{name}"].value, rel=1e-3)
    assert "fitted to the latents of training clips" in new.results[f"fitted/{name}"].protocol.generated_by


class Untested(VDSMPretrain):
    def test_step(self, *_: Any) -> None:
        pytest.fail("the test has begun")


def test_an_unknown_metric_or_protocol_is_named_with_the_nearest_before_the_test(tmp_path: Path):
    data, model = pendula(tmp_path), Untested(SIZES)
    with pytest.raises(UserError, match="did you mean 'psnr'"):
        scored(tmp_path, model, data, Evaluation(metrics=["pnsr"]))
    with pytest.raises(UserError, match="did you mean 'fid'"):
        scored(tmp_path, model, data, Evaluation(metrics=["mse"], weights={"fidd": tmp_path}))
    with pytest.raises(UserError, match=r"cannot be asked for 'swop'.*did you mean 'swap'"):
        scored(tmp_path, model, data, Evaluation(protocols=["swop"]))


class Darker(torch.nn.Module):
    """Generates each frame darker than the real one by 0.1 and, from the second on, 0.2; tells what it was shown."""

    def __init__(self) -> None:
        super().__init__()
        self.shown: list[tuple[Tensor, Tensor]] = []

    def generate(self, video: Tensor, other: Tensor, _: torch.Generator) -> Tensor:
        self.shown.append((video, other))
        return torch.cat([video[:, :1] - 0.1, video[:, 1:] - 0.2, video], dim=1)[:, : video.shape[1]]


class DarkerModel(Model):
    """`Darker` with two protocols: `reconstruction` is compared frame by frame, and `swap` sees others."""

    title = "Darker"
    can = ()
    protocols: ClassVar[dict[str, GenerationProtocol]] = {
        name: GenerationProtocol(
            lambda model, video, other, generator: model.network.generate(video, other, generator),
            about="less light",
            paired=name == "reconstruction",
            needs_others=name == "swap",
        )
        for name in ("reconstruction", "swap")
    }


class Bright(VDSMPretrain):
    """A model whose scores are known: its clips are grey, and what it generates is darker."""

    kind = "darker"

    def __init__(self) -> None:
        super().__init__(SIZES)
        self.net = Darker()

    def test_step(self, *_: Any) -> None:
        self.log("test/psnr", 1.0, batch_size=1)


@pytest.fixture
def darker(monkeypatch: pytest.MonkeyPatch) -> None:
    """`Darker` can be asked for `reconstruction`, which is compared frame by frame, and `swap`, which sees others."""
    kind = registry.ModelKind(name="darker", model=f"{__name__}.DarkerModel", module=f"{__name__}.Bright")
    monkeypatch.setattr(registry, "_KINDS", registry.kinds() | {"darker": kind})


def grey(data: Pendulum, monkeypatch: pytest.MonkeyPatch) -> None:
    """Replaces every frame by one grey, which says by its hundredths the clip's place in the split."""
    original = ClipDataset.__getitem__

    def replaced(self: ClipDataset, key: Any) -> Any:
        batch = original(self, key).decoded()
        values = 0.5 + torch.tensor(key).view(-1, 1, 1, 1, 1) / 100
        return replace(batch, video=values.expand_as(batch.video).contiguous())

    monkeypatch.setattr(ClipDataset, "__getitem__", replaced)


@pytest.mark.usefixtures("darker")
def test_a_known_generator_has_the_scores_that_follow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data, model = pendula(tmp_path), Bright()
    grey(data, monkeypatch)
    clips = len(data.evaluation_dataset("test"))
    evaluation = Evaluation(metrics=["mse", "psnr"], batch_size=4, max_clips=5, protocols=["reconstruction", "swap"])
    trainer_sees = scored(tmp_path, model, data, evaluation)
    results = ResultSet.read(tmp_path / RESULTS).results
    t = data.eval_clip_length
    assert results["reconstruction/mse"].per_position == pytest.approx([0.01] + [0.04] * (t - 1), rel=1e-5)
    assert results["reconstruction/mse"].value == pytest.approx((0.01 + 0.04 * (t - 1)) / t, rel=1e-5)
    assert results["reconstruction/psnr"].per_position == pytest.approx([20.0] + [13.9794] * (t - 1), rel=1e-4)
    assert results["reconstruction/psnr"].value == pytest.approx(trainer_sees["test/reconstruction/psnr"])
    assert results["reconstruction/mse"].protocol.clips == 5
    assert (results["psnr"].value, results["psnr"].protocol.clips) == (1.0, clips), "the model's own, of all clips"

    def places(side: int) -> list[int]:
        return [round(float(value - 0.5) * 100) for shown in model.net.shown for value in shown[side][:, 0, 0, 0, 0]]

    evenly = torch.linspace(0, clips - 1, 5).round().int().tolist()
    assert places(0) == 2 * evenly, "spread over the split, each once a protocol"
    assert places(1) == evenly + evenly[-1:] + evenly[:-1], "the one before, across batches, and never itself"


@pytest.mark.usefixtures("darker")
def test_a_test_that_breaks_off_keeps_the_old_results(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    data, model = pendula(tmp_path), Bright()
    grey(data, monkeypatch)
    evaluation = Evaluation(metrics=["mse"], batch_size=2)
    scored(tmp_path, model, data, evaluation)
    before = {name: (tmp_path / name).read_bytes() for name in (RESULTS, MARKDOWN)}
    monkeypatch.setattr("vdsm_glass.metrics.suite.Suite.update", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        scored(tmp_path, model, data, evaluation)
    assert {name: (tmp_path / name).read_bytes() for name in before} == before


def test_a_model_that_nobody_knows_is_left_alone(tmp_path: Path):
    assert scored(tmp_path, Bright(), pendula(tmp_path), Evaluation(metrics=["mse"])) == {"test/psnr": 1.0}
    assert not (tmp_path / RESULTS).exists()


def test_what_vdsm_generates_is_what_each_protocol_says():
    torch.manual_seed(0)
    net = SequenceVDSM(SIZES).eval()
    video, other = torch.rand(2, 3, 5, 3, 16, 16)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        net.fitted = FittedPrior.of(net.encode(torch.rand(9, 5, 3, 16, 16)))
        model = VDSMModel(net)
        drawn = {name: way.make(model, video, other, generator) for name, way in model.protocols.items()}
        latents, who = net.encode(video), net.encode(other)
        assert latents.d is not None
        torch.testing.assert_close(drawn["swap"], net.decode(latents.z, who.s))
        torch.testing.assert_close(drawn["transfer"], net.decode(net.rollout(latents.d, steps=5), who.s))
        torch.testing.assert_close(drawn["reconstruction"], net.decode(latents.z, latents.s))
    assert drawn["rollout"].shape[1] == 60
    torch.testing.assert_close(drawn["rollout"][:, :5], drawn["reconstruction"], rtol=1e-4, atol=1e-5)
    for density in model.densities:
        assert drawn[density].shape == video.shape
        seeded = model.protocols[density].make(model, video, other, torch.Generator().manual_seed(1))
        assert torch.equal(seeded, model.sample(3, steps=5, seed=1, density=density))


def test_with_teacher_forcing_every_frame_comes_from_the_real_one_before():
    net = small_glass(theta=0.3)
    video = torch.rand(2, 4, 3, 32, 48, generator=torch.Generator().manual_seed(1))
    changed = video.clone()
    changed[:, 2] = 1 - video[:, 2]
    model = GLASSModel(net)
    drawn, other = model.teacher_forced(video), model.teacher_forced(changed)
    alone = model.reconstruct(video)
    assert torch.equal(drawn[:, 0], video[:, 0])
    # Both protocols draw the first step from the same real frame; only then do they part.
    torch.testing.assert_close(2 * drawn[:, 1], 2 * alone[:, 1], rtol=0, atol=0.2)
    assert not torch.allclose(drawn[:, 3], alone[:, 3], atol=1e-3)
    assert not torch.allclose(drawn[:, 3], other[:, 3], atol=1e-4)


@pytest.mark.thorough
def test_two_processes_give_the_numbers_of_one(tmp_path: Path):
    smoke = ROOT / "experiments" / "smoke"
    recipe = ["--config", str(ROOT / "experiments" / "vdsm" / "compact" / "pendulum_pretrain.yaml")]
    options = [*recipe, "--config", str(smoke / "run.yaml"), "--data.root", str(tmp_path / "data")]
    options += ["--run.dir", str(tmp_path / "runs"), "--run.name", "one"]
    test = ["test", *options, "--evaluation.stand_ins=true"]
    test += ["--evaluation.metrics=[mse,ssim,fid]", "--evaluation.protocols=[reconstruction,swap]"]
    books = []
    for more in ([], ["--trainer.devices", "2", "--trainer.strategy", "ddp_fork"]):
        assert run_alone(*test, *more) == 0
        books.append(ResultSet.read(tmp_path / "runs" / "one" / "test" / "latest" / RESULTS))
    names = [
        "reconstruction/mse",
        "reconstruction/ssim",
        "reconstruction/fid/random_features",
        "swap/fid/random_features",
    ]
    for name in names:
        one, two = (book.results[name] for book in books)
        assert one.protocol == two.protocol
        assert two.value == pytest.approx(one.value, rel=1e-4)
