"""The density that a run fits when its training ends: whose it is, where it goes, and when it is out of date."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, Trainer

from callbacks import FittedDensity, RunCheckpoint
from data_modules import Pendulum
from tests.vdsm_glass.play.small import SIZES
from vdsm_glass.api import load
from vdsm_glass.export import export
from vdsm_glass.vdsm import VDSMSequence
from vdsm_glass.vdsm.fitted import FittedPrior

pytestmark = pytest.mark.filterwarnings("ignore:The '.*' does not have many workers")
CLIPS = 20


class Sequence(VDSMSequence):
    """Stage 2 from random frames."""

    def __init__(self) -> None:
        super().__init__(SIZES, learning_rate=0.05)

    def on_fit_start(self) -> None:
        """There is no stage 1 to read."""


class Watch(Callback):
    """Notes whether the network carries a density while it learns, and what last.ckpt holds then."""

    def __init__(self) -> None:
        self.carried: list[bool] = []
        self.saved: list[bool] = []

    def on_train_batch_start(self, trainer: Trainer, pl_module: Sequence, batch: object, batch_idx: int) -> None:
        self.carried.append(pl_module.net.fitted is not None)
        last = Path(trainer.default_root_dir) / "checkpoints" / "last.ckpt"
        self.saved.append("fitted" in torch.load(last, weights_only=True))


def trainer_of(folder: Path, epochs: int, watch: Watch) -> Trainer:
    # A loss that falls makes best.ckpt that of the first validation.
    kept = RunCheckpoint(monitor="val/loss", mode="max", every_n_train_steps=1)
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=epochs,
        logger=False,
        callbacks=[FittedDensity(clips=CLIPS), watch, kept],
        enable_progress_bar=False,
        enable_model_summary=False,
        num_sanity_val_steps=0,
    )


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Pendulum:
    root = str(tmp_path_factory.mktemp("pendula"))
    made = Pendulum(root=root, size=16, clip_length=4, colours=3, swings=3, sequences_per_pair=6, frames=4)
    made.batches_per_epoch = 2
    made.prepare_data()
    return made


@pytest.fixture
def run(tmp_path: Path, data: Pendulum) -> Path:
    """The checkpoints of a run of two epochs."""
    torch.manual_seed(0)
    watch = Watch()
    trainer_of(tmp_path, 2, watch).fit(Sequence(), data)
    assert watch.carried == watch.saved == [False] * 4
    return tmp_path / "checkpoints"


def test_each_checkpoint_carries_the_density_of_its_own_weights(run: Path, data: Pendulum):
    found = {}
    for name in ("last", "best"):
        model = load(run / f"{name}.ckpt", device="cpu")
        found[name] = model.carried()
        wanted = FittedPrior.of_training_clips(model.network, data, most=CLIPS)
        torch.testing.assert_close(found[name], wanted.tensors())
    assert torch.load(run / "best.ckpt", weights_only=True)["global_step"] == 2
    assert not torch.allclose(found["last"]["motion.means"], found["best"]["motion.means"])


def test_sampling_draws_from_it_after_an_export_too_unless_the_prior_is_asked_for(run: Path):
    model = load(run / "last.ckpt", device="cpu")
    assert model.densities == ("fitted", "prior")
    assert "sample (from the density fitted to training clips)" in repr(model)
    made = model.sample(3, steps=5)
    assert torch.equal(made, model.sample(3, steps=5, density="fitted"))
    generator, net = torch.Generator().manual_seed(0), model.network
    s, z = net.fitted.sample_identity(3, generator), net.fitted.sample_poses(net, 3, 5, generator)
    assert torch.equal(made, net.decode(z, s))
    prior = model.sample(3, steps=5, density="prior")
    assert not torch.allclose(made, prior, atol=1e-3)
    exported = load(export(run / "last.ckpt", run / "out"), device="cpu")
    assert "drawn from the density fitted to training clips." in (run / "out" / "README.md").read_text(encoding="utf-8")
    assert torch.equal(exported.sample(3, steps=5), made)
    assert torch.equal(exported.sample(3, steps=5, density="prior"), prior)
    again = load(export(run / "out", run / "again"), device="cpu")
    assert torch.equal(again.sample(3, steps=5), made)


def test_a_run_that_goes_on_forgets_it_and_fits_another(run: Path, data: Pendulum):
    before = torch.load(run / "last.ckpt", weights_only=True)["fitted"]
    watch, module = Watch(), Sequence()
    trainer_of(run.parent, 3, watch).fit(module, data, ckpt_path=run / "last.ckpt", weights_only=True)
    assert watch.carried == [False] * 2
    assert watch.saved == [True, False]  # what is resumed, and what was written since
    after = torch.load(run / "last.ckpt", weights_only=True)["fitted"]
    assert not torch.allclose(after["motion.means"], before["motion.means"])


def test_a_test_reads_it_from_its_checkpoint(run: Path, data: Pendulum):
    module = Sequence()
    trainer_of(run, 2, Watch()).test(module, data, ckpt_path=run / "last.ckpt", weights_only=True, verbose=False)
    saved = torch.load(run / "last.ckpt", weights_only=True)["fitted"]
    torch.testing.assert_close(module.net.fitted.tensors(), saved)
