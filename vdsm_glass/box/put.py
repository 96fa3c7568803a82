"""`python -m vdsm_glass.box.put CKPT NAME ...`: puts a trained and tested run into the box, or in the place of another.

What is written needs no run any more: weights and sizes, the numbers of the run's last test, clips of its test split,
and a page that says all of it.
"""

from __future__ import annotations

import argparse
import hashlib
import json
import re
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path

import torch
import yaml
from safetensors.torch import load_file, save_file
from torch import Tensor

from data_modules.base import VideoDataModule
from data_modules.common.errors import UserError
from data_modules.common.files import write_json
from vdsm_glass.box.clips import write_clips
from vdsm_glass.box.place import ABOUT, HOME
from vdsm_glass.commands.clips import dataset
from vdsm_glass.export import CARD, CONFIG, WEIGHTS, export, read
from vdsm_glass.generate.vocabulary import Model
from vdsm_glass.metrics.results import RESULTS, ResultSet
from vdsm_glass.play.clips import NamedClip, clips_to_play
from vdsm_glass.runs import CONFIG as RUN_CONFIG
from vdsm_glass.runs import run_of, versions

MOST_BYTES, MOST_IN_ALL = 5_000_000, 16_000_000
"""Of one model's folder, and of the box."""
IDENTITIES, ACTIONS = 8, 6
"""Clips of different identities, and of different actions."""
DIFFERENCE = 1 / 255
"""How far a pixel may move when weights are stored in half precision."""
LICENCE = re.compile(r",\s+and state the weights' licence here before you pass them on\.")

PAGE = """
## Where it comes from

Recipe `{recipe}`, step {step}, put into the box at commit {commit}. {stored}

The clips beside it are from the test split. {credit}
"""


def main(argv: list[str]) -> int:
    """The tool; options behind `--data NAME` are the dataset's.  Raises: UserError."""
    parser = argparse.ArgumentParser(prog="python -m vdsm_glass.box.put", description=__doc__, allow_abbrev=False)
    parser.add_argument("checkpoint", metavar="CKPT", type=Path, help="of a run that `vdsm-glass test` has tested")
    parser.add_argument("name", metavar="NAME", help="what it will be called; a model of that name is replaced")
    parser.add_argument("--numbers", nargs="+", required=True, help="names in results.json that `models` shows")
    parser.add_argument("--licence", required=True, help="of the weights and clips, in a sentence")
    parser.add_argument("--credit", default="", help="whose the pictures are, beyond what the data module says")
    parser.add_argument("--commit", help="of the code that trained it; the present one by default")
    parser.add_argument("--box", type=Path, default=HOME, help="folder of the box")
    parser.add_argument("--data", metavar="NAME", help="a dataset in the place of the run's own")
    options, others = parser.parse_known_args(argv)
    if others and options.data is None:
        parser.error(f"unrecognized arguments: {' '.join(others)}")
    if not re.fullmatch(r"[a-z0-9][a-z0-9_-]*", options.name):
        raise UserError(f"{options.name!r} is no name for a model; expected small letters, digits, - and _")
    folder = put(options, others)
    print(f"{folder}: {folder_bytes(folder) / 1e6:.1f} MB; the box: {folder_bytes(options.box) / 1e6:.1f} MB")
    return 0


def put(options: argparse.Namespace, data_options: list[str]) -> Path:
    """Writes the folder, in whole or not at all, and returns it.  Raises: UserError."""
    book, run = tested(options.checkpoint), run_of(options.checkpoint)
    assert run is not None
    if missing := [name for name in options.numbers if name not in book.values]:
        raise UserError(f"the run's {RESULTS} has no {', '.join(missing)}; it has {', '.join(book.values)}")
    model = read(options.checkpoint)
    data = dataset(model, options.checkpoint, options.data, data_options)
    clips = clips_of(model, data)
    with tempfile.TemporaryDirectory(dir=options.box, prefix=".") as temporary:
        made = export(options.checkpoint, Path(temporary) / "made")
        book.not_computed = {}  # their reasons name files of this machine
        write_json(book.to_json(), made / RESULTS)
        write_clips(clips, made)
        stored = "Weights are stored as they were trained."
        if folder_bytes(made) > 0.99 * MOST_BYTES:  # the page grows a little
            stored = halved(model, made, clips)
        commit = options.commit or head()
        recipe = yaml.safe_load((run / RUN_CONFIG).read_text(encoding="utf-8")).get("run", {}).get("name")
        step = torch.load(options.checkpoint, map_location="cpu", weights_only=True, mmap=True).get("global_step")
        about = {"data": data.name, "numbers": options.numbers, "recipe": recipe, "step": step, "commit": commit}
        about["rights"] = " ".join(filter(None, (data.rights, options.credit)))
        write_json(about, made / ABOUT)
        page = LICENCE.sub(f". {options.licence}", (made / CARD).read_text(encoding="utf-8")).replace(
            "DIR", options.name
        )
        page += PAGE.format(recipe=recipe, step=step, commit=commit, stored=stored, credit=options.credit)
        (made / CARD).write_text(page.rstrip() + "\n", encoding="utf-8")
        if folder_bytes(made) > MOST_BYTES:
            found = f"{folder_bytes(made) / 1e6:.1f} MB, and may take {MOST_BYTES / 1e6:.0f}"
            raise UserError(f"{options.name} would take {found}. {stored} Train a smaller network")
        folder = options.box / options.name
        shutil.rmtree(folder, ignore_errors=True)
        made.replace(folder)
    return folder


def tested(checkpoint: Path) -> ResultSet:
    """The results of the run's newest test.  Raises: UserError, there are none, or the checkpoint is newer."""
    run = run_of(checkpoint)
    files = [folder / RESULTS for folder in versions(run / "test")] if run else []
    file = next((file for file in files if file.is_file()), None)
    if file is None or file.stat().st_mtime < checkpoint.stat().st_mtime:
        raise UserError(f"{checkpoint}: this file was not tested yet; run `vdsm-glass test` with it as --ckpt_path")
    return ResultSet.read(file)


def clips_of(model: Model, data: VideoDataModule) -> list[NamedClip]:
    """Clips of the test split: of different identities, then of different actions; none twice."""
    found = clips_to_play(model, data, by="identity", most=IDENTITIES)
    for clip in clips_to_play(model, data, by="action", most=ACTIONS):
        if not any(torch.equal(clip.video, other.video) for other in found):
            found.append(clip)
    return found


def halved(model: Model, folder: Path, clips: list[NamedClip]) -> str:
    """Stores the weights in half precision.  Returns: what that does to pictures, in a sentence.

    Raises: UserError, pictures would differ by more than `DIFFERENCE`.
    """
    before = rebuilt(model, clips)
    state = {n: v.half() if v.is_floating_point() else v for n, v in load_file(folder / WEIGHTS).items()}
    save_file(state, folder / WEIGHTS)
    description = json.loads((folder / CONFIG).read_text(encoding="utf-8"))
    description["weights_sha256"] = hashlib.sha256((folder / WEIGHTS).read_bytes()).hexdigest()
    write_json(description, folder / CONFIG)
    moved = float((rebuilt(read(folder), clips) - before).abs().max())
    if moved > DIFFERENCE:
        raise UserError(f"in half precision, pixels of rebuilt clips move by up to {255 * moved:.2f} of 255: too far")
    return f"Weights are stored in half precision; pixels of rebuilt clips move by at most {255 * moved:.2f} of 255."


def rebuilt(model: Model, clips: list[NamedClip]) -> Tensor:
    """The clips, reconstructed: (n, t, 3, h, w)."""
    return torch.stack([model.reconstruct(clip.video) for clip in clips])


def folder_bytes(folder: Path) -> int:
    """What the files of models below a folder take."""
    return sum(
        file.stat().st_size for file in folder.rglob("*") if file.is_file() and file.suffix not in (".py", ".pyc")
    )


def head() -> str:
    """The commit of the code."""
    found = subprocess.run(["git", "rev-parse", "HEAD"], cwd=HOME, capture_output=True, text=True, check=False)
    return found.stdout.strip()[:12] or "unknown"


if __name__ == "__main__":
    try:
        sys.exit(main(sys.argv[1:]))
    except UserError as error:
        sys.exit(f"vdsm_glass.box.put: error: {error}")
