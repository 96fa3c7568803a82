"""What a class takes, read from its source: importing it would import PyTorch and Lightning, which takes seconds."""

from __future__ import annotations

import ast
import builtins
import sys
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cache
from importlib import import_module
from importlib.util import find_spec
from pathlib import Path
from typing import Any

from docstring_parser import parse as parse_docstring


class UnreadableError(Exception):
    """A class whose options cannot be told without importing it."""


@dataclass(frozen=True)
class Option:
    """An argument of a class's constructor: its type and its default as values, and what the docstring says of it."""

    name: str
    type: Any
    default: Any
    help: str


def options_of(class_path: str) -> list[Option]:
    """All that a class takes by name, in the order of its signature and then of those of the classes above it.

    Raises: UnreadableError, there is no such class, or a type or default needs more than constants and the standard
    library.
    """
    found: dict[str, Option] = {}
    for source, node in _constructors(class_path):
        docstring = parse_docstring(ast.get_docstring(node) or "")
        helps = {
            name: " ".join((entry.description or "").split())
            for entry in docstring.params
            for name in entry.arg_name.split(", ")
        }
        for name, annotation, default in _arguments(node):
            if name not in found:
                # Without a default the class itself complains, once it is imported.
                value = None if default is None else source.value(default)
                found[name] = Option(name, source.value(annotation), value, helps.get(name, ""))
            elif not found[name].help:
                found[name] = replace(found[name], help=helps.get(name, ""))
    return list(found.values())


def names_of(class_path: str, group: str = "") -> list[str]:
    """The names alone of what a class takes, or of what a dataclass that is its argument `group` takes.

    Raises: UnreadableError, there is no such class.
    """
    if not group:
        return list(dict.fromkeys(name for _, node in _constructors(class_path) for name, _, _ in _arguments(node)))
    for source, node in _constructors(class_path):
        for name, annotation, _ in _arguments(node):
            if name == group:
                for part in ast.walk(annotation):
                    if isinstance(part, ast.Name) and _is_class(f"{source.module}.{part.id}"):
                        return names_of(f"{source.module}.{part.id}")
    return []


def _constructors(class_path: str) -> Iterator[tuple[_Source, ast.ClassDef]]:
    """The classes whose arguments a class takes: itself, and those above it as long as `**kwargs` are passed on."""
    source, node = _Source.of(class_path)
    yield source, node
    init = _init(node)
    if init is not None and init.args.kwarg is None:
        return
    for base in node.bases:
        if not isinstance(base, ast.Name):
            raise UnreadableError(f"{class_path} derives from {ast.unparse(base)}")
        if base.id != "ABC":
            yield from _constructors(f"{source.module}.{base.id}")


def _is_class(path: str) -> bool:
    try:
        return bool(_Source.of(path))
    except UnreadableError:
        return False


def _init(node: ast.ClassDef) -> ast.FunctionDef | None:
    return next((each for each in node.body if isinstance(each, ast.FunctionDef) and each.name == "__init__"), None)


def _arguments(node: ast.ClassDef) -> Iterator[tuple[str, ast.expr, ast.expr | None]]:
    """Name, type and default of the arguments of `__init__`, or of the fields of a dataclass."""
    init = _init(node)
    if init is None:
        if any("dataclass" in ast.unparse(decorator) for decorator in node.decorator_list):
            for field in node.body:
                if isinstance(field, ast.AnnAssign) and isinstance(field.target, ast.Name):
                    yield field.target.id, field.annotation, field.value
        return
    positional = init.args.args[1:]
    defaults = [*[None] * (len(positional) - len(init.args.defaults)), *init.args.defaults, *init.args.kw_defaults]
    for argument, default in zip([*positional, *init.args.kwonlyargs], defaults, strict=True):
        yield argument.arg, argument.annotation or ast.Name("object"), default


class _Source:
    """The classes, constants and imported names of a module, as its text says them."""

    def __init__(self, module: str) -> None:
        self.module, self.file = module, _file_of(module)
        self.classes: dict[str, ast.ClassDef] = {}
        self.constants: dict[str, ast.expr] = {}
        self.imported: dict[str, tuple[str, str]] = {}
        for node in _statements(ast.parse(self.file.read_text(encoding="utf-8")).body):
            if isinstance(node, ast.ClassDef):
                self.classes[node.name] = node
            elif isinstance(node, ast.Assign) and isinstance(node.targets[0], ast.Name):
                self.constants[node.targets[0].id] = node.value
            elif isinstance(node, ast.ImportFrom) and node.module:
                self.imported |= {alias.asname or alias.name: (node.module, alias.name) for alias in node.names}

    @classmethod
    def of(cls, class_path: str) -> tuple[_Source, ast.ClassDef]:
        """The module in which a class is defined, wherever it can be imported from, and its definition."""
        module, _, name = class_path.rpartition(".")
        source = _read(module)
        if name in source.classes:
            return source, source.classes[name]
        if name in source.imported:
            return cls.of(".".join(source.imported[name]))
        raise UnreadableError(f"{module} has no class {name}")

    def value(self, expression: ast.expr) -> Any:
        """What a type or default means."""
        names = {node.id for node in ast.walk(expression) if isinstance(node, ast.Name)}
        code = compile(ast.fix_missing_locations(ast.Expression(expression)), str(self.file), "eval")
        return eval(code, {name: self.named(name) for name in names})

    def named(self, name: str) -> Any:
        """What a name means: a constant, here or in the module it is imported from, or the standard library's."""
        if name in self.constants:
            return self.value(self.constants[name])
        if name not in self.imported:
            if hasattr(builtins, name):
                return getattr(builtins, name)
            raise UnreadableError(f"{self.module} has no constant {name}")
        module, original = self.imported[name]
        if module.partition(".")[0] in sys.stdlib_module_names:
            return getattr(import_module(module), original)
        return _read(module).named(original)


def _statements(body: list[ast.stmt]) -> Iterator[ast.stmt]:
    """A module's statements with those below an `if`, where packages say for type checkers what they import late."""
    for node in body:
        yield node
        if isinstance(node, ast.If):
            yield from _statements([*node.body, *node.orelse])


@cache
def _read(module: str) -> _Source:
    return _Source(module)


def _file_of(module: str) -> Path:
    """The file of a module, found without importing the packages it lies in."""
    top, *inner = module.split(".")
    spec = find_spec(top) if top else None
    for folder in spec.submodule_search_locations or [] if spec else []:
        place = Path(folder, *inner)
        for file in (place / "__init__.py", place.with_suffix(".py")):
            if file.is_file():
                return file
    raise UnreadableError(f"there is no module {module}")
