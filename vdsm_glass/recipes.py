"""Recipes: YAML files built from shared parts, and named by their paths below experiments/."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import yaml

from data_modules.common.errors import MALFORMED, UserError, did_you_mean

HOME = "experiments"
PARTS_KEY = "base"
OPTIONS = ("--config", "-c")


class RecipeError(UserError):
    """A recipe, or a part that it needs, is missing or malformed."""


def expand(argv: Sequence[str]) -> list[str]:
    """The command line with the parts of every recipe inserted before its `--config recipe.yaml`.

    A recipe's `base: [part.yaml, ...]` names the files that it is merged over, relative to itself; they may have a
    `base` of their own. A part that several files need is merged once, where it comes first.
    Raises: RecipeError, a file is missing or malformed, or parts include each other.
    """
    loaded: set[Path] = set()
    expanded: list[str] = []
    for word in _split(argv):
        if isinstance(word, str):
            expanded.append(word)
            continue
        for file in [*parts_of(word), word]:
            if file == word or file.resolve() not in loaded:
                expanded += ["--config", str(file)]
                loaded.add(file.resolve())
    return expanded


def configs_in(argv: Iterable[str]) -> list[Path]:
    """The files that the command line's `--config` options name, in their order."""
    return [value for value in _split(argv) if isinstance(value, Path)]


def _split(argv: Iterable[str]) -> Iterator[Path | str]:
    """The words of a command line, each `--config FILE`, `--config=FILE` or `-c FILE` as one path."""
    words = iter(argv)
    for word in words:
        option, has_value, value = word.partition("=")
        if option in OPTIONS:
            yield Path(value if has_value else next(words, ""))
        else:
            yield word


def parts_of(file: Path, above: tuple[Path, ...] = ()) -> list[Path]:
    """The parts that `file` needs, in the order in which they are merged.  Args: above, the files that led to it."""
    if file.resolve() in (other.resolve() for other in above):
        circle = " -> ".join(str(other) for other in (*above, file))
        raise RecipeError(f"{file}: includes itself: {circle}; remove one of these `{PARTS_KEY}` entries")
    names = read(file).get(PARTS_KEY, [])
    if not isinstance(names, list) or not all(isinstance(name, str) for name in names):
        raise RecipeError(f"{file}: `{PARTS_KEY}` is {names!r}, expected a list of files relative to this one")
    parts: list[Path] = []
    for name in names:
        part = file.parent / name
        if not part.is_file():
            raise RecipeError(f"{file}: `{PARTS_KEY}` names {name!r}, but there is no file {part}{_nearest_file(part)}")
        parts += [*parts_of(part, (*above, file)), part]
    return parts


def read(file: Path) -> dict[str, Any]:
    """A recipe as written.  Raises: RecipeError, no such file, invalid YAML, a key given twice, not a mapping."""
    if not file.is_file():
        raise RecipeError(f"{file}: no such recipe{_nearest_file(file)}")
    try:
        content = yaml.load(file.read_text(encoding="utf-8"), Loader=_UniqueKeyLoader)
    except (yaml.YAMLError, *MALFORMED) as error:
        raise RecipeError(f"{file}: is not valid YAML: {' '.join(str(error).split())}") from error
    if content is None:
        return {}
    if not isinstance(content, dict):
        raise RecipeError(f"{file}: holds a {type(content).__name__}, expected keys and values such as `trainer:`")
    return content


def name_of(file: Path) -> str:
    """A recipe's name: its path below the nearest `experiments` folder, or else its file's name, without suffix.

    >>> name_of(Path("/home/me/experiments/vdsm/sprites_pretrain.yaml"))
    'vdsm/sprites_pretrain'
    """
    folders = file.absolute().parts[:-1]
    if HOME not in folders:
        return file.stem
    nearest = len(folders) - 1 - folders[::-1].index(HOME)
    return "/".join([*folders[nearest + 1 :], file.stem])


def _nearest_file(file: Path) -> str:
    folder = file.parent
    if not folder.is_dir():
        return f" (and no folder {folder})"
    nearest = did_you_mean(file.stem, (other.stem for other in folder.glob("*.yaml")))
    return nearest.replace("'?", ".yaml'?")


class _UniqueKeyLoader(yaml.SafeLoader):
    """Safe YAML in which a key given twice is an error; PyYAML itself silently keeps the last."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen: set[Any] = set()
        for key_node, _ in node.value:
            key = self.construct_object(key_node, deep=True)
            if key_node.tag != "tag:yaml.org,2002:merge" and key in seen:
                raise yaml.constructor.ConstructorError(
                    None, None, f"the key {key!r} is given twice", key_node.start_mark
                )
            seen.add(key)
        return super().construct_mapping(node, deep=deep)
