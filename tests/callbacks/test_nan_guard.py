"""A loss or gradient that is not finite has a name, a place, and no effect on the weights."""

from pathlib import Path

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor, nn
from torch.utils.data import DataLoader

from callbacks import NonFiniteError, NonFiniteGuard, RunCheckpoint
from data_modules import VideoBatch
from data_modules.common.errors import UserError

STEPS = 8


class Fragile(LightningModule):
    """Multiplies its loss by one number per step.

    Args: factors, by step; where: the loss term or the gradient that it spoils.
    """

    def __init__(self, factors: dict[int, float], where: str = "term") -> None:
        super().__init__()
        self.layer, self.frozen = nn.Linear(3, 1), nn.BatchNorm1d(1)
        self.factors, self.where = factors, where
        self.last_terms: dict[str, Tensor] = {}

    def training_step(self, batch: VideoBatch) -> Tensor:
        factor = self.factors.get(self.global_step, 1.0)
        out = self.layer(batch.video.mean(dim=(1, 3, 4)))
        if self.where == "buffer":
            out = self.frozen(out * factor)
        terms = {"reconstruction": out.square().mean(), "kl_z": out.abs().mean()}
        if self.where == "term":
            terms["kl_z"] = terms["kl_z"] * factor
        if self.where == "constant":
            # Not finite, without a gradient.
            terms["kl_z"] = terms["kl_z"] + terms["kl_z"].new_tensor(factor - 1)
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        loss = terms["reconstruction"] + terms["kl_z"]
        if self.where == "gradient":
            # Finite forward, spoilt backward.
            loss.register_hook(lambda gradient: gradient * factor)
        return loss

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1)


class Weights(Callback):
    """Remembers the weights after each step."""

    def __init__(self) -> None:
        self.after: list[Tensor] = []

    def on_train_batch_end(self, trainer: Trainer, pl_module: LightningModule, *args: object) -> None:
        self.after.append(pl_module.layer.weight.detach().clone())


def batches() -> DataLoader:
    """Batch i holds clips 2i and 2i + 1."""
    generator = torch.Generator().manual_seed(0)
    clips = [
        VideoBatch(
            video=torch.rand(2, 2, 3, 4, 4, generator=generator),
            identity=torch.zeros(2, dtype=torch.int64),
            action=torch.zeros(2, dtype=torch.int64),
            clip=torch.tensor([2 * i, 2 * i + 1]),
        )
        for i in range(STEPS)
    ]
    return DataLoader(clips, batch_size=None)  # pyright: ignore[reportArgumentType]


def train(folder: Path, model: Fragile, guard: NonFiniteGuard, *more: Callback, **options) -> None:
    trainer = Trainer(
        default_root_dir=folder,
        callbacks=[guard, *more],
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        **{"enable_checkpointing": False, **options},
    )
    trainer.fit(model, batches())


pytestmark = pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")


@pytest.mark.parametrize(
    ("where", "factor", "named"),
    [
        ("term", float("nan"), "loss term kl_z is nan"),
        ("term", float("inf"), "loss term kl_z is inf"),
        ("constant", float("inf"), "loss term kl_z is inf"),
        ("gradient", float("nan"), "the gradient is not finite in layer.weight, layer.bias"),
        ("gradient", -float("inf"), "the gradient is not finite in layer.weight, layer.bias"),
    ],
)
def test_the_run_stops_and_says_what_where_and_with_which_clips(where: str, factor: float, named: str, tmp_path: Path):
    weights = Weights()
    model = Fragile({3: factor}, where)
    with pytest.raises(NonFiniteError) as caught:
        train(tmp_path, model, NonFiniteGuard(), weights)
    said = str(caught.value)
    assert said.startswith("step 3, epoch 0, batch 3, clips [6, 7]: ")
    assert named in said
    assert "--nan_guard.skip" in said
    assert len(weights.after) == 3
    assert torch.equal(model.layer.weight, weights.after[-1])


def test_the_last_checkpoint_stays_as_it_is(tmp_path: Path):
    guarded = (NonFiniteGuard(), RunCheckpoint(every_n_train_steps=2))
    with pytest.raises(NonFiniteError):
        train(tmp_path, Fragile({5: float("nan")}), *guarded, enable_checkpointing=True)
    checkpoint = torch.load(tmp_path / "checkpoints" / "last.ckpt", weights_only=True)
    assert checkpoint["global_step"] == 4
    assert all(value.isfinite().all() for value in checkpoint["state_dict"].values())


def test_a_step_that_is_left_out_changes_nothing_and_the_others_go_on(tmp_path: Path):
    weights, guard = Weights(), NonFiniteGuard(skip=2)
    train(tmp_path, Fragile({2: float("nan"), 5: float("inf")}), guard, weights, gradient_clip_val=1.0)
    assert guard.skipped == 2
    moved = [not torch.equal(before, after) for before, after in zip(weights.after, weights.after[1:], strict=False)]
    assert moved == [True, False, True, True, False, True, True]


def test_only_so_many_steps_are_left_out(tmp_path: Path):
    guard = NonFiniteGuard(skip=1)
    with pytest.raises(NonFiniteError, match=r"step 5.* \(1 such steps were left out before\)"):
        train(tmp_path, Fragile({2: float("nan"), 5: float("inf")}), guard)


def test_what_running_statistics_took_in_cannot_be_left_out(tmp_path: Path):
    with pytest.raises(NonFiniteError, match=r"the buffer frozen\.running_mean is not finite"):
        train(tmp_path, Fragile({2: float("nan")}, "buffer"), NonFiniteGuard(skip=3))


def test_a_batch_spoilt_within_an_accumulation_is_seen(tmp_path: Path):
    model = Fragile({1: float("nan")}, "constant")
    with pytest.raises(NonFiniteError, match="step 1"):
        train(tmp_path, model, NonFiniteGuard(), accumulate_grad_batches=4)


def test_a_finite_run_is_left_alone(tmp_path: Path):
    guard = NonFiniteGuard()
    train(tmp_path, Fragile({}), guard)
    assert guard.skipped == 0
    assert guard.state_dict() == {"skipped": 0}


def test_a_resumed_run_remembers_how_many_were_left_out():
    guard = NonFiniteGuard(skip=3)
    guard.load_state_dict({"skipped": 2})
    assert guard.skipped == 2


def test_a_negative_number_of_steps_is_refused():
    with pytest.raises(UserError, match=r"nan_guard.skip is -1"):
        NonFiniteGuard(skip=-1)
