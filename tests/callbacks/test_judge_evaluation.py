"""The judge and the probes at the end of a test."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, Trainer
from PIL import Image

from callbacks import Disentanglement, Evaluation, JudgeEvaluation
from data_modules import Pendulum
from data_modules.batch import VideoBatch
from data_modules.common.errors import UserError
from vdsm_glass.judge.judge import Judge, save_judge
from vdsm_glass.judge.labels import judgeable
from vdsm_glass.judge.network import JudgeNetwork, JudgeSizes
from vdsm_glass.judge.scores import judge_results, judge_verbs
from vdsm_glass.metrics.results import ResultSet
from vdsm_glass.registry import model_of
from vdsm_glass.trivial.modules import FirstFrameModule, NearestClipModule, RandomActionModule, TrivialModule
from vdsm_glass.vdsm import VDSMPretrain
from vdsm_glass.vdsm.sizes import Sizes

pytestmark = pytest.mark.filterwarnings("ignore:The '.*' does not have many workers")
SIZES = Sizes(kappa_z=3, kappa_s=4, kappa_d=5, encoder_channels=(4, 4, 8), identity_dim=6, decoder_channels=(8, 4))


def pendula(root: Path, **options: int) -> Pendulum:
    given = {"colours": 3, "swings": 3, "sequences_per_pair": 4, "frames": 6} | options
    data = Pendulum(root=str(root), size=16, clip_length=6, **given)
    data.prepare_data()
    return data


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Pendulum:
    return pendula(tmp_path_factory.mktemp("data"))


@pytest.fixture(scope="module")
def judge(data: Pendulum) -> Judge:
    torch.manual_seed(0)
    network = JudgeNetwork(JudgeSizes(channels=(4, 8), rnn_dim=4), {"identity": 3, "action": 3}).eval()
    return Judge(
        network, judgeable(data), data.store.manifest["source"], frames=6, accuracy={"identity": 0.9, "action": 0.8}
    )


def trainer(folder: Path, *callbacks: Callback) -> Trainer:
    return Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        logger=False,
        callbacks=list(callbacks),
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )


def run_test(folder: Path, data: Pendulum, judge: Path, model: VDSMPretrain) -> list:
    judged = JudgeEvaluation(judge=judge, clips=9, batch_size=4, seed=3)
    return trainer(folder, judged, Disentanglement()).test(model, data, verbose=False)


def test_probes_of_a_small_training_split_see_more_windows_of_it_than_clips(data: Pendulum, tmp_path: Path):
    model, longer = VDSMPretrain(SIZES).eval(), pendula(tmp_path, frames=20)
    clips = len(longer.evaluation_dataset("train"))
    many, few = (Disentanglement(clips=count).encode(model, longer, "train") for count in (3 * clips, clips))
    assert len(many.action) == 3 * clips
    assert (many.action.reshape(3, clips) == few.action).all()
    torch.testing.assert_close(many.latents.z[:clips], few.latents.z)
    same = torch.isclose(many.latents.z[clips : 2 * clips], few.latents.z).all(dim=(1, 2))
    assert same.float().mean() < 0.5  # a window may begin with the clip by chance
    assert len(Disentanglement(clips=99).encode(model, longer, "test").action) < 99
    assert len(Disentanglement(clips=99).encode(model, data, "train").action) == len(data.evaluation_dataset("train"))


def test_a_test_ends_with_the_judges_scores_and_the_leaks(data: Pendulum, judge: Judge, tmp_path: Path):
    torch.manual_seed(1)
    model = VDSMPretrain(SIZES)
    logged = run_test(tmp_path, data, save_judge(judge, tmp_path / "judge.pt"), model)[0]
    wanted = judge_results(model.net.eval(), judge, data, clips=9, batch_size=9, seed=3)
    results = ResultSet.read(tmp_path / "results.json").values
    assert {"judge/action/frozen_dynamics/acc", "judge/identity/frozen_identity/is"} < wanted.keys()
    for name, value in wanted.items():
        assert logged[f"test/{name}"] == results[name] == pytest.approx(value, abs=1e-5)
    recorded = ResultSet.read(tmp_path / "results.json").results
    assert recorded["identity_from_s"].protocol.split == "test"
    assert recorded["identity_from_s_on_val"].protocol.split == "val"
    with Image.open(tmp_path / "pictures" / "leaks.png") as picture:
        assert picture.width > picture.height / 2


@pytest.mark.parametrize("module", [FirstFrameModule, NearestClipModule, RandomActionModule])
def test_trivial_models_are_judged_too(module: type[TrivialModule], data: Pendulum, judge: Judge, tmp_path: Path):
    options: dict[str, Any] = {} if module is FirstFrameModule else {"clips": 8, "frames": 6, "size": (16, 16)}
    model = module(**options)
    data.setup("fit")
    model.look(next(iter(data.train_dataloader())).decoded().video)
    judged = JudgeEvaluation(save_judge(judge, tmp_path / "judge.pt"), clips=9, fitted_to=4)
    trainer(tmp_path, judged, Evaluation(["mse"])).test(model, data, verbose=False)
    found = ResultSet.read(tmp_path / "results.json").values
    wanted = judge_verbs(model_of(model), judge, data, clips=9)  # pyright: ignore[reportArgumentType]
    assert {"judge/action/swap/acc", "judge/identity/swap/acc", "judge/all/swap/acc"} < wanted.keys()
    assert {name: found[name] for name in wanted} == pytest.approx(wanted, abs=1e-5)


def test_a_model_that_has_not_registered_cannot_be_judged(data: Pendulum, judge: Judge, tmp_path: Path):
    class Unknown(FirstFrameModule):
        kind = "unknown"

        def test_step(self, batch: VideoBatch) -> None: ...

    judged = JudgeEvaluation(save_judge(judge, tmp_path / "judge.pt"))
    with pytest.raises(UserError, match="Unknown has not registered as a kind of model"):
        trainer(tmp_path, judged).test(Unknown(), data, verbose=False)


def test_a_judge_of_other_clips_ends_the_test_before_it_begins(data: Pendulum, judge: Judge, tmp_path: Path):
    others = pendula(tmp_path, colours=2)
    with pytest.raises(UserError, match="colours 3 and here 2"):
        run_test(tmp_path, others, save_judge(judge, tmp_path / "judge.pt"), VDSMPretrain(SIZES))
    assert not (tmp_path / "results.json").exists()
