"""One small network of each kind that is controlled by one of K actions a frame."""

from __future__ import annotations

from collections.abc import Callable

from tests.vdsm_glass.caddy import small as caddy
from tests.vdsm_glass.latent_actions import small as latent_actions
from vdsm_glass.caddy.module import CADDYModule
from vdsm_glass.discrete.model import DiscreteModel
from vdsm_glass.discrete.module import DiscreteModule
from vdsm_glass.generate.caddy import CADDYModel
from vdsm_glass.generate.latent_actions import LatentActionsModel
from vdsm_glass.latent_actions.module import LatentActionsModule

MODELS: dict[str, Callable[[], DiscreteModel]] = {
    "caddy": lambda: CADDYModel(caddy.small_net()),
    "latent_actions": lambda: LatentActionsModel(latent_actions.small_net()),
}
MODULES: dict[str, Callable[..., DiscreteModule]] = {
    "caddy": lambda **changes: CADDYModule(**({"sizes": caddy.small_sizes(), "perceptual": "none"} | changes)),
    "latent_actions": lambda **changes: LatentActionsModule(**({"sizes": latent_actions.small_sizes()} | changes)),
}
