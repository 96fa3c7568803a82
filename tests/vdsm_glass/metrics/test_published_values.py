"""Numbers that others published, reached with the published weights; each test skips where its weights are absent.

`vdsm-glass weights fetch` gets them; `VDSM_GLASS_CACHE` says where they are.
"""

from __future__ import annotations

import gc
import os
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import Tensor

from vdsm_glass import published_weights
from vdsm_glass.metrics import features
from vdsm_glass.metrics.detection import person_detector
from vdsm_glass.metrics.frechet import FID, FVD
from vdsm_glass.metrics.similarity import lpips_network


def weights(key: str) -> Path:
    """The file; skips without."""
    name = published_weights.WEIGHTS[key].name
    for path in published_weights.places(name):
        if path.is_file():
            return path
    pytest.skip(f"no weights {name}: `vdsm-glass weights fetch {key}`")


def noise(seed: int) -> Tensor:
    """Clip after clip of 128, uniform in [0, 1), (128, 16, 3, 224, 224)."""
    video = np.random.RandomState(seed).rand(128, 16, 224, 224, 3).astype(np.float32)
    return torch.from_numpy(video).permute(0, 1, 4, 2, 3)


@pytest.mark.thorough
def test_fvd_of_uniform_noise():
    """10.13808 by TensorFlow's original and by StyleGAN-V.  [github.com/universome/fvd-comparison]

    There noise from 0 to 1 goes into the network as it is, which for us is half of the range, from 0.5 to 1.
    """
    metric = FVD(features.i3d(weights("i3d")))
    for real, seed in ((False, 1), (True, 2)):
        for clips in noise(seed).split(8):
            metric.update((clips + 1) / 2, real=real)
        gc.collect()
    assert float(metric.compute()) == pytest.approx(10.13808, abs=2e-3)


@pytest.mark.thorough
def test_fvd_of_black_against_white():
    """151.168 by github.com/JunyaoHu/common_metrics_on_video_quality."""
    metric = FVD(features.i3d(weights("i3d")))
    metric.update(torch.zeros(8, 30, 3, 64, 64), real=True)
    metric.update(torch.ones(8, 30, 3, 64, 64), real=False)
    assert float(metric.compute()) == pytest.approx(151.168, abs=0.05)


def test_lpips_of_black_against_white():
    """0.81401 by the same, who take the mean of the map that LPIPS draws at the frames' size."""
    network = lpips_network("alex", weights("alexnet"))
    network.network.spatial = True
    found = network(torch.zeros(1, 3, 64, 64), torch.ones(1, 3, 64, 64))
    assert float(found.mean()) == pytest.approx(0.8140147, abs=1e-4)


@pytest.mark.thorough
def test_fid_of_cifar_10():
    """10.3233274 between the first 5000 training and 5000 test pictures, by torch-fidelity's own check.

    CIFAR-10 lies where VDSM_GLASS_TEST_CIFAR10 says, as torchvision keeps it.
    """
    from torchvision.datasets import CIFAR10

    extractor = features.inception(weights("inception"))
    root = os.environ.get("VDSM_GLASS_TEST_CIFAR10")
    if not root:
        pytest.skip("no CIFAR-10: set VDSM_GLASS_TEST_CIFAR10")
    metric = FID(extractor)
    for train in (True, False):
        pixels = torch.from_numpy(CIFAR10(root, train=train).data[:5000]).permute(0, 3, 1, 2).float() / 255
        for frames in pixels.split(500):
            metric.update(frames[:, None], real=not train)
    assert float(metric.compute()) == pytest.approx(10.3233274, abs=1e-3)


def test_the_detector_of_the_published_file_finds_nobody_in_black():
    detector, checksum = person_detector(weights("fasterrcnn"))
    assert checksum == published_weights.WEIGHTS["fasterrcnn"].sha256
    (found,) = detector(torch.zeros(1, 3, 96, 256))
    assert not (found["scores"] > 0.8).any()
