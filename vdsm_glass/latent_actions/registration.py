"""The latent action model, for `vdsm_glass.registry`."""

from vdsm_glass.registry import ModelKind, register

register(
    ModelKind(
        name="latent_actions",
        model="vdsm_glass.generate.latent_actions.LatentActionsModel",
        module="vdsm_glass.latent_actions.LatentActionsModule",
    )
)
