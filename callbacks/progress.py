"""Shows the progress of a callback on the trainer's progress bar."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager

from lightning.pytorch import Trainer
from lightning.pytorch.callbacks import RichProgressBar, TQDMProgressBar


@contextmanager
def progress(trainer: Trainer, clips: int) -> Iterator[Callable[[int], object]]:
    """Yields a function to call with the number of clips just done; without a trainer's bar it shows nothing."""
    bar = trainer.progress_bar_callback
    if isinstance(bar, RichProgressBar) and (shown := bar.progress) is not None:
        # rich allows one live display at a time.
        task = shown.add_task("Scoring", total=clips)
        try:
            yield lambda done: shown.update(task, advance=done, refresh=True)
        finally:
            shown.remove_task(task)
    elif isinstance(bar, TQDMProgressBar) and not bar.is_disabled:
        from tqdm import tqdm

        with tqdm(total=clips, desc="Scoring", leave=False) as line:
            yield line.update
    else:
        yield lambda _: None
