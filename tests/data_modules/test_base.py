from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningDataModule, LightningModule, Trainer
from lightning.pytorch.cli import LightningCLI
from lightning.pytorch.demos.boring_classes import BoringModel

import data_modules
from data_modules.base import VideoDataModule
from data_modules.batch import VideoBatch
from data_modules.common.errors import DataError, UserError
from tests.data_modules.toy import Toy


@pytest.fixture(autouse=True)
def _no_arguments(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sys, "argv", ["vdsm-glass"])  # LightningCLI warns of those of pytest


def configured(arguments: list[str]) -> LightningDataModule:
    cli = LightningCLI(
        BoringModel,
        VideoDataModule,
        subclass_mode_data=True,
        trainer_defaults={"logger": False, "accelerator": "cpu"},
        seed_everything_default=False,
        args=arguments,
        run=False,
    )
    return cli.datamodule


def test_the_command_line_sees_own_and_shared_options() -> None:
    module = configured(
        ["--data=data_modules.Pendulum", "--data.colours=3", "--data.size=[48,64]", "--data.clip_length=5"]
    )
    assert isinstance(module, data_modules.Pendulum)
    assert (module.colours, module.height, module.width, module.clip_length, module.eval_clip_length) == (
        3,
        48,
        64,
        5,
        5,
    )


def test_the_command_line_refuses_a_misspelt_option(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        configured(["--data=data_modules.Pendulum", "--data.bath_size=3"])
    assert "bath_size" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"clip_length": 0}, "toy: clip_length is 0; expected at least 1"),
        ({"eval_clip_length": 0}, "eval_clip_length is 0"),
        ({"size": (8, -1)}, "width is -1"),
        ({"batches_per_epoch": 0}, "batches_per_epoch is 0"),
        ({"stride": 0}, "stride is 0"),
        ({"stride": (3, 2)}, r"stride is \(3, 2\); expected one number, or the least and then the most"),
        ({"eval_stride": 0}, "eval_stride is 0"),
        ({"num_workers": -1}, "num_workers is -1; expected at least 0"),
    ],
)
def test_settings_that_make_no_sense_are_named(options: dict, message: str) -> None:
    with pytest.raises(UserError, match=message):
        Toy(**options)


def test_tiny_is_an_error_where_there_is_no_tiny_copy() -> None:
    class Drawn(Toy):
        def draw_tiny(self) -> None:
            """The toy needs no files."""

    with pytest.raises(UserError, match=r"toy has no tiny copy: .*draw_tiny"):
        Toy(tiny=True)
    assert Drawn(tiny=True).tiny
    assert all(kind(tiny=True).tiny for kind in _classes())


def test_every_dataset_says_whose_its_data_is() -> None:
    for kind in _classes():
        assert kind.rights.endswith(".")
        assert len(kind.rights) > 40


def test_loaders_follow_the_settings(tmp_path: Path) -> None:
    module = Toy(
        root=str(tmp_path),
        clip_length=4,
        eval_clip_length=6,
        batch_size=3,
        eval_batch_size=5,
        batches_per_epoch=7,
        pair_actions=True,
    )
    module.prepare_data()
    module.setup("fit")
    train = list(module.train_dataloader())
    assert [tuple(batch.video.shape) for batch in train] == [(3, 8, 3, 16, 24)] * 7
    for loader in (module.val_dataloader(), module.test_dataloader(), module.predict_dataloader()):
        batches = list(loader)
        assert [tuple(batch.video.shape) for batch in batches] == [(5, 6, 3, 16, 24)] * 2
        assert sorted(clip for batch in batches for clip in batch.clip.tolist()) == list(range(10))


def test_evaluation_may_have_a_stride_of_its_own(tmp_path: Path) -> None:
    module = Toy(root=str(tmp_path), clip_length=2, stride=4, eval_stride=3)
    module.prepare_data()
    clip = module.store.split("val").frames(0)
    first = module.evaluation_dataset("val")[[0]].decoded()
    torch.testing.assert_close(first.video[0], torch.from_numpy(clip[[0, 3]].copy()) / 255)
    assert module.training_dataset().stride == 4
    assert Toy(root=str(tmp_path), stride=4).eval_stride == 4


@pytest.mark.filterwarnings("ignore:You have overridden `on_after_batch_transfer`:UserWarning")
@pytest.mark.filterwarnings("ignore:.*does not have many workers:UserWarning")
def test_models_get_decoded_batches_and_keep_their_own_hook(tmp_path: Path) -> None:
    """Bytes until they are on the device; a model's `on_after_batch_transfer` is its own."""

    class Seeing(LightningModule):
        def on_after_batch_transfer(self, batch: VideoBatch, dataloader_idx: int) -> VideoBatch:
            return batch.map(lambda value: value[:1])

        def test_step(self, batch: VideoBatch) -> None:
            self.seen = batch

    module, model = Toy(root=str(tmp_path), clip_length=4), Seeing()
    quiet = {"logger": False, "enable_progress_bar": False, "enable_model_summary": False}
    trainer = Trainer(accelerator="cpu", limit_test_batches=1, **quiet)  # pyright: ignore[reportArgumentType]
    trainer.test(model, module)
    loaded = next(iter(module.test_dataloader()))
    assert loaded.video.dtype == loaded.mask.dtype == torch.uint8
    assert model.seen.video.dtype == model.seen.mask.dtype == torch.float32  # pyright: ignore
    torch.testing.assert_close(model.seen.video, loaded.video[:1].float() / 255, rtol=0, atol=0)
    torch.testing.assert_close(model.seen.mask, loaded.mask[:1].float(), rtol=0, atol=0)
    assert set(model.seen.mask.unique().tolist()) == {0.0, 1.0}  # pyright: ignore


def test_the_stride_may_be_drawn(tmp_path: Path) -> None:
    module = Toy(root=str(tmp_path), clip_length=3, stride=(1, 4))
    module.prepare_data()
    assert (module.training_dataset().stride, module.training_dataset().largest_stride) == (1, 4)
    evaluated = module.evaluation_dataset("train")
    assert (evaluated.stride, evaluated.largest_stride) == (1, 1)


def test_splits_are_not_mixed_up(tmp_path: Path) -> None:
    module = Toy(root=str(tmp_path), clip_length=9)
    module.prepare_data()
    for split, loader in (("val", module.val_dataloader()), ("test", module.test_dataloader())):
        batch = next(iter(loader))
        expected = module.clip(split, 0).video[:9]  # pyright: ignore[reportArgumentType]
        assert (batch.video[0].numpy().transpose(0, 2, 3, 1) == expected).all()


def test_pairs_need_identities(tmp_path: Path) -> None:
    class Unlabelled(Toy):
        name = "unlabelled"

        def read(self, split):
            for clip in super().read(split):
                yield type(clip)(video=clip.video)

    module = Unlabelled(root=str(tmp_path), pair_actions=True, clip_length=4)
    module.prepare_data()
    with pytest.raises(DataError, match="pair_actions needs the identity"):
        module.train_dataloader()
    assert module.identity_names == module.action_names == []


def test_generic_names_cover_all_labels(tmp_path: Path) -> None:
    module = Toy(root=str(tmp_path))
    module.prepare_data()
    assert module.identity_names == ["identity 0", "identity 1", "identity 2"]
    assert module.action_names == ["action 0", "action 1", "action 2", "action 3"]


def test_public_names_are_there_and_importing_the_package_is_cheap() -> None:
    for name in data_modules.__all__:
        assert getattr(data_modules, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'Pendulm'"):
        _ = data_modules.Pendulm  # pyright: ignore[reportAttributeAccessIssue]
    assert set(data_modules.DATASETS) == {kind.name for kind in _classes()}


def _classes() -> list[type[VideoDataModule]]:
    return [getattr(data_modules, path.rpartition(".")[2]) for path in data_modules.DATASETS.values()]


def test_importing_the_package_does_not_import_pytorch() -> None:
    code = "import sys, data_modules; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False, cwd=Path(__file__).parents[2]).returncode == 0
