"""When things happen: what runs between the steps of a LightningModule."""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from callbacks.checkpoint import RunCheckpoint
    from callbacks.checkpoint_io import AtomicCheckpointIO
    from callbacks.codebook import CodebookHealth
    from callbacks.csv_logger import RunCSVLogger
    from callbacks.disentanglement import Disentanglement
    from callbacks.evaluation import Evaluation
    from callbacks.glass_evaluation import GLASSEvaluation
    from callbacks.glass_pictures import GLASSPictures
    from callbacks.glass_schedules import GLASSSchedules
    from callbacks.graceful_stop import GracefulStop
    from callbacks.judge_evaluation import JudgeEvaluation
    from callbacks.kl_annealing import KLAnnealing
    from callbacks.latents import LatentWriter
    from callbacks.nan_guard import NonFiniteError, NonFiniteGuard
    from callbacks.pictures import VDSMPictures
    from callbacks.rng_state import RNGState
    from callbacks.run_folder import RunFolder
    from callbacks.wandb_logger import RunWandbLogger
    from callbacks.weight_average import WeightAverage

_HOMES = {
    "AtomicCheckpointIO": "callbacks.checkpoint_io",
    "CodebookHealth": "callbacks.codebook",
    "Disentanglement": "callbacks.disentanglement",
    "Evaluation": "callbacks.evaluation",
    "GLASSEvaluation": "callbacks.glass_evaluation",
    "GLASSPictures": "callbacks.glass_pictures",
    "GLASSSchedules": "callbacks.glass_schedules",
    "GracefulStop": "callbacks.graceful_stop",
    "JudgeEvaluation": "callbacks.judge_evaluation",
    "KLAnnealing": "callbacks.kl_annealing",
    "LatentWriter": "callbacks.latents",
    "NonFiniteError": "callbacks.nan_guard",
    "NonFiniteGuard": "callbacks.nan_guard",
    "RNGState": "callbacks.rng_state",
    "RunCSVLogger": "callbacks.csv_logger",
    "RunCheckpoint": "callbacks.checkpoint",
    "RunFolder": "callbacks.run_folder",
    "RunWandbLogger": "callbacks.wandb_logger",
    "VDSMPictures": "callbacks.pictures",
    "WeightAverage": "callbacks.weight_average",
}

__all__ = [
    "AtomicCheckpointIO",
    "CodebookHealth",
    "Disentanglement",
    "Evaluation",
    "GLASSEvaluation",
    "GLASSPictures",
    "GLASSSchedules",
    "GracefulStop",
    "JudgeEvaluation",
    "KLAnnealing",
    "LatentWriter",
    "NonFiniteError",
    "NonFiniteGuard",
    "RNGState",
    "RunCSVLogger",
    "RunCheckpoint",
    "RunFolder",
    "RunWandbLogger",
    "VDSMPictures",
    "WeightAverage",
]


def __getattr__(name: str) -> Any:
    """Import a callback when it is first named, so that one that needs W&B costs those nothing who do without."""
    if name not in _HOMES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(_HOMES[name]), name)
