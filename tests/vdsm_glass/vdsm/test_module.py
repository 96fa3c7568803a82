import csv
import math
import os
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import Trainer

from data_modules.batch import VideoBatch
from data_modules.common.errors import UserError
from tests.processes import exit_codes
from vdsm_glass.checkpoints import CheckpointError, read_checkpoint
from vdsm_glass.cli import main
from vdsm_glass.vdsm import VDSMPretrain, VDSMSequence
from vdsm_glass.vdsm.elbo import ElboWeights, evaluate

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"


def batch(video: torch.Tensor) -> VideoBatch:
    return VideoBatch.unlabelled(video)


def test_loss_is_the_weighted_sum_of_the_terms_it_names(sizes, video, monkeypatch):
    module = VDSMPretrain(sizes)
    monkeypatch.setattr(module, "log_terms", lambda *args, **kwargs: None)
    module.anneal(kl_z=0.5, kl_s=2.0, tau_s=4.0)
    assert module.weights == ElboWeights(kl_z=0.5, kl_s=2.0)
    assert module.net.tau_s.item() == 4.0
    loss = module.training_step(batch(video))
    terms = module.last_terms
    expected = terms["reconstruction"] + 0.5 * terms["kl_z"] + 2.0 * terms["kl_s"]
    torch.testing.assert_close(loss.detach(), expected)


def test_annealing_a_weight_that_is_none_is_refused(sizes):
    with pytest.raises(TypeError, match="kl_zz"):
        VDSMPretrain(sizes).anneal(kl_zz=0.5)


def test_second_stage_optimises_only_what_it_trains(sizes):
    module = VDSMSequence(sizes)
    (group,) = module.configure_optimizers().param_groups
    trained = {id(parameter) for parameter in group["params"]}
    expected = {id(p) for name, p in module.net.named_parameters() if not name.startswith("frames.")}
    assert trained == expected


def test_frames_of_another_size_are_named(sizes):
    with pytest.raises(UserError, match="3x32x32, but the network takes 3x16x16"):
        VDSMPretrain(sizes).checked(batch(torch.rand(1, 2, 3, 32, 32)))


def test_a_model_built_in_python_can_be_saved_and_loaded(sizes, video, tmp_path: Path):
    module = VDSMSequence(sizes, learning_rate=3e-4)
    trainer = Trainer(accelerator="cpu", logger=False, enable_progress_bar=False, enable_model_summary=False)
    trainer.strategy.connect(module)
    trainer.save_checkpoint(tmp_path / "a.ckpt")
    assert "state_dict" in read_checkpoint(tmp_path / "a.ckpt")
    loaded = VDSMSequence.load_from_checkpoint(tmp_path / "a.ckpt")
    assert loaded.learning_rate == 3e-4
    assert loaded.net.sizes == sizes
    torch.testing.assert_close(loaded.net.encode(video).d, module.net.encode(video).d)


@pytest.mark.parametrize("content", [{"epoch": 3}, [1, 2]])
def test_a_foreign_checkpoint_is_named(tmp_path: Path, content):
    file = tmp_path / "foreign.ckpt"
    torch.save(content, file)
    with pytest.raises(CheckpointError, match=r"foreign\.ckpt.*no state_dict"):
        read_checkpoint(file)


def test_a_checkpoint_with_code_in_it_is_refused_and_not_run(tmp_path: Path):
    class Trap:
        def __reduce__(self):
            return os.mkdir, (str(tmp_path / "ran"),)

    file = tmp_path / "trap.ckpt"
    torch.save({"state_dict": {}, "trap": Trap()}, file)
    with pytest.raises(CheckpointError, match="cannot be read safely"):
        read_checkpoint(file)
    assert not (tmp_path / "ran").exists()


@pytest.mark.parametrize("stage", ["frames", "sequences"])
def test_bfloat16_keeps_densities_in_float32_and_the_loss_within_a_percent(stage, request, video):
    net = request.getfixturevalue(stage)

    def terms() -> dict[str, torch.Tensor]:
        torch.manual_seed(4)
        return evaluate(net.model, net.guide, video).terms

    exact = terms()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        rounded = terms()
    for name, value in exact.items():
        assert rounded[name].dtype == torch.float32
        torch.testing.assert_close(rounded[name], value, rtol=0.02, atol=0.1)
    torch.testing.assert_close(sum(rounded.values()), sum(exact.values()), rtol=0.01, atol=0.0)


@pytest.mark.thorough
@pytest.mark.filterwarnings("ignore:The .grad attribute of a Tensor", "ignore::DeprecationWarning:torch")  # torch's own
def test_compiled_is_the_same_function(sizes, video, monkeypatch):
    losses = []
    for compiled in (False, True):
        torch.manual_seed(0)
        module = VDSMPretrain(sizes, compile=compiled)
        monkeypatch.setattr(module, "log_terms", lambda *args, **kwargs: None)
        torch.manual_seed(1)
        loss = module.training_step(batch(video))
        loss.backward()
        assert all(parameter.grad is not None for parameter in module.parameters())
        losses.append(loss.detach())
    torch.testing.assert_close(losses[1], losses[0], rtol=1e-4, atol=0.0)
    assert list(module.state_dict()) == list(VDSMPretrain(sizes).state_dict())


def noiseless(arguments: list[str]) -> None:
    """The command line with every Normal sampled at its location, so that processes need not draw the same noise."""
    torch.distributions.Normal.rsample = lambda self, sample_shape=(): self.loc.expand(
        self._extended_shape(sample_shape)
    )
    sys.exit(main(arguments))


def run(folder: Path, *more: str, processes: int, batch_size: int, recipe: str = "pendulum_pretrain") -> Path:
    """Two noiseless steps of a compact recipe at a total batch of 4, and its run folder."""
    arguments = [
        *("fit", "--config", str(EXPERIMENTS / "vdsm" / "compact" / f"{recipe}.yaml")),
        *("--config", str(EXPERIMENTS / "smoke" / "run.yaml")),
        *("--run.dir", str(folder), "--run.name", f"on_{processes}", "--data.root", str(folder / "data")),
        *("--trainer.devices", str(processes), "--trainer.strategy", "ddp_fork" if processes > 1 else "auto"),
        *("--data.batch_size", str(batch_size), "--data.eval_batch_size", str(batch_size)),
        *("--trainer.limit_val_batches", "1.0"),
        *more,
    ]
    assert exit_codes(noiseless, (arguments,)) == [0]
    return folder / f"on_{processes}" / "latest"


def validation_loss(folder: Path) -> float:
    with (folder / "metrics.csv").open(newline="", encoding="utf-8") as lines:
        return next(float(row["val/loss"]) for row in csv.DictReader(lines) if row.get("val/loss"))


def test_two_processes_train_as_one_with_the_same_total_batch(tmp_path: Path):
    one, two = run(tmp_path, processes=1, batch_size=4), run(tmp_path, processes=2, batch_size=2)
    alone, together = (read_checkpoint(folder / "checkpoints" / "last.ckpt")["state_dict"] for folder in (one, two))
    assert alone.keys() == together.keys()
    for name, value in alone.items():
        torch.testing.assert_close(together[name], value, rtol=1e-3, atol=2e-5, msg=lambda m, n=name: f"{n}: {m}")
    assert math.isclose(validation_loss(one), validation_loss(two), rel_tol=1e-4)


@pytest.mark.thorough
def test_two_processes_fit_one_mixture_of_motions(tmp_path: Path):
    first = run(tmp_path / "first", processes=1, batch_size=4) / "checkpoints" / "last.ckpt"
    second = ["--model.pretrained", str(first), "--model.sizes.motions", "2"]
    one, two = (
        run(tmp_path, *second, processes=n, batch_size=4 // n, recipe="pendulum_sequence") / "checkpoints" / "last.ckpt"
        for n in (1, 2)
    )
    alone, together = (read_checkpoint(file)["state_dict"] for file in (one, two))
    assert alone["net.motions.means"].abs().sum() > 0
    for name in ("means", "shares", "root"):
        torch.testing.assert_close(together[f"net.motions.{name}"], alone[f"net.motions.{name}"], rtol=1e-2, atol=1e-4)
