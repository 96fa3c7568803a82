"""Explains an error in a config: the key's full name, the file that has it, and the nearest valid key."""

from __future__ import annotations

import inspect
import re
from collections.abc import Iterator
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any, get_args, get_type_hints

from jsonargparse import ArgumentParser

from data_modules.common.errors import UserError, did_you_mean
from vdsm_glass import recipes, registry

CLASS_KEYS = ("class_path", "init_args", "dict_kwargs")
TOP_LEVEL = ("callbacks", "data_modules", "lightning", "vdsm_glass")
LIGHTNING = ("lightning.pytorch.callbacks", "lightning.pytorch.loggers")


class ConfigError(UserError):
    """A key or value in a recipe or on the command line is not valid."""


@dataclass(frozen=True)
class ConfigChecker:
    """Explains what is wrong with a command line and its recipes.

    jsonargparse's messages list everything that it tried, and name neither the file nor the nearest valid key.

    Args: parser, the command's; files, all recipes and parts, in the order in which they are merged.
    """

    parser: ArgumentParser
    files: list[Path]

    def check_top_level(self) -> None:
        """Raises: ConfigError, a top-level key is unknown; jsonargparse does not report one whose value is `{}`."""
        known = {name.partition(".")[0] for name in self.options()}
        for file in self.files:
            for key in recipes.read(file):
                if key.rstrip("+") not in known:
                    raise ConfigError(f"{file}: there is no key `{key}`{did_you_mean(key, known)}")

    def explain(self, message: str) -> ConfigError:
        """jsonargparse's message as an error of one sentence."""
        explanations = {
            r"(?:Option '|does not accept option '|unrecognized arguments: -*)(?P<key>[^'\s=]+)": self.unknown_key,
            r"given class_path '(?P<path>[^']+)':\s+(?P<why>(?:module|No module|Import|Not )[^\n]*)": self.bad_class,
            r"Expected a dot import path string: (?P<path>\S+)": self.bare_class,
            r"following arguments are required: (?P<names>.+)": self.missing,
            r'Parser key "(?P<key>[^"]+)":\n(?P<tried>(?:(?!Parser key)[\s\S])*)$': self.bad_value,
        }
        for pattern, explanation in explanations.items():
            if found := re.search(pattern, message.strip()):
                return ConfigError(explanation(found))
        return ConfigError(message.strip())

    def options(self) -> list[str]:
        """All dotted names that the parser knows, except arguments of classes that a config chooses."""
        return [name for action in self.parser._actions if not (name := action.dest).endswith("help")]

    def unknown_key(self, found: re.Match[str]) -> str:
        """A misspelt key of the program, or of a class that the config chose, at any depth."""
        before, key = found.string[: found.start()], found["key"]
        owners = re.findall(r"given class_path '([^']+)'", before)
        if not owners:
            first = key.partition(".")[0]
            nearest = did_you_mean(key, self.options()) or did_you_mean(
                first, {name.partition(".")[0] for name in self.options()}
            )
            return f"there is no key {self.place(key)}{nearest}"
        group, _, leaf = key.rpartition(".")
        if in_group := re.search(r"Group '([^']+)' $", before):
            group = in_group[1]
        if group and group not in keys_of(owners[-1]):
            # The group's own name is wrong, or `init_args` is.
            group, leaf = "", group
        known = keys_of(owners[-1], group)
        path = ".".join([*re.findall(r'Parser key "([^"]+)"', before), *([group] if group else []), leaf])
        taken = f" ({owners[-1]} takes: {', '.join(sorted(known))})" if known else ""
        return f"there is no key {self.place(path)}{did_you_mean(leaf, [*known, *CLASS_KEYS])}{taken}"

    def bad_class(self, found: re.Match[str]) -> str:
        """A class that cannot be imported."""
        return f"class_path {self.place_of_value(found['path'])}: {found['why']}{nearest_name(found['path'])}"

    def bare_class(self, found: re.Match[str]) -> str:
        """A class without its module that jsonargparse does not find."""
        homes = class_homes()
        nearest = get_close_matches(found["path"], homes, n=1)
        hint = f"did you mean '{homes[nearest[0]]}.{nearest[0]}'?" if nearest else "write it with its module"
        return f"class_path {self.place_of_value(found['path'])} names no known class; {hint}"

    def missing(self, found: re.Match[str]) -> str:
        """A required part of the config that no recipe gives."""
        names = ", ".join(name.rpartition(".")[2] for name in found["names"].split(", "))
        return f"the config says nothing about: {names}; give a recipe: --config experiments/.../RECIPE.yaml"

    def bad_value(self, found: re.Match[str]) -> str:
        """A value of the wrong kind."""
        path = ".".join(re.findall(r'Parser key "([^"]+)"', found.string))
        value = re.search(r"(?:Got value|Given value): (?P<value>.*)", found["tried"])
        kinds = dict.fromkeys(re.findall(r"Expected an? ([^\n.]+)", found["tried"]))
        expected = " or ".join(re.sub(r"<class '([\w.]+)'>", r"\1", kind).replace("NoneType", "null") for kind in kinds)
        if value is None or not expected:
            return f"{self.place(path)}: {' '.join(found['tried'].split())}"
        return f"{self.place(path, value['value'])} is {value['value']!r}, expected {expected}"

    def place(self, path: str, value: str | None = None) -> str:
        """A key's full name, and the last file that has it (with that value); no file if it is on the command line."""
        parts = [part for part in path.split(".") if part not in CLASS_KEYS]
        for file in reversed(self.files):
            for keys, said in leaves(recipes.read(file)):
                if value is not None and str(said) != value:
                    continue
                written = [key.rstrip("+") for key in keys]
                plain = [key for key in written if key not in CLASS_KEYS or key == path.rpartition(".")[2]]
                if contains(plain, parts):
                    return f"`{'.'.join(written[: written.index(parts[-1]) + 1])}` (in {file})"
        return f"`{path}`"

    def place_of_value(self, value: str) -> str:
        """A class's name, and the last file that has it."""
        where = (file for file in reversed(self.files) if any(said == value for _, said in leaves(recipes.read(file))))
        file = next(where, None)
        return f"{value!r} (in {file})" if file else repr(value)


def class_homes() -> dict[str, str]:
    """The module that offers each class that a recipe can name, by the class's name."""
    homes = {name: home for home in (*LIGHTNING, "data_modules", "callbacks") for name in import_module(home).__all__}
    models = (kind.module.rpartition(".") for kind in registry.kinds().values())
    return homes | {name: home for home, _, name in models}


def leaves(node: Any, above: tuple[str, ...] = ()) -> Iterator[tuple[tuple[str, ...], Any]]:
    """All values of a recipe with the keys that lead to them; items of a list share their list's keys."""
    if isinstance(node, dict) and node:
        for key, value in node.items():
            yield from leaves(value, (*above, str(key)))
    elif isinstance(node, list) and node:
        for value in node:
            yield from leaves(value, above)
    else:
        yield above, node


def contains(keys: list[str], parts: list[str]) -> bool:
    """Whether `keys` begins with the first of `parts` and contains the last."""
    return bool(keys) and keys[0] == parts[0] and parts[-1] in keys


def keys_of(class_path: str, group: str = "") -> list[str]:
    """The arguments of a class, with those that it passes on to its base classes; or those of its argument `group`."""
    module, _, name = class_path.rpartition(".")
    owner = getattr(import_module(module), name)
    classes = [kind for kind in inspect.getmro(owner) if kind is not object] if isinstance(owner, type) else [owner]
    for kind in classes if group else []:
        hint = get_type_hints(kind.__init__ if isinstance(kind, type) else kind).get(group)
        inner = next(
            (each for each in (hint, *get_args(hint)) if isinstance(each, type) and each is not type(None)), None
        )
        if inner is not None:
            return list(inspect.signature(inner).parameters)
    names: list[str] = []
    for kind in classes:
        parameters = inspect.signature(kind).parameters.values()
        names += [each.name for each in parameters if each.kind in (each.POSITIONAL_OR_KEYWORD, each.KEYWORD_ONLY)]
        if all(each.kind is not each.VAR_KEYWORD for each in parameters):
            break
    return names


def nearest_name(path: str) -> str:
    """A suggestion for the first part of a dotted path that does not exist."""
    *modules, name = path.split(".")
    home, offered = "", list(TOP_LEVEL)
    for part in modules:
        if find_spec(f"{home}.{part}" if home else part) is None:
            return did_you_mean(part, offered)
        home = f"{home}.{part}" if home else part
        module = import_module(home)
        submodules = [each.name for each in iter_modules(getattr(module, "__path__", []))]
        offered = [
            *getattr(module, "__all__", []),
            *submodules,
            *(key for key, value in vars(module).items() if isinstance(value, type)),
        ]
    return did_you_mean(name, offered)
