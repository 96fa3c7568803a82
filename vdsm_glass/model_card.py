"""The page about an exported model: what it is, how well it does, what it was trained on, how to load it."""

from __future__ import annotations

from dataclasses import replace
from importlib import import_module
from pathlib import Path

import yaml

from data_modules.common.errors import MALFORMED, UserError
from vdsm_glass.generate.vocabulary import Model
from vdsm_glass.metrics.results import RESULTS, ResultSet
from vdsm_glass.runs import CONFIG, versions

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


def card(model: Model, *, run: Path | None) -> str:
    """The page, in Markdown.  Args: run, the folder that the checkpoint lay in, if it lay in one."""
    if "transfer" in model.can:
        example = 'save(model.transfer("who_moves.mp4", "who_is_moved.mp4"), "transferred.gif")'
        command = "transfer DIR SOURCE TARGET"
    else:
        example, command = 'save(model.reconstruct("video.mp4"), "reconstructed.gif")', "reconstruct DIR VIDEO"
    return PAGE.format(
        title=model.title,
        about=model.about,
        parameters=f"{sum(each.numel() for each in model.network.parameters()):,}".replace(",", " "),
        frames="frames of {} x {} pixels".format(*model.size) if model.size else "frames of any size",
        example=example,
        verb=f"{command} --out made.gif",
        measured=measured(run),
        data=data_note(run),
    )


def measured(run: Path | None) -> str:
    """The newest results of the run's tests, or that there are none."""
    tested = [folder / RESULTS for folder in versions(run / "test")] if run else []
    file = next((file for file in tested if file.is_file()), None)
    if file is None:
        return "Nothing yet: `vdsm-glass test` measures."
    try:
        book = ResultSet.read(file)
    except UserError:
        return f"The run's `{RESULTS}` is of another version: repeat `vdsm-glass test`, then export again."
    # The reasons name files of this machine, which do not belong on a page that is passed on.
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
    except (OSError, yaml.YAMLError, *MALFORMED):
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
