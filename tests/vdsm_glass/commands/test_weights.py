"""`vdsm-glass weights`: what is downloaded is what it should be, and what lies there is told apart from it."""

from __future__ import annotations

import hashlib
from dataclasses import replace
from pathlib import Path

import pytest

from tests.data_modules.common.test_download import CONTENT, Server, server  # noqa: F401
from vdsm_glass import published_weights
from vdsm_glass.cli import main
from vdsm_glass.layers import vgg

NAME = "i3d"


@pytest.fixture(autouse=True)
def cache(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty cache, and no Hub."""
    monkeypatch.setenv(published_weights.CACHE, str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    return tmp_path / "cache"


@pytest.fixture
def served(server: Server, monkeypatch: pytest.MonkeyPatch) -> published_weights.PublishedWeights:  # noqa: F811
    """Weights that the server on this machine has, at an address with a query as Dropbox's."""
    content = CONTENT["a.bin"]
    server.swap = {"i3d.pt?dl=1": content}
    weights = replace(
        published_weights.WEIGHTS[NAME],
        address=f"{server.url}i3d.pt?dl=1",
        size=len(content),
        sha256=hashlib.sha256(content).hexdigest(),
    )
    monkeypatch.setitem(published_weights.WEIGHTS, NAME, weights)
    return weights


def test_what_is_fetched_is_listed_and_checks(
    served: published_weights.PublishedWeights, cache: Path, capsys: pytest.CaptureFixture[str]
):
    assert main(["weights", "check", NAME]) == 2
    assert main(["weights", "fetch", NAME]) == 0
    assert (cache / served.name).read_bytes() == CONTENT["a.bin"]
    capsys.readouterr()
    assert main(["weights", "check", NAME]) == 0
    assert "as published" in capsys.readouterr().out
    assert main(["weights", "list"]) == 0
    listed = capsys.readouterr().out
    for weights in published_weights.WEIGHTS.values():
        for said in (weights.name, weights.address, weights.sha256, weights.licence, weights.used_by):
            assert said in listed
    assert listed.count("not there") == len(published_weights.WEIGHTS) - 1


def test_a_download_that_broke_off_is_taken_up(server: Server, served: published_weights.PublishedWeights, cache: Path):  # noqa: F811
    server.breaks = [100_000, 0]
    assert main(["weights", "fetch", NAME]) == 2
    assert not (cache / served.name).exists()
    assert main(["weights", "fetch", NAME]) == 0
    assert server.asked[-1] == ("i3d.pt?dl=1", "bytes=100000-")


def test_other_content_never_becomes_the_file(
    server: Server,  # noqa: F811
    served: published_weights.PublishedWeights,
    cache: Path,
    capsys: pytest.CaptureFixture[str],
):
    server.swap = {"i3d.pt?dl=1": bytes(served.size)}
    assert main(["weights", "fetch", NAME]) == 2
    assert "another checksum" in capsys.readouterr().err
    assert not (cache / served.name).exists()


def test_a_file_that_is_something_else_is_told(cache: Path, capsys: pytest.CaptureFixture[str]):
    weights = published_weights.WEIGHTS["vgg19"]
    cache.mkdir()
    (cache / weights.name).write_bytes(b"log in first")
    assert main(["weights", "check"]) == 2
    message = capsys.readouterr().err
    for said in (weights.name, "12 bytes", hashlib.sha256(b"log in first").hexdigest(), weights.sha256, "fetch vgg19"):
        assert said in message


def test_offline_nothing_is_asked_for_and_the_place_is_said(cache: Path, capsys: pytest.CaptureFixture[str]):
    assert main(["weights", "fetch", "alexnet", NAME]) == 2
    message = capsys.readouterr().err
    for said in ("VDSM_GLASS_OFFLINE is set", published_weights.WEIGHTS["alexnet"].address, str(cache)):
        assert said in message


def test_a_misspelt_name_is_an_error_with_the_nearest(capsys: pytest.CaptureFixture[str]):
    assert main(["weights", "fetch", "alexnett"]) == 2
    assert "alexnet" in capsys.readouterr().err


def test_names_say_the_first_digits_of_their_checksums():
    """torchvision's and torch-fidelity's do; what was typed into the table must agree with what they publish."""
    digits = {key: Path(weights.name).stem.rpartition("-")[2] for key, weights in published_weights.WEIGHTS.items()}
    assert len(digits.pop("i3d")) != 8
    for key, start in digits.items():
        assert published_weights.WEIGHTS[key].sha256.startswith(start)
        assert len(published_weights.WEIGHTS[key].sha256) == 64


def test_addresses_are_those_of_the_libraries():
    import torchvision.models as models
    from torch_fidelity.feature_extractor_inceptionv3 import URL_INCEPTION_V3
    from torchvision.models.detection import FasterRCNN_ResNet50_FPN_Weights

    theirs = {
        "vgg16": models.VGG16_Weights.IMAGENET1K_V1.url,
        "vgg19": models.VGG19_Weights.IMAGENET1K_V1.url,
        "alexnet": models.AlexNet_Weights.IMAGENET1K_V1.url,
        "squeezenet1_1": models.SqueezeNet1_1_Weights.IMAGENET1K_V1.url,
        "fasterrcnn": FasterRCNN_ResNet50_FPN_Weights.COCO_V1.url,
        "inception": URL_INCEPTION_V3,
    }
    assert {key: published_weights.WEIGHTS[key].address for key in theirs} == theirs
    assert theirs["vgg19"] == vgg.ADDRESS
