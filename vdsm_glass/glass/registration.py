"""GLASS, for `vdsm_glass.registry`."""

from vdsm_glass.registry import ModelKind, register

register(ModelKind(name="glass", model="vdsm_glass.generate.glass.GLASSModel", module="vdsm_glass.glass.GLASSModule"))
