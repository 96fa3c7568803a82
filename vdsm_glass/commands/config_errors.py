"""Explains an error in a config: the key's full name, the file that has it, and the nearest valid key."""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from difflib import get_close_matches
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from pkgutil import iter_modules
from typing import Any

from data_modules.common.errors import UserError, did_you_mean
from vdsm_glass import recipes, registry
from vdsm_glass.commands.signatures import UnreadableError, names_of

SECTIONS = {
    "trainer": "lightning.pytorch.Trainer",
    "run": "vdsm_glass.runs.RunOptions",
    "checkpoint": "callbacks.RunCheckpoint",
    "nan_guard": "callbacks.NonFiniteGuard",
    "evaluation": "callbacks.Evaluation",
}
"""Whose arguments the keys below a top-level key are."""
CHOSEN = ("model", "data")
"""Top-level keys below which are the arguments of a class that the config chooses."""
SINGLE = ("config", "print_config", "seed_everything", "ckpt_path", "weights_only", recipes.PARTS_KEY)
OF_COMMANDS = {"fit": (), "validate": ("verbose",), "test": ("verbose",), "predict": ("return_predictions",)}
ASKS = re.compile(r"-h|--([\w.]+\.)?(help|print_config)(=.*)?")
"""Options that need no recipe."""
CLASS_KEYS = ("class_path", "init_args", "dict_kwargs")
TOP_LEVEL = ("callbacks", "data_modules", "lightning", "vdsm_glass")
LIGHTNING = ("lightning.pytorch.callbacks", "lightning.pytorch.loggers")


class ConfigError(UserError):
    """A key or value in a recipe or on the command line is not valid."""


@dataclass(frozen=True)
class ConfigChecker:
    """Explains what is wrong with a command line and its recipes.

    jsonargparse's messages list everything that it tried, and name neither the file nor the nearest valid key.

    Args: command, fit, validate, test or predict; files, all recipes and parts, in the order in which they are merged.
    """

    command: str
    files: list[Path]

    def check_names(self, options: Sequence[str]) -> None:
        """Finds misspelt keys at the top, in its sections and of the chosen classes, without importing any of these.

        What cannot be told without them is left to `explain`, after jsonargparse has tried.

        Args: options, the command line, whose dotted options are checked like the keys of files.
        Raises: ConfigError, there is no such key; jsonargparse would pass over one at the top that holds `{}`.
        """
        top, owners = self.top_level(), {}
        for file in self.files:
            content = recipes.read(file)
            for key in content:
                if key.rstrip("+") not in top:
                    raise ConfigError(f"{file}: there is no key `{key}`{did_you_mean(key, top)}")
            for section, below in content.items():
                if isinstance(below, dict):
                    owners[section] = below.get("class_path", owners.get(section))
                    for name in below.get("init_args") or {} if section in CHOSEN else below:
                        self.check_name(section, str(name).rstrip("+"), owners[section])
        told = {word.partition("=")[0].partition(".")[0] for word in options}
        absent = [section for section in sorted(CHOSEN) if section not in owners and f"--{section}" not in told]
        if absent and not any(ASKS.fullmatch(word) for word in options):
            raise ConfigError(self.nothing_about(", ".join(absent)))
        for word in options:
            found = re.match(r"--([A-Za-z_][\w.]*)", word)
            if found is None or ASKS.fullmatch(word):
                continue
            section, *names = found[1].split(".")
            if section not in top:
                raise ConfigError(self.no_such_option(found[1]))
            if section in CHOSEN and names[:1] in ([], ["class_path"]):
                owners[section] = None  # another class, in the next word
            elif names[:1] in (["init_args"], ["dict_kwargs"]):
                names = names[1:] if names[0] == "init_args" else []
            if names:
                self.check_name(section, names[0], owners.get(section))

    def check_name(self, section: str, name: str, owner: str | None) -> None:
        """Raises: ConfigError, the class of a section takes no argument of that name."""
        known = keys_of(SECTIONS.get(section) or owner or "")
        if name in known or not known or name in CLASS_KEYS:
            return
        if section in SECTIONS:
            raise ConfigError(self.no_such_option(f"{section}.{name}"))
        raise ConfigError(self.no_such_argument(f"{section}.{name}", str(owner), known))

    def top_level(self) -> list[str]:
        """The keys at the top."""
        return [*SECTIONS, *CHOSEN, *SINGLE, *OF_COMMANDS[self.command]]

    def explain(self, message: str) -> ConfigError:
        """jsonargparse's message as an error of one sentence."""
        explanations = {
            r"(?:Option '|does not accept option '|unrecognized arguments: -*)(?P<key>[^'\s=]+)": self.unknown_key,
            r"given class_path '(?P<path>[^']+)':\s+(?P<why>(?:module|No module|Import|Not )[^\n]*)": self.bad_class,
            r"Expected a dot import path string: (?P<path>\S+)": self.bare_class,
            r"following arguments are required: (?P<names>.+)": lambda found: self.nothing_about(
                ", ".join(name.rpartition(".")[2] for name in found["names"].split(", "))
            ),
            r'Parser key "(?P<key>[^"]+)":\n(?P<tried>(?:(?!Parser key)[\s\S])*)$': self.bad_value,
        }
        for pattern, explanation in explanations.items():
            if found := re.search(pattern, message.strip()):
                return ConfigError(explanation(found))
        return ConfigError(message.strip())

    def options(self) -> list[str]:
        """All dotted names, without those of the classes that a config chooses."""
        within = [f"{section}.{name}" for section, owner in SECTIONS.items() for name in names_of(owner)]
        return [*self.top_level(), *within]

    def no_such_option(self, key: str) -> str:
        """A key that the program itself does not have."""
        nearest = did_you_mean(key, self.options()) or did_you_mean(key.partition(".")[0], self.top_level())
        return f"there is no key {self.place(key)}{nearest}"

    def no_such_argument(self, path: str, owner: str, known: list[str]) -> str:
        """A key that a chosen class, or a group of its arguments, does not have."""
        taken = f" ({owner} takes: {', '.join(sorted(known))})" if known else ""
        nearest = did_you_mean(path.rpartition(".")[2], [*known, *CLASS_KEYS])
        return f"there is no key {self.place(path)}{nearest}{taken}"

    def unknown_key(self, found: re.Match[str]) -> str:
        """A misspelt key of the program, or of a class that the config chose, at any depth."""
        before, key = found.string[: found.start()], found["key"]
        owners = re.findall(r"given class_path '([^']+)'", before)
        if not owners:
            return self.no_such_option(key)
        group, _, leaf = key.rpartition(".")
        if in_group := re.search(r"Group '([^']+)' $", before):
            group = in_group[1]
        if group and group not in keys_of(owners[-1]):
            # The group's own name is wrong, or `init_args` is.
            group, leaf = "", group
        known = keys_of(owners[-1], group)
        path = ".".join([*re.findall(r'Parser key "([^"]+)"', before), *([group] if group else []), leaf])
        return self.no_such_argument(path, owners[-1], known)

    def bad_class(self, found: re.Match[str]) -> str:
        """A class that cannot be imported."""
        return f"class_path {self.place_of_value(found['path'])}: {found['why']}{nearest_name(found['path'])}"

    def bare_class(self, found: re.Match[str]) -> str:
        """A class without its module that jsonargparse does not find."""
        homes = class_homes()
        nearest = get_close_matches(found["path"], homes, n=1)
        hint = f"did you mean '{homes[nearest[0]]}.{nearest[0]}'?" if nearest else "write it with its module"
        return f"class_path {self.place_of_value(found['path'])} names no known class; {hint}"

    def nothing_about(self, names: str) -> str:
        """What a recipe must say and this one does not."""
        return f"the config says nothing about: {names}; give a recipe: --config experiments/.../RECIPE.yaml"

    def bad_value(self, found: re.Match[str]) -> str:
        """A value of the wrong kind."""
        path = ".".join(re.findall(r'Parser key "([^"]+)"', found.string))
        value = re.search(r"(?:Got value|Given value): (?P<value>.*)", found["tried"])
        kinds = dict.fromkeys(re.findall(r"Expected an? (typing\.Literal\[[^\]]*|[^\n.]+)", found["tried"]))
        expected = " or ".join(
            re.sub(r"<class '([\w.]+)'>|typing\.Literal\[", r"\1", kind).replace("NoneType", "null") for kind in kinds
        )
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
                if plain and plain[0] == parts[0] and parts[-1] in plain:
                    return f"`{'.'.join(written[: written.index(parts[-1]) + 1])}` (in {file})"
        return f"`{path}`"

    def place_of_value(self, value: str) -> str:
        """A class's name, and the last file that has it."""
        for file in reversed(self.files):
            if any(said == value for _, said in leaves(recipes.read(file))):
                return f"{value!r} (in {file})"
        return repr(value)


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


def keys_of(class_path: str, group: str = "") -> list[str]:
    """What a class takes, or what its argument `group` takes; nothing where its source does not say."""
    try:
        return names_of(class_path, group)
    except UnreadableError:
        return []


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
        classes = [key for key, value in vars(module).items() if isinstance(value, type)]
        offered = [*getattr(module, "__all__", []), *submodules, *classes]
    return did_you_mean(name, offered)
