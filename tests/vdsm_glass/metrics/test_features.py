"""Extractors of published weights: how they feed their networks, and that their files are read safely."""

from __future__ import annotations

import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from data_modules.common.errors import UserError
from vdsm_glass import published_weights
from vdsm_glass.metrics import features
from vdsm_glass.metrics.frechet import FID, FVD

SIDE = 224


class Logits(nn.Module):
    """As the I3D file's interface: 400 numbers a clip, which tell a clip's range, size and order of dimensions."""

    def forward(self, x: Tensor, rescale: bool = False, resize: bool = False, return_features: bool = False) -> Tensor:
        assert [rescale, resize, return_features] == [False, False, True]
        assert [x.size(1), x.size(3), x.size(4)] == [3, 224, 224]
        rows = torch.cat([x.mean(dim=(2, 3, 4)), x.amin(dim=(1, 2, 3, 4))[:, None], x[:, :, :, 0, 0].flatten(1)], dim=1)
        return torch.nn.functional.pad(rows, (0, 400 - rows.size(1)))


@pytest.fixture(scope="module")
def i3d_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("weights") / published_weights.WEIGHTS["i3d"].name
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # making such files is deprecated; reading them is not
        torch.jit.script(Logits()).save(path)
    return path


def test_i3d_gets_clips_of_224_pixels_from_minus_one_to_one(i3d_file: Path):
    extractor = features.i3d(i3d_file)
    video = torch.rand(2, 10, 3, 20, 30)
    found = extractor(video)
    assert found.shape == (2, 400)
    frames = F.interpolate(video.flatten(0, 1), size=(SIDE, SIDE), mode="bilinear", align_corners=False)
    clips = 2 * frames.unflatten(0, (2, 10)) - 1
    torch.testing.assert_close(found[:, :3], clips.mean(dim=(1, 3, 4)))
    torch.testing.assert_close(found[:, 3], clips.amin(dim=(1, 2, 3, 4)))
    torch.testing.assert_close(found[:, 4:34], clips[:, :, :, 0, 0].transpose(1, 2).flatten(1))
    assert FVD(extractor).network_info == {
        "network": "i3d-kinetics-400",
        "checksum": published_weights.sha256(i3d_file),
    }


@pytest.fixture(scope="module")
def inception_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Weights of the right names and shapes, made up: nothing of Inception's can be had here."""
    from torch_fidelity import feature_extractor_inceptionv3 as theirs

    path = tmp_path_factory.mktemp("weights") / published_weights.WEIGHTS["inception"].name
    with pytest.MonkeyPatch.context() as patch, torch.device("meta"):
        patch.setattr(theirs, "load_state_dict_from_url", lambda *args, **kwargs: {})
        patch.setattr(nn.Module, "load_state_dict", lambda self, state: None)
        shapes = theirs.FeatureExtractorInceptionV3("shapes", ["2048"]).state_dict()
    generator = torch.Generator().manual_seed(0)
    state = {}
    for name, value in shapes.items():
        scale = (2 / value[0].numel()) ** 0.5 if value.ndim > 1 else 0.1
        state[name] = (
            torch.randn(value.shape, generator=generator) * scale
            if value.is_floating_point()
            else value.new_zeros((), device="cpu")
        )
        if name.endswith(("bn.weight", "running_var")):
            state[name] = torch.ones(value.shape)
    torch.save(state, path)
    return path


def test_inception_gets_bytes_and_gives_its_last_pooling(inception_file: Path):
    from torch_fidelity.feature_extractor_inceptionv3 import FeatureExtractorInceptionV3

    extractor = features.inception(inception_file)
    pixels = torch.randint(256, (2, 3, 32, 40), dtype=torch.uint8)
    oracle = FeatureExtractorInceptionV3("oracle", ["2048"], feature_extractor_weights_path=str(inception_file))
    found = extractor(pixels.float() / 255)
    assert found.shape == (2, 2048)
    torch.testing.assert_close(found, oracle(pixels)[0], rtol=0, atol=0)
    assert (found[0] - found[1]).abs().max() > 0
    assert FID(extractor).network_info == {
        "network": "inception-2015-12-05",
        "checksum": published_weights.sha256(inception_file),
    }


class Evil:
    """What a hostile file may hold: whoever unpickles it makes a folder."""

    def __init__(self, folder: Path) -> None:
        self.folder = folder

    def __reduce__(self) -> tuple[Any, ...]:
        return Path.mkdir, (self.folder,)


@pytest.mark.parametrize("kind", ["inception", "i3d"])
def test_hostile_and_foreign_files_are_named_and_not_run(kind: str, tmp_path: Path):
    make = {"inception": features.inception, "i3d": features.i3d}[kind]
    for name, content in (("evil", pickle.dumps(Evil(tmp_path / "made"))), ("text", b"log in first"), ("empty", b"")):
        path = tmp_path / name
        path.write_bytes(content)
        with pytest.raises(UserError, match=rf"{name} (holds no weights|is not a TorchScript file)"):
            make(path)
    torch.save({"weight": Evil(tmp_path / "made")}, tmp_path / "zip")
    torch.save({"weight": torch.zeros(3)}, tmp_path / "foreign")
    for name in ("zip", "foreign"):
        with pytest.raises(UserError, match=rf"{name} (holds no weights|does not fit|is not a TorchScript file)"):
            make(tmp_path / name)
    assert not (tmp_path / "made").exists()


@pytest.mark.parametrize("kind", ["inception", "i3d"])
def test_without_the_file_the_error_names_metric_file_source_and_place(
    kind: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setenv(published_weights.CACHE, str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError) as error:
        {"inception": features.inception, "i3d": features.i3d}[kind]()
    weights = published_weights.WEIGHTS[kind]
    metric = f"the metric {weights.used_by.split(', ')[0]} "
    for said in (metric, weights.name, weights.address, str(tmp_path), f"vdsm-glass weights fetch {kind}"):
        assert said in str(error.value)
