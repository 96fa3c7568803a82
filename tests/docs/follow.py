"""Does what a page says, from top to bottom, in the folder where it is started: `python -m tests.docs.follow PAGE`.

Files that a page shows with a title are written, commands are run by the program itself, Python is run as one program.
"""

from __future__ import annotations

import os
import re
import shlex
import sys
from pathlib import Path

from tests.docs.test_commands import commands_in, tiny
from vdsm_glass.cli import main

BLOCK = re.compile(r'^```(\w+)(?: title="([^"]+)")?\n(.*?)^```', re.MULTILINE | re.DOTALL)


def run(command: str) -> None:
    """A command with the variables that stand before it; they stay, as in a shell that has exported them."""
    words = shlex.split(command)
    while words and (words[0] == "export" or re.fullmatch(r"\w+=.*", words[0])):
        name, _, value = words.pop(0).partition("=")
        if name == "PYTHONPATH":
            sys.path.insert(0, os.path.abspath(value))  # noqa: PTH100
        elif value:
            os.environ[name] = value
    if words:
        assert words[0] == "vdsm-glass", command
        recipes = [word for word in words if word.startswith("experiments/")]
        assert main(tiny(words[1:]) if recipes else words[1:]) == 0, command


def follow(page: Path) -> None:
    """Raises: whatever the page's code raises; AssertionError, a command that fails."""
    names: dict[str, object] = {"__name__": "page"}
    written: list[Path] = []
    for language, title, text in BLOCK.findall(page.read_text("utf-8")):
        if title:
            written.append(Path(title))
            written[-1].write_text(text, "utf-8")
        elif language == "python":
            sys.path.insert(0, "")  # as for a program in this folder; a command has to say it by PYTHONPATH
            exec(compile(text, page.name, "exec"), names)
            sys.path.remove("")
            for file in written:  # a command has to find them by itself
                sys.modules.pop(file.stem, None)
        elif language == "sh":
            for command in commands_in(text):
                print("$", command, flush=True)
                run(command)


if __name__ == "__main__":
    follow(Path(sys.argv[1]))
