"""From what a person calls a model to where it is: a path, a name of the box, or `hf://owner/name`."""

from __future__ import annotations

import json
import re
import sys
from pathlib import Path
from typing import Any

from data_modules.common.errors import MALFORMED, UserError, did_you_mean

HOME = Path(__file__).parent
ABOUT = "box.json"
"""The file that makes an exported folder one of the box."""
HUB = re.compile(r"hf:/+([\w.-]+/[\w.-]+)")
"""An address of the Hugging Face Hub; a `Path` of it keeps only one of its slashes."""


def names() -> list[str]:
    """The models of the box."""
    return sorted(file.parent.name for file in HOME.glob(f"*/{ABOUT}"))


def located(model: Path | str) -> Path:
    """Where a model is: a path that exists, a name of the box, or what was fetched from `hf://owner/name`.

    A path that exists is taken before a name of the box, and this is said. A path that does not exist is returned as
    it is, because its reader says best what is missing.

    Raises: UserError, a bare word is neither; or what `vdsm_glass.hub.fetch` raises.
    """
    text, path = str(model), Path(model)
    if address := HUB.fullmatch(text):
        from vdsm_glass.hub import fetch

        return fetch(address[1])
    known = names()
    if path.exists():
        if text in known:
            print(f"vdsm-glass: {text} is taken from this folder; the box has a model of that name", file=sys.stderr)
        return path
    if text in known:
        return HOME / text
    if path.name != text or path.suffix:
        return path
    raise UserError(
        f"{text}: is no file, and no model of the box{did_you_mean(text, known)}; the box has {', '.join(known)}"
    )


def about(path: Path) -> dict[str, Any]:
    """What is said about a model of the box, or of a copy of it; nothing about others.  Raises: UserError."""
    file = path / ABOUT
    if not file.is_file():
        return {}
    try:
        return dict(json.loads(file.read_text(encoding="utf-8")))
    except (OSError, *MALFORMED) as error:
        raise UserError(f"{file}: does not describe a model of the box ({error}); copy the model again") from error


def called(path: Path) -> str:
    """What to call the model at `path`: its name in the box, or the path."""
    return path.name if path.parent == HOME else str(path)
