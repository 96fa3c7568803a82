"""The perceptual loss: VGG-19's features, with weights that are never saved, or one clear error without them."""

from pathlib import Path

import pytest
import torch
import torchvision

from data_modules.common.errors import UserError
from vdsm_glass import published_weights
from vdsm_glass.layers import vgg


@pytest.fixture(scope="module")
def reference() -> torch.nn.Module:
    """torchvision's own VGG-19, its weights drawn at random."""
    torch.manual_seed(0)
    return torchvision.models.vgg19(weights=None).features.eval()


@pytest.fixture(scope="module")
def file(reference: torch.nn.Module, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Such weights in a file as torchvision's are."""
    path = tmp_path_factory.mktemp("weights") / vgg.NAME
    torch.save({f"features.{name}": value for name, value in reference.state_dict().items()}, path)
    return path


def test_the_features_are_those_of_torchvision(reference: torch.nn.Module, file: Path):
    loss = vgg.VGGLoss("vgg19", weights=file)
    pictures = torch.rand(2, 3, 32, 48) * 2 - 1
    normalised = torchvision.transforms.functional.normalize((pictures + 1) / 2, mean=vgg.MEAN, std=vgg.STD)
    with torch.no_grad():
        wanted, x = [], normalised
        for position, layer in enumerate(reference):
            x = layer(x)
            if position in (1, 6, 11, 20, 29):
                wanted.append(x.clone())
        for found, expected in zip(loss.features(pictures), wanted, strict=True):
            torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)


def test_the_loss_is_the_sum_of_mean_distances_and_the_target_has_no_gradient():
    loss = vgg.VGGLoss("random")
    drawn, target = (torch.rand(1, 3, 32, 32, requires_grad=True) for _ in range(2))
    value = loss(drawn, target)
    pairs = zip(loss.features(drawn), loss.features(target), strict=True)
    assert float(value.detach()) == pytest.approx(sum(float((x - y).abs().mean().detach()) for x, y in pairs), rel=1e-5)
    value.backward()
    assert drawn.grad is not None
    assert drawn.grad.abs().sum() > 0
    assert target.grad is None
    assert float(loss(target, target).detach()) == 0


def test_it_is_no_part_of_a_checkpoint_and_is_not_trained():
    module = torch.nn.Sequential(vgg.VGGLoss("random"))
    assert module.state_dict() == {}
    module.load_state_dict({}, strict=True)
    assert not any(parameter.requires_grad for parameter in module.parameters())
    again = vgg.VGGLoss("random")
    assert torch.equal(next(module.parameters()), next(again.parameters()))


def test_without_the_file_one_error_names_it_and_the_switch(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(published_weights.CACHE, str(tmp_path))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path))
    with pytest.raises(UserError, match=r"vgg19-dcbb9e9d\.pth.*--model\.perceptual none"):
        vgg.make("vgg19")
    assert vgg.make("none") is None


def test_the_file_is_found_in_the_cache(file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv(published_weights.CACHE, str(file.parent))
    assert vgg.make("vgg19") is not None


def test_the_file_may_be_of_the_format_that_torchvision_publishes(file: Path, tmp_path: Path):
    """Its size says that it was saved before PyTorch 1.6, whose files cannot be mapped into memory."""
    state = torch.load(file, weights_only=True)
    torch.save(state, tmp_path / vgg.NAME, _use_new_zipfile_serialization=False)
    old, new = (vgg.VGGLoss("vgg19", weights=path) for path in (tmp_path / vgg.NAME, file))
    assert all(torch.equal(*pair) for pair in zip(old.parameters(), new.parameters(), strict=True))


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 not a zip", "foreign", "narrow"])
def test_a_file_that_is_something_else_is_named(content: bytes | str, tmp_path: Path):
    path = tmp_path / vgg.NAME
    if content == "foreign":
        torch.save({"weight": torch.zeros(3)}, path)
    elif content == "narrow":
        torch.save(vgg.random_weights(divide_width_by=8), path)
    else:
        path.write_bytes(content)
    with pytest.raises(UserError, match=r"vgg19-dcbb9e9d\.pth (is not VGG-19|holds no weights of VGG-19)"):
        vgg.VGGLoss("vgg19", weights=path)
