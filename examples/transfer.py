"""Load a trained model and make what happens in one video happen to somebody else.

    python examples/transfer.py MODEL SOURCE TARGET made.gif     # your model and videos
    python examples/transfer.py                                  # an untrained model and drawn clips, in seconds

MODEL is runs/.../checkpoints/last.ckpt or a folder of `vdsm-glass export`; SOURCE and TARGET are films, GIFs or folders
of pictures.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path

from vdsm_glass import load, save


def main(arguments: list[str]) -> None:
    """Transfers, and says where the video is."""
    if arguments:
        path, source, target, out = arguments
    else:
        folder = Path(tempfile.mkdtemp(prefix="vdsm-glass-"))
        path, source, target = drawn(folder)
        out = folder / "transferred.gif"
    model = load(path)
    print(model)
    video = model.transfer(source, target)  # (t, 3, h, w) in [0, 1]
    print(save(video, out))


def drawn(folder: Path) -> tuple[Path, Path, Path]:
    """An untrained VDSM's checkpoint, which draws fog, and two clips of pendula, so that the example runs anywhere."""
    import torch

    from data_modules import Pendulum
    from vdsm_glass.vdsm import VDSMSequence
    from vdsm_glass.vdsm.sizes import Sizes

    sizes = Sizes(rnn_layers=1, rnn_dim=16, encoder_channels=(8, 8, 16, 32), decoder_channels=(16, 16, 8))
    module = VDSMSequence(sizes)
    torch.save({"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}, folder / "fog.ckpt")
    data = Pendulum(root=str(folder / "data"), tiny=True, size=32)
    data.prepare_data()
    clips = data.evaluation_dataset("test")[[0, 1]].decoded().video
    return folder / "fog.ckpt", *(save(clip, folder / f"clip_{i}.gif") for i, clip in enumerate(clips))


if __name__ == "__main__":
    main(sys.argv[1:])
