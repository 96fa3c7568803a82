"""Weights that others trained and published: which ones are used, where they are found, and how they are read.

`vdsm-glass weights fetch` downloads them.
"""

from __future__ import annotations

import hashlib
import os
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from data_modules.common.download import RemoteFile
from data_modules.common.errors import UserError

CACHE = "VDSM_GLASS_CACHE"


@dataclass(frozen=True)
class PublishedWeights:
    """A file of weights.

    Args:
        name: of the file in our cache.
        size: in bytes.
        sha256: torchvision and torch-fidelity publish its first eight digits in the file's name; that of I3D is the one
            which several independent projects publish.
        used_by: the metric or loss that needs it.
    """

    name: str
    address: str
    size: int
    sha256: str
    licence: str
    used_by: str

    @property
    def file(self) -> RemoteFile:
        """The size and checksum that a download must have."""
        return RemoteFile(bytes=self.size, sha256=self.sha256)


def _torchvision(name: str, size: int, sha256: str, used_by: str) -> PublishedWeights:
    address = f"https://download.pytorch.org/models/{name}"
    return PublishedWeights(name, address, size, sha256, "BSD-3-Clause (torchvision)", used_by)


WEIGHTS = {
    "vgg19": _torchvision(
        "vgg19-dcbb9e9d.pth",
        size=574673361,
        sha256="dcbb9e9dad569fff7a846263a77324fc34978fea2bfb039c012d710e1776ae44",
        used_by="GLASS's perceptual loss",
    ),
    "inception": PublishedWeights(
        name="weights-inception-2015-12-05-6726825d.pth",
        address="https://github.com/toshas/torch-fidelity/releases/download/v0.2.0/"
        "weights-inception-2015-12-05-6726825d.pth",
        size=95628359,
        sha256="6726825d0af5f729cebd5821db510b11b1cfad8faad88a03f1befd49fb9129b2",
        licence="Apache-2.0 (TensorFlow models)",
        used_by="fid, kid",
    ),
    "i3d": PublishedWeights(
        # TF-Hub's network, ported for StyleGAN-V, whose code has this link. Its authors publish no checksum.
        name="i3d_torchscript.pt",
        address="https://www.dropbox.com/s/ge9e5ujwgetktms/i3d_torchscript.pt?dl=1",
        size=51235320,
        sha256="bec6519f66ea534e953026b4ae2c65553c17bf105611c746d904657e5860a5e2",
        licence="Apache-2.0 (DeepMind's kinetics-i3d)",
        used_by="fvd",
    ),
    "vgg16": _torchvision(
        "vgg16-397923af.pth",
        size=553433881,
        sha256="397923af8e79cdbb6a7127f12361acd7a2f83e06b05044ddf496e83de57a5bf0",
        used_by="lpips_vgg",
    ),
    "alexnet": _torchvision(
        "alexnet-owt-7be5be79.pth",
        size=244408911,
        sha256="7be5be791159472b1fbf3c69796f7cb30dca7ad8466c2df70058c37116cdee02",
        used_by="lpips_alex",
    ),
    "squeezenet1_1": _torchvision(
        "squeezenet1_1-b8a52dc0.pth",
        size=4958839,
        sha256="b8a52dc049b60e4b6ab68ad0df457362afab8b6304b2febdc1650a5dab4d7e7b",
        used_by="lpips_squeeze",
    ),
    "fasterrcnn": _torchvision(
        "fasterrcnn_resnet50_fpn_coco-258fb6c6.pth",
        size=167502836,
        sha256="258fb6c638b15964ddcdd1ae0748c5eef1be9e732750120cc857feed3faac384",
        used_by="add_mdr",
    ),
}

LPIPS_BACKBONES = {"vgg": "vgg16", "alex": "alexnet", "squeeze": "squeezenet1_1"}
"""The key in `WEIGHTS` of each LPIPS net's backbone; the package `lpips` ships the linear layers."""
I3D_FEWEST_FRAMES = 10
"""I3D gives no features of clips with fewer frames."""


def cache_folder() -> Path:
    """The folder of published weights: that which `VDSM_GLASS_CACHE` names, or one in the user's cache."""
    if named := os.environ.get(CACHE):
        return Path(named)
    return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "vdsm_glass"


def places(name: str) -> list[Path]:
    """The paths at which a file of that name may lie: in our cache, then in PyTorch Hub's."""
    import torch

    return [cache_folder() / name, Path(torch.hub.get_dir()) / "checkpoints" / name]


def find(key: str, *, given: Path | None, wanted_by: str, otherwise: str) -> Path:
    """The file of `WEIGHTS[key]`: `given`, or the one in our cache, or the one in PyTorch Hub's.

    Args: wanted_by, what needs it, and otherwise, what to do without it, for the message.
    Raises: UserError, there is no such file.
    """
    weights = WEIGHTS[key]
    tried = [given] if given else places(weights.name)
    for place in tried:
        if place.is_file():
            return place
    raise UserError(
        f"{wanted_by} needs the weights {weights.name}, which are not there: looked for "
        f"{' and '.join(map(str, tried))}. Run `vdsm-glass weights fetch {key}`, or download {weights.address} to "
        f"{tried[0]}, or {otherwise}"
    )


def find_for_metric(key: str, *, given: Path | None, metric: str) -> Path:
    """As `find`, for a metric.  Raises: as `find`."""
    return find(key, given=given, wanted_by=f"the metric {metric}", otherwise=f"leave {metric} out")


def read_state(path: Path, *, of: str) -> dict[str, Any]:
    """The tensors of a file by name; nothing else is unpickled.  Raises: UserError, it holds no tensors."""
    import torch

    try:
        state = torch.load(path, weights_only=True, map_location="cpu")
        tensors = {name: value for name, value in state.items() if isinstance(value, torch.Tensor)}
    except Exception as error:  # a foreign file may raise anything; all of it means the same
        raise UserError(
            f"{path} holds no weights of {of} ({type(error).__name__}: {error}); download it again"
        ) from error
    if not tensors:
        raise UserError(f"{path} holds no weights of {of}: no tensors are in it; download it again")
    return tensors


def sha256(path: Path) -> str:
    """The hexadecimal SHA-256 of a file's bytes."""
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
