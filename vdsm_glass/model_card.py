"""The page about an exported model: what it is, how well it does, what it was trained on, how to load it."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import yaml

from data_modules.common.errors import UserError
from vdsm_glass.architecture import Network, count
from vdsm_glass.glass.net import GLASS
from vdsm_glass.metrics.book import RESULTS, Book
from vdsm_glass.runs import CONFIG, versions
from vdsm_glass.vdsm.sequences import SequenceVDSM

GLASS_IS = """GLASS separates an agent from its background in videos without labels, and moves it by global shifts and
by one of {actions} local actions a frame [Davtyan & Favaro, arXiv 2204.06558]."""
VDSM_IS = """VDSM takes a clip apart, without labels, into who is in it (s, {s} numbers){d} and how they stand in every
frame (z, {z} numbers) [Vowels et al., arXiv 2103.07292]. {stage}"""
FIRST = "This is its first stage, of frames that are independent given who is in them: it cannot roll out."
SECOND = "This is its second stage, with dynamics."

UNKNOWN = "Not known: the checkpoint lay in no run whose config.yaml names it."

PAGE = """# {title}

{about}

{parameters} parameters, {frames}.

## Use

With vdsm-glass installed, and this folder as `DIR`:

```python
from vdsm_glass import load, save

model = load("DIR")
{example}
```

or on the command line, `vdsm-glass generate {verb}`. Nothing in this folder is run: `weights.safetensors` holds
numbers, `config.json` the sizes of the network.

## Measured

{measured}

## Trained on

{data}

## Licence

The code is under the Apache License 2.0. Weights learned from data carry what that data's owners ask for: see above,
and state the weights' licence here before you pass them on.
"""


def card(network: Network, size: tuple[int, int] | None, *, run: Path | None) -> str:
    """The page, in Markdown.  Args: run, the folder that the checkpoint lay in, if it lay in one."""
    transfers = isinstance(network, GLASS | SequenceVDSM)
    example = 'save(model.transfer("who_moves.mp4", "who_is_moved.mp4"), "transferred.gif")'
    other = 'save(model.swap(["one.mp4", "other.mp4"]), "swapped.gif")'
    what = "transfer DIR SOURCE TARGET" if transfers else "swap DIR ONE OTHER"
    return PAGE.format(
        title="GLASS" if isinstance(network, GLASS) else f"VDSM, stage {2 if transfers else 1}",
        about=about(network),
        parameters=f"{count(network):,}".replace(",", " "),
        frames=f"frames of {size[0]} x {size[1]} pixels" if size else "frames whose sides are multiples of 16",
        example=example if transfers else other,
        verb=f"{what} --out made.gif",
        measured=measured(run),
        data=data_note(run),
    )


def about(network: Network) -> str:
    """What it is, in two sentences."""
    if isinstance(network, GLASS):
        return GLASS_IS.format(actions=len(network.lma.codes))
    sizes, second = network.sizes, isinstance(network, SequenceVDSM)
    d = f", what they do (d, {sizes.kappa_d} numbers)" if second else ""
    return VDSM_IS.format(s=sizes.kappa_s, z=sizes.kappa_z, d=d, stage=SECOND if second else FIRST)


def measured(run: Path | None) -> str:
    """The newest results of the run's tests, or that there are none."""
    tested = [folder / RESULTS for folder in versions(run / "test")] if run else []
    file = next((file for file in tested if file.is_file()), None)
    if file is None:
        return "Nothing yet: `vdsm-glass test` measures."
    try:
        book = Book.read(file)
    except UserError:
        return f"The run's `{RESULTS}` is of another version: repeat `vdsm-glass test`, then export again."
    # Why others were not computed names files of this machine, which are nobody else's business.
    gaps = f"\n\nNot computed: {', '.join(book.not_computed)}." if book.not_computed else ""
    numbers = replace(book, not_computed={}).markdown().strip()
    return f"By `vdsm-glass test`, of this run's last test:\n\n{numbers}{gaps}"


def data_note(run: Path | None) -> str:
    """What the model was trained on, and whose that is."""
    if run is None:
        return UNKNOWN
    try:
        data = yaml.safe_load((run / CONFIG).read_text(encoding="utf-8"))["data"]
        path = str(data["class_path"])
        drawn = bool(data.get("init_args", {}).get("tiny"))
    except (OSError, yaml.YAMLError, UnicodeDecodeError, KeyError, TypeError, AttributeError):
        return UNKNOWN
    note = rights_of(path) or f"`{path.rpartition('.')[2]}`: see its owners' terms."
    return f"{note} Only a small copy of it, drawn by vdsm-glass, was used." if drawn else note


def rights_of(path: str) -> str:
    """What the data module of that import path says about its data; empty where it says nothing or is not installed."""
    module, _, name = path.rpartition(".")
    try:
        return str(getattr(getattr(import_module(module or "data_modules"), name), "rights", ""))
    except (ImportError, AttributeError, TypeError, ValueError):  # the last two for a malformed path
        return ""
