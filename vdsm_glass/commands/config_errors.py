"""What is wrong with a config: the key's full name, the file it stands in, and the nearest key there is."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from importlib import import_module
from pathlib import Path
from typing import Any

from jsonargparse import ArgumentParser

from data_modules.errors import UserError
from vdsm_glass import recipes
from vdsm_glass.suggest import did_you_mean


class ConfigError(UserError):
    """A key or value in a recipe or on the command line that means nothing here."""


def check_top_level(parser: ArgumentParser, files: list[Path]) -> None:
    """Raises: ConfigError, a top-level key of a file that is none; jsonargparse passes over one that holds `{}`."""
    known = {name.partition(".")[0] for name in option_names(parser)}
    for file in files:
        for key in recipes.read(file):
            if key.rstrip("+") not in known:
                raise ConfigError(f"{file}: there is no key `{key}`{did_you_mean(key, known)}")


def explain(message: str, parser: ArgumentParser, files: list[Path]) -> ConfigError:
    """jsonargparse's error as a sentence.  Args: files, all that were merged, lowest first."""
    message = message.strip()
    for pattern, reading in _READINGS.items():
        if found := re.search(pattern, message):
            return ConfigError(reading(found, message, parser, files))
    return ConfigError(message)


def option_names(parser: ArgumentParser) -> list[str]:
    """All dotted option names that a parser knows, without those of the classes chosen in a config."""
    return [action.dest for action in parser._actions if action.dest and action.dest != "help"]


def _unknown_option(found: re.Match[str], message: str, parser: ArgumentParser, files: list[Path]) -> str:
    key = found["key"].lstrip("-").partition("=")[0].partition(" ")[0]
    return f"there is no key `{key}`{_where(key, files)}{did_you_mean(key, option_names(parser))}"


def _unknown_argument(found: re.Match[str], message: str, parser: ArgumentParser, files: list[Path]) -> str:
    """A misspelt argument of a class, at any depth: `Problem with given class_path 'X': Option 'y' is not accepted`."""
    before = message[: found.start()]
    owner = re.findall(r"given class_path '([^']+)'", before)
    path = ".".join([*re.findall(r'Parser key "([^"]+)"', before), found["key"]])
    known = sorted(_arguments_of(owner[-1])) if owner else []
    owned = f" of {owner[-1]}" if owner else ""
    there_are = f"; it has: {', '.join(known)}" if known else ""
    return f"there is no key `{path}`{owned}{_where(found['key'], files)}{did_you_mean(found['key'], known)}{there_are}"


def _bad_class(found: re.Match[str], message: str, parser: ArgumentParser, files: list[Path]) -> str:
    path = found["path"]
    module, _, name = path.rpartition(".")
    return f"class_path {path!r}{_where(path, files)}: {found['why']}{_nearest_class(module, name)}"


def _unknown_class(found: re.Match[str], message: str, parser: ArgumentParser, files: list[Path]) -> str:
    path = found["path"]
    return f"class_path {path!r}{_where(path, files)} is no class known by its bare name; write it with its module: package.module.{path}"


def _missing(found: re.Match[str], message: str, parser: ArgumentParser, files: list[Path]) -> str:
    names = found["names"].replace("fit.", "").replace("validate.", "").replace("test.", "").replace("predict.", "")
    return f"the config says nothing about: {names}; give a recipe: --config experiments/.../RECIPE.yaml"


# In the order of trial: the deepest cause first.
_READINGS = {
    r"(?:Option|Key|Group key) ['\"](?P<key>[^'\"]+)['\"] is not (?:accepted|expected)": _unknown_argument,
    r"does not accept option '(?P<key>[^']+)'": _unknown_option,
    r"unrecognized arguments: (?P<key>\S+)": _unknown_option,
    r"given class_path '(?P<path>[^']+)':\s+(?P<why>(?:module|No module|Import|Unable|'|Not a)[^\n]*)": _bad_class,
    r"Expected a dot import path string: (?P<path>\S+)": _unknown_class,
    r"following arguments are required: (?P<names>.+)": _missing,
}


def _where(key: str, files: list[Path]) -> str:
    """` in FILE`, of the last file that says the key or value; nothing if only the command line does."""
    wanted = key.rpartition(".")[2] if "/" not in key else key
    for file in reversed(files):
        if any(word in {key, wanted} for word in _words(recipes.read(file))):
            return f" (in {file})"
    return ""


def _words(node: Any) -> Iterator[str]:
    """All keys and text values below a node of a recipe."""
    if isinstance(node, dict):
        for key, value in node.items():
            yield str(key)
            yield from _words(value)
    elif isinstance(node, list):
        for value in node:
            yield from _words(value)
    elif isinstance(node, str):
        yield node


def _arguments_of(class_path: str) -> set[str]:
    """The names that a class and those it inherits from take."""
    module, _, name = class_path.rpartition(".")
    owner = getattr(import_module(module), name)
    bases = owner.__mro__ if isinstance(owner, type) else (owner,)
    callables = (
        getattr(base, "__init__", base) if isinstance(base, type) else base for base in bases if base is not object
    )
    names = {name for function in callables for name in inspect.signature(function).parameters}
    return names - {"self", "args", "kwargs"}


def _nearest_class(module: str, name: str) -> str:
    """The nearest class in the same module, or the nearest module if there is none of that name."""
    try:
        home = import_module(module)
    except ImportError:
        return f"; there is no module {module!r}"
    offered = [*getattr(home, "__all__", []), *(key for key, value in vars(home).items() if isinstance(value, type))]
    return did_you_mean(name, offered)
