from pathlib import Path

import pytest
import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from torch.utils.data import DataLoader

from callbacks import NonFiniteError, NonFiniteGuard
from data_modules.batch import VideoBatch


class Spoilt(LightningModule):
    """Two terms, one of which is `value` from step `first` on for `length` steps."""

    def __init__(self, *, value: float, first: int = 3, length: int = 1, in_gradient: bool = False) -> None:
        super().__init__()
        self.layer = torch.nn.Linear(1, 1)
        self.value, self.steps, self.in_gradient = value, range(first, first + length), in_gradient
        self.seen: list[torch.Tensor] = []
        self.calls = 0

    def training_step(self, batch: VideoBatch) -> torch.Tensor:
        self.seen.append(self.layer.weight.detach().clone())
        prediction = self.layer(batch.video.mean(dim=(1, 2, 3, 4)).unsqueeze(1))
        terms = {"reconstruction": prediction.square().mean(), "kl_z": prediction.abs().mean()}
        if self.calls in self.steps:
            if self.in_gradient:
                # Zero, with an infinite slope.
                terms["kl_z"] = torch.sqrt((prediction - prediction.detach()).abs().sum())
            else:
                terms["kl_z"] = terms["kl_z"] * self.value
        self.calls += 1
        self.last_terms = {name: term.detach() for name, term in terms.items()}
        return terms["reconstruction"] + terms["kl_z"]

    def configure_optimizers(self) -> torch.optim.Optimizer:
        return torch.optim.Adam(self.parameters(), lr=0.1)


def fit(module: Spoilt, folder: Path, guard: NonFiniteGuard) -> Trainer:
    seed_everything(0, verbose=False)
    unknown = torch.full((2,), -1)
    batches = [
        VideoBatch(torch.rand(2, 1, 3, 2, 2), identity=unknown, action=unknown, clip=torch.tensor([i, 100 + i]))
        for i in range(6)
    ]
    trainer = Trainer(
        default_root_dir=folder,
        accelerator="cpu",
        max_epochs=1,
        logger=False,
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[guard],
        gradient_clip_val=1.0,
    )
    trainer.fit(module, DataLoader(batches, batch_size=None))
    return trainer


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
@pytest.mark.parametrize("value", [float("nan"), float("inf"), -float("inf")])
def test_stops_before_the_weights_are_touched_and_names_term_step_and_clips(value: float, tmp_path: Path):
    module = Spoilt(value=value)
    with pytest.raises(NonFiniteError) as caught:
        fit(module, tmp_path, NonFiniteGuard())
    message = str(caught.value)
    assert "loss term kl_z is" in message
    assert "reconstruction" not in message
    assert "step 3" in message
    assert "[3, 103]" in message
    assert torch.equal(module.layer.weight, module.seen[3])


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
def test_a_gradient_that_is_not_finite_is_named_by_its_parameter(tmp_path: Path):
    module = Spoilt(value=1.0, in_gradient=True)
    with pytest.raises(NonFiniteError, match=r"gradient is not finite in layer\.weight"):
        fit(module, tmp_path, NonFiniteGuard())
    assert torch.equal(module.layer.weight, module.seen[3])


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
def test_skipping_leaves_the_step_out_and_goes_on(tmp_path: Path):
    module = Spoilt(value=float("nan"), length=2)
    guard = NonFiniteGuard(skip=2)
    fit(module, tmp_path, guard)
    assert guard.skipped == 2
    assert guard.state_dict() == {"skipped": 2}
    assert torch.equal(module.seen[3], module.seen[4])
    assert torch.equal(module.seen[3], module.seen[5])
    assert not torch.equal(module.layer.weight, module.seen[5])
    assert bool(torch.isfinite(module.layer.weight).all())


@pytest.mark.filterwarnings("ignore:The 'train_dataloader' does not have many workers")
def test_no_more_than_skip_steps_are_left_out(tmp_path: Path):
    with pytest.raises(NonFiniteError, match="1 such steps were left out"):
        fit(Spoilt(value=float("nan"), length=2), tmp_path, NonFiniteGuard(skip=1))
