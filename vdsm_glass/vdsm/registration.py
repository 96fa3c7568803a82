"""The two stages of VDSM, for `vdsm_glass.registry`."""

from vdsm_glass.registry import ModelKind, register

register(
    ModelKind(
        name="vdsm_frames", model="vdsm_glass.generate.vdsm.VDSMFramesModel", module="vdsm_glass.vdsm.VDSMPretrain"
    )
)
register(ModelKind(name="vdsm", model="vdsm_glass.generate.vdsm.VDSMModel", module="vdsm_glass.vdsm.VDSMSequence"))
