"""Exported models: a folder with weights, sizes and a page about them, and nothing in it that could run."""

from __future__ import annotations

import hashlib
import json
import platform
import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict
from importlib.metadata import version
from pathlib import Path
from typing import Any

import torch
import yaml
from safetensors import SafetensorError
from safetensors.torch import load, save_file
from torch import nn

from data_modules.common.errors import UserError
from vdsm_glass.architecture import BESIDE, UNFIT, Architecture, load_checkpoint
from vdsm_glass.box.place import ABOUT, located
from vdsm_glass.checkpoints import CheckpointError
from vdsm_glass.generate.vocabulary import Model
from vdsm_glass.model_card import card
from vdsm_glass.registry import kind_named
from vdsm_glass.runs import CONFIG as RUN_CONFIG
from vdsm_glass.runs import run_of

WEIGHTS, CONFIG, CARD = "weights.safetensors", "config.json", "README.md"
FORMAT = "vdsm-glass model 1"
LARGEST_CONFIG = 1 << 20
LARGEST_SIDE = 4096


def read(path: Path | str, *, device: torch.device | str = "cpu") -> Model:
    """The model of a checkpoint, of a folder that `export` wrote, or whatever else `located` finds.

    Raises: UserError, there is none of that name; CheckpointError, a
        file is missing, cut short, foreign, or does not fit; no code from a file is run.
    """
    path = located(path)
    if path.is_dir():
        architecture, network, size = _read_exported(path)
    else:
        (architecture, network), size = load_checkpoint(path), trained_on(path)
    made = kind_named(architecture.kind).model_class
    return made(network, architecture=architecture, trained_on=size, device=device)


def _read_exported(folder: Path) -> tuple[Architecture, nn.Module, tuple[int, int] | None]:
    """What a folder that `export` wrote holds, and the frame size it names.  Raises: CheckpointError."""
    if not (folder / CONFIG).is_file() or not (folder / WEIGHTS).is_file():
        runs = sorted(str(file.relative_to(folder)) for file in folder.glob("**/checkpoints/last.ckpt"))[:3]
        hint = f"give a checkpoint in it, {', '.join(runs)}" if runs else "write one with `vdsm-glass export CKPT DIR`"
        raise CheckpointError(f"{folder}: no exported model: it needs {CONFIG} and {WEIGHTS}; {hint}")
    architecture, size, digest = read_config(folder / CONFIG)
    weights = folder / WEIGHTS
    content = weights.read_bytes()
    try:
        state = load(content)
    except (SafetensorError, *UNFIT) as error:
        raise CheckpointError(
            f"{weights}: cannot be read as safetensors ({error}): it was cut short or is another kind of file; copy it "
            "again, or export the checkpoint again"
        ) from error
    if hashlib.sha256(content).hexdigest() != digest:
        raise CheckpointError(
            f"{weights}: is not the file that {CONFIG} beside it was written for (its SHA-256 differs); copy both again"
        )
    try:
        return architecture, architecture.filled(state), size
    except UNFIT as error:
        raise CheckpointError(
            f"{folder / CONFIG}: does not describe {WEIGHTS} beside it ({error}); copy both again, or export again"
        ) from error


def read_config(file: Path) -> tuple[Architecture, tuple[int, int] | None, str]:
    """Architecture, frame size and the SHA-256 of the weights.  Raises: CheckpointError."""
    try:
        if file.stat().st_size > LARGEST_CONFIG:
            raise ValueError(f"{file.stat().st_size} bytes are too many for it")
        content = json.loads(file.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"its format is {str(content['format'])[:60]!r}, expected {FORMAT!r}")
        architecture = Architecture(kind=content["kind"], arguments=content["arguments"])
        return architecture, _checked_size(content["frame_size"]), str(content["weights_sha256"])
    except (OSError, *UNFIT) as error:
        raise CheckpointError(
            f"{file}: is not the description of a model ({type(error).__name__}: {error}); export it again, or "
            "install the version of vdsm-glass that wrote it"
        ) from error


def export(checkpoint: Path, folder: Path) -> Path:
    """Writes weights, sizes and a page about a trained model; the folder is there in whole, or not at all.

    A model of the box, or one that was such a folder, is copied with its clips and its own page.

    Raises: CheckpointError, the checkpoint cannot be read; UserError, the folder is there and not empty, or cannot be
        written.
    """
    checkpoint = located(checkpoint)
    model = read(checkpoint)
    with written_whole(folder) as made:
        if (checkpoint / ABOUT).is_file():
            shutil.copytree(checkpoint, made, dirs_exist_ok=True)
            return folder
        state = {name: value.contiguous() for name, value in model.network.state_dict().items()}
        state |= {f"{BESIDE}{name}": value.contiguous() for name, value in model.carried().items()}
        save_file(state, made / WEIGHTS)
        (made / WEIGHTS).chmod(0o644)
        description = describe(model, digest=hashlib.sha256((made / WEIGHTS).read_bytes()).hexdigest())
        (made / CONFIG).write_text(json.dumps(description, indent=2) + "\n", encoding="utf-8")
        (made / CARD).write_text(card(model, run=run_of(checkpoint)), encoding="utf-8")
    return folder


@contextmanager
def written_whole(folder: Path) -> Iterator[Path]:
    """Within it, a folder to fill, which then becomes `folder`; if the filling fails, nothing is left of it.

    Raises: UserError, the folder is there and not empty, or cannot be written.
    """
    if folder.exists() and (not folder.is_dir() or any(folder.iterdir())):
        raise UserError(f"{folder}: is there already; give the name of a folder that is not, or remove it")
    try:
        folder.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryDirectory(dir=folder.parent, prefix=f".{folder.name}-") as temporary:
            made = Path(temporary) / "made"
            made.mkdir(mode=0o755)
            yield made
            made.replace(folder)
    except OSError as error:
        raise UserError(f"{folder} cannot be written: {error}. Name another folder.") from error


def describe(model: Model, *, digest: str) -> dict[str, Any]:
    """What config.json says."""
    assert model.architecture
    return {
        "format": FORMAT,
        **asdict(model.architecture),
        "frame_size": model.size,
        "weights_sha256": digest,
        "versions": {
            "vdsm-glass": version("vdsm-glass"),
            "torch": str(torch.__version__),
            "python": platform.python_version(),
        },
    }


def trained_on(checkpoint: Path) -> tuple[int, int] | None:
    """Height and width of the frames that a checkpoint's run was trained on, if its config.yaml says so."""
    run = run_of(checkpoint)
    if run is None:
        return None
    try:
        size = yaml.safe_load((run / RUN_CONFIG).read_text(encoding="utf-8"))["data"]["init_args"]["size"]
        return _checked_size([size, size] if isinstance(size, int) else size)
    except (OSError, yaml.YAMLError, *UNFIT):
        return None


def _checked_size(size: Any) -> tuple[int, int] | None:
    if size is None:
        return None
    height, width = size
    if not all(type(side) is int and 0 < side <= LARGEST_SIDE for side in (height, width)):
        raise ValueError(f"frame_size is {size!r}, expected height and width in pixels")
    return height, width
