"""A third model, made here alone: a folder and a recipe, and no line of the program changed for it.

It takes a clip apart into its mean frame, which is the identity, and what each frame adds to that, which is the motion.
"""

from vdsm_glass.registry import ModelKind, register

register(
    ModelKind(
        name="mean_frame",
        model="tests.third_model.model.MeanFrameModel",
        module="tests.third_model.module.MeanFrameModule",
    )
)
