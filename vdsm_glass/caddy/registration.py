"""CADDY, for `vdsm_glass.registry`."""

from vdsm_glass.registry import ModelKind, register

register(ModelKind(name="caddy", model="vdsm_glass.generate.caddy.CADDYModel", module="vdsm_glass.caddy.CADDYModule"))
