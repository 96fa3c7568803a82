"""The DSVAE family, for `vdsm_glass.registry`."""

from vdsm_glass.registry import ModelKind, register

register(
    ModelKind(name="dsvae", model="vdsm_glass.dsvae.model.DSVAEModel", module="vdsm_glass.dsvae.module.DSVAEModule")
)
