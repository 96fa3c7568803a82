"""A page that shows what GLASS has learned so far, and alarms where it learns nothing."""

from __future__ import annotations

import json
import logging
import time
from pathlib import Path
from typing import Any

import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from torch import Tensor

from callbacks.clock import Clock
from callbacks.drawing import clips_of_each_label, scaled
from data_modules.base import VideoDataModule
from data_modules.common.files import write_json
from data_modules.store.format import Split
from vdsm_glass.glass.module import GLASSModule
from vdsm_glass.learn import FINDINGS, LEARNED, PAGE
from vdsm_glass.learn.examine import MEANINGS, Examined, alarms, examine
from vdsm_glass.learn.page import write_page
from vdsm_glass.learn.plan import KINDS
from vdsm_glass.pictures import write_png
from vdsm_glass.registry import model_of

log = logging.getLogger(__name__)

AFTER = 0.5
"""Of a phase has to be over before what it teaches can be missed."""

AT_THE_END = 3.0
"""How many times as long as an examination the last one takes, with the run's pictures."""


class LearningPage(Callback):
    """Examines validation clips every few seconds, writes a page that refreshes by itself, warns once of each alarm.

    At the end test clips are examined. The page is `<home>/page.html`; it begins with what `<home>/findings.json` says.
    Numbers are also in `<run>/learned.json`.

    Args:
        home: the folder of the page.
        seconds: between two examinations, at least; they take a tenth of the time at most.
        clips: how many are examined.
    """

    def __init__(self, home: str, seconds: float = 20.0, clips: int = 4) -> None:
        self.home, self.seconds, self.clips = Path(home), seconds, clips
        self.warned: dict[str, str] = {}
        self._last = self._took = 0.0
        self._videos: dict[Split, Tensor] = {}

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        self._last = time.monotonic()

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: GLASSModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        if trainer.is_global_zero and time.monotonic() - self._last >= max(self.seconds, 10 * self._took):
            self.show(trainer, pl_module, "val")

    def on_train_end(self, trainer: Trainer, pl_module: GLASSModule) -> None:
        if trainer.is_global_zero:
            self.show(trainer, pl_module, "test", refresh=False)

    def show(self, trainer: Trainer, module: GLASSModule, split: Split, *, refresh: bool = True) -> None:
        """Examines clips of `split` and writes the page."""
        began = time.monotonic()
        found = self.examined(trainer, module, split)
        said = trainer.callback_metrics.get("codebook/perplexity")
        clock = next(callback for callback in trainer.callbacks if isinstance(callback, Clock))  # pyright: ignore[reportAttributeAccessIssue]
        step, position, actions, drawing = trainer.global_step, clock.position, module.gma_steps, module.drawing_from
        now = alarms(
            found.numbers,
            theta=module.theta,
            masks=position > AFTER * actions,
            codes=position > actions + AFTER * (drawing - actions),
            drawing=position > drawing + AFTER * (clock.steps[-1] - drawing),
            perplexity=None if said is None else float(said),
        )
        for name, text in now.items():
            if name not in self.warned:
                log.warning("step %d: %s", step, text)
        self.warned |= now
        folder = Path(trainer.default_root_dir)
        numbers = found.numbers | ({} if said is None else {"perplexity": float(said)})
        about = {"step": step, "over": clock.over, "phase": KINDS[clock.phase], "split": split}
        write_json(about | {"numbers": numbers, "alarms": now}, folder / LEARNED)
        pictures = [
            (title, write_png(scaled(picture), self.home / "pictures" / f"{number}.png"))
            for number, (title, picture) in enumerate(found.pictures.items())
        ]
        rows = [(meaning, f"{numbers[name]:.4g}") for name, meaning in MEANINGS.items() if name in numbers]
        findings = self.home / FINDINGS
        write_page(
            self.home / PAGE,
            findings=json.loads(findings.read_text("utf-8")) if findings.is_file() else {},
            state=f"Step {step}, {clock.over:.0%} of the time, {KINDS[clock.phase]}. Of {split} clips.",
            alarms=list(now.values()),
            rows=rows,
            pictures=pictures,
            refresh=refresh,
        )
        self._last = time.monotonic()
        self._took = self._last - began
        clock.kept = AT_THE_END * self._took

    @torch.no_grad()
    def examined(self, trainer: Trainer, module: GLASSModule, split: Split) -> Examined:
        """What a module says of the first clips of `split`."""
        if split not in self._videos:
            data: VideoDataModule = trainer.datamodule  # pyright: ignore[reportAttributeAccessIssue]
            dataset = data.evaluation_dataset(split)
            self._videos[split] = dataset[clips_of_each_label(dataset, "identity", self.clips)].decoded().video
        modes = {part: part.training for part in module.modules()}
        module.eval()
        try:
            ground = module.ground if module.ground is not None and len(module.ground.pictures) == 1 else None
            return examine(model_of(module), self._videos[split].to(module.device), ground)  # pyright: ignore[reportArgumentType]
        finally:
            for part, mode in modes.items():
                part.training = mode

    def state_dict(self) -> dict[str, Any]:
        return {"warned": self.warned}

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        self.warned = state_dict["warned"]
