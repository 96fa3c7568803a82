"""The trivial models, for `vdsm_glass.registry`."""

from vdsm_glass.registry import ModelKind, register

for _name, _class in {
    "first_frame": "FirstFrame",
    "nearest_clip": "NearestClip",
    "random_action": "RandomAction",
    "true_shifts": "TrueShifts",
}.items():
    register(
        ModelKind(
            name=_name,
            model=f"vdsm_glass.trivial.models.{_class}Model",
            module=f"vdsm_glass.trivial.modules.{_class}Module",
        )
    )
