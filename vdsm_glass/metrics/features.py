"""Networks whose features metrics compare: the published ones, and stand-ins with random weights."""

from __future__ import annotations

import hashlib
import io
import warnings
from collections.abc import Iterable
from itertools import pairwise
from pathlib import Path
from weakref import ReferenceType, ref

import torch
import torch.nn.functional as F
from einops import rearrange
from torch import Tensor, nn
from torch.nn.utils import skip_init

from data_modules.common.errors import UserError
from vdsm_glass import published_weights

I3D_SIDE = 224
DINOV2_ADDRESS = "https://dl.fbaipublicfiles.com/dinov2/dinov2_vitl14/dinov2_vitl14_pretrain.pth"


class Extractor(nn.Module):
    """A frozen network, always in eval mode, from frames (n, 3, h, w) or clips (n, t, 3, h, w) to features (n, f).

    Args:
        name: of the network, for reports.
        checksum: SHA-256 of its file, or of its parameters if they are random.
        num_features: f.
    """

    def __init__(self, network: nn.Module, *, name: str, checksum: str, num_features: int) -> None:
        super().__init__()
        self.network = network.eval()
        for parameter in network.parameters():  # a TorchScript module has no requires_grad_
            parameter.requires_grad_(False)
        self.name = name
        self.checksum = checksum
        self.num_features = num_features
        self._seen: list[tuple[ReferenceType[Tensor], int, Tensor]] = []

    @property
    def info(self) -> dict[str, str]:
        """The name and checksum, for reports."""
        return {"network": self.name, "checksum": self.checksum}

    def train(self, mode: bool = True) -> Extractor:  # noqa: ARG002
        """Leaves the network in eval mode, whatever `mode`."""
        return super().train(False)

    def forward(self, x: Tensor) -> Tensor:
        """(n, ...) in [0, 1] -> (n, f)."""
        return self.network(x)

    @torch.no_grad()
    def of_frames(self, video: Tensor, *, chunk: int) -> Tensor:
        """The features of all frames; metrics that share this network and get the same two tensors compute them once.

        Args: video (b, t, 3, h, w) in [0, 1]; chunk, frames that the network is given at once.   Returns: (b t, f).
        """
        # Tensors of inference mode count no versions; what is given to metrics is not written to.
        version = 0 if video.is_inference() else video._version
        self._seen = [each for each in self._seen if each[0]() is not None]
        for seen, its_version, features in self._seen:
            if seen() is video and its_version == version:
                return features
        frames = rearrange(video, "b t c h w -> (b t) c h w").split(chunk)
        features = torch.cat([self(part.float()) for part in frames])
        # The real and the generated side.
        self._seen = [*self._seen[-1:], (ref(video), version, features)]
        return features


class Fidelity(Extractor):
    """A network of torch-fidelity, which gets bytes: Inception 2015-12-05's last pooling, or DINOv2."""

    def forward(self, x: Tensor) -> Tensor:
        """Frames (n, 3, h, w) in [0, 1] -> (n, f): 2048 numbers of Inception, 1024 of DINOv2."""
        return self.network((x * 255).round().clamp(0, 255).to(torch.uint8))[0]


class I3D(Extractor):
    """TF-Hub's I3D of Kinetics-400 as a TorchScript file: 400 logits for each clip."""

    def forward(self, x: Tensor) -> Tensor:
        """Clips (n, t, 3, h, w) in [0, 1], t >= 10 -> (n, 400)."""
        frames = rearrange(x, "n t c h w -> (n t) c h w")
        frames = F.interpolate(frames, size=(I3D_SIDE, I3D_SIDE), mode="bilinear", align_corners=False)
        clips = rearrange(2 * frames - 1, "(n t) c h w -> n c t h w", n=len(x))
        return self.network(clips, rescale=False, resize=False, return_features=True)


def inception(weights: Path | None = None, *, metric: str = "fid") -> Extractor:
    """Inception 2015-12-05.  Raises: UserError, `weights`, or the file in the cache, is missing or another file."""
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    path = published_weights.find_for_metric("inception", given=weights, metric=metric)
    # torch-fidelity unpickles what it is given, so it gets a copy of the tensors that were read safely.
    copy = io.BytesIO()
    torch.save(published_weights.read_state(path, of="Inception"), copy)
    copy.seek(0)
    try:
        network = FeatureExtractorInceptionV3("inception-v3-compat", ["2048"], feature_extractor_weights_path=copy)
    except RuntimeError as error:
        raise UserError(f"{path} does not fit Inception 2015-12-05; download it again: {error}") from error
    checksum = published_weights.sha256(path)
    return Fidelity(network, name="inception-2015-12-05", checksum=checksum, num_features=2048)


def dinov2_files() -> tuple[Path, Path]:
    """The folder of DINOv2's code and its file of weights, as PyTorch Hub keeps them."""
    hub = Path(torch.hub.get_dir())
    return hub / "facebookresearch_dinov2_main", hub / "checkpoints" / Path(DINOV2_ADDRESS).name


def dinov2(weights: Path | None = None) -> Extractor:
    """DINOv2 ViT-L/14 through torch-fidelity, for the distance of Stein et al. (2023).

    It is used only where its code and its weights are already there: nothing is downloaded.
    Raises: UserError, one of them is not, or `weights` were given.
    """
    if weights is not None:
        raise UserError(f"fd_dinov2 takes no file, and {weights} was given; it reads {dinov2_files()[1]}")
    folder, file = dinov2_files()
    if missing := [str(place) for place in (folder, file) if not place.exists()]:
        raise UserError(
            f"the metric fd_dinov2 needs DINOv2's code in {folder} and its weights in {file}, and {', '.join(missing)} "
            "is not there. Clone https://github.com/facebookresearch/dinov2 to the first, download "
            f"{DINOV2_ADDRESS} to the second, or leave fd_dinov2 out"
        )
    from torch_fidelity.feature_extractor_dinov2 import FeatureExtractorDinoV2

    network = FeatureExtractorDinoV2("dinov2-vit-l-14", ["dinov2"])
    checksum = published_weights.sha256(file)
    return Fidelity(network, name="dinov2-vit-l-14", checksum=checksum, num_features=1024)


def i3d(weights: Path | None = None, *, metric: str = "fvd") -> Extractor:
    """I3D of Kinetics-400.  Raises: UserError, `weights`, or the file in the cache, is missing or another file."""
    path = published_weights.find_for_metric("i3d", given=weights, metric=metric)
    try:
        with warnings.catch_warnings():
            # The published file is TorchScript, which newer versions of torch read with a warning.
            warnings.filterwarnings("ignore", message="`torch.jit.load` is deprecated", category=FutureWarning)
            network = torch.jit.load(path, map_location="cpu")
    except RuntimeError as error:
        raise UserError(f"{path} is not a TorchScript file; download it again ({error})") from error
    return I3D(network, name="i3d-kinetics-400", checksum=published_weights.sha256(path), num_features=400)


def random_frame_features(seed: int = 0) -> Extractor:
    """A small network with random weights, for frames of any size; it sees colours and edges, but no objects."""
    return _random(nn.Conv2d, nn.AdaptiveAvgPool2d(1), seed=seed)


def random_video_features(seed: int = 0) -> Extractor:
    """As `random_frame_features`, for clips: it also convolves over time."""
    return _random(nn.Conv3d, nn.AdaptiveAvgPool3d(1), seed=seed)


class RandomFeatures(Extractor):
    """A stand-in with random weights."""

    def forward(self, x: Tensor) -> Tensor:
        """(n, 3, h, w) or (n, t, 3, h, w) in [0, 1] -> (n, 64)."""
        return self.network(rearrange(2 * x - 1, "n t c h w -> n c t h w") if x.ndim == 5 else 2 * x - 1)


def _random(convolution: type[nn.Module], pool: nn.Module, *, seed: int) -> Extractor:
    widths = (3, 16, 32, 64)
    layers: list[nn.Module] = []
    for c_in, c_out in pairwise(widths):
        layers += [skip_init(convolution, c_in, c_out, kernel_size=3, stride=2, padding=1), nn.ReLU()]
    draw_weights(layers, seed=seed)
    network = nn.Sequential(*layers, pool, nn.Flatten())
    return RandomFeatures(network, name="random_features", checksum=parameters_sha256(network), num_features=widths[-1])


@torch.no_grad()
def draw_weights(modules: Iterable[nn.Module], *, seed: int) -> None:
    """Draws the parameters of convolutions and linear layers uniformly within ±1/√fan_in, as PyTorch does.

    They come from a generator of their own. The global one belongs to all threads of a process: in a Dask worker,
    another thread may draw from it between our seed and our weights.
    """
    generator = torch.Generator().manual_seed(seed)
    for module in modules:
        if isinstance(weight := getattr(module, "weight", None), Tensor):
            bound = weight[0].numel() ** -0.5
            for parameter in module.parameters(recurse=False):
                parameter.uniform_(-bound, bound, generator=generator)


def parameters_sha256(network: nn.Module) -> str:
    """SHA-256 of the bytes of all parameters, in the order of `state_dict`."""
    digest = hashlib.sha256()
    for value in network.state_dict().values():
        digest.update(value.numpy(force=True).tobytes())
    return digest.hexdigest()
