"""When things happen: what runs between the steps of a LightningModule."""
# ruff: noqa: F401 -- the imports below are what type checkers see of `__getattr__`.

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from callbacks.action_evaluation import ActionEvaluation
    from callbacks.action_pictures import ActionPictures
    from callbacks.action_schedules import ActionSchedules, CADDYSchedules
    from callbacks.checkpoint import RunCheckpoint
    from callbacks.checkpoint_io import AtomicCheckpointIO
    from callbacks.clock import Clock
    from callbacks.codebook import CodebookHealth
    from callbacks.csv_logger import RunCSVLogger
    from callbacks.disentanglement import Disentanglement
    from callbacks.evaluation import Evaluation
    from callbacks.fitted_density import FittedDensity
    from callbacks.glass_evaluation import GLASSEvaluation
    from callbacks.glass_pictures import GLASSPictures
    from callbacks.glass_schedules import GLASSSchedules
    from callbacks.graceful_stop import GracefulStop
    from callbacks.judge_evaluation import JudgeEvaluation
    from callbacks.kl_annealing import KLAnnealing
    from callbacks.latents import LatentWriter
    from callbacks.learning import LearningPage
    from callbacks.median_ground import MedianGround
    from callbacks.nan_guard import NonFiniteError, NonFiniteGuard
    from callbacks.pictures import VDSMPictures
    from callbacks.rng_state import RNGState
    from callbacks.run_folder import RunFolder
    from callbacks.sync_batch_norm import SyncBatchNorm
    from callbacks.wandb_logger import RunWandbLogger
    from callbacks.weight_average import WeightAverage

_MODULES = {
    "ActionEvaluation": "action_evaluation",
    "ActionPictures": "action_pictures",
    "ActionSchedules": "action_schedules",
    "AtomicCheckpointIO": "checkpoint_io",
    "CADDYSchedules": "action_schedules",
    "Clock": "clock",
    "CodebookHealth": "codebook",
    "Disentanglement": "disentanglement",
    "Evaluation": "evaluation",
    "FittedDensity": "fitted_density",
    "GLASSEvaluation": "glass_evaluation",
    "GLASSPictures": "glass_pictures",
    "GLASSSchedules": "glass_schedules",
    "GracefulStop": "graceful_stop",
    "JudgeEvaluation": "judge_evaluation",
    "KLAnnealing": "kl_annealing",
    "LatentWriter": "latents",
    "LearningPage": "learning",
    "MedianGround": "median_ground",
    "NonFiniteError": "nan_guard",
    "NonFiniteGuard": "nan_guard",
    "RNGState": "rng_state",
    "RunCSVLogger": "csv_logger",
    "RunCheckpoint": "checkpoint",
    "RunFolder": "run_folder",
    "RunWandbLogger": "wandb_logger",
    "SyncBatchNorm": "sync_batch_norm",
    "VDSMPictures": "pictures",
    "WeightAverage": "weight_average",
}
__all__ = list(_MODULES)  # pyright: ignore[reportUnsupportedDunderAll]


def __getattr__(name: str) -> Any:
    """Imports a callback when its name is first used, so that a program pays only for the callbacks that it uses."""
    if name not in _MODULES:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    return getattr(import_module(f"callbacks.{_MODULES[name]}"), name)
