"""Who imports whom: no circle within data_modules, not even for types, and nothing of models or callbacks."""

from __future__ import annotations

import ast
from graphlib import TopologicalSorter
from pathlib import Path

PACKAGE = Path(__file__).parents[2] / "data_modules"


def module_name(file: Path) -> str:
    parts = file.relative_to(PACKAGE.parent).with_suffix("").parts
    return ".".join(parts[:-1] if parts[-1] == "__init__" else parts)


FILES = {module_name(file): file for file in PACKAGE.rglob("*.py")}


def imports(file: Path) -> set[str]:
    """The modules that a file names in import statements at any place: in functions and under TYPE_CHECKING, too."""
    found: set[str] = set()
    for node in ast.walk(ast.parse(file.read_text("utf-8"))):
        if isinstance(node, ast.Import):
            found |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{file}: imports are absolute here"
            module = node.module or ""
            submodules = {f"{module}.{alias.name}" for alias in node.names} & FILES.keys()
            of_the_module_itself = len(submodules) < len(node.names)
            found |= submodules | ({module} if of_the_module_itself else set())
    return found


def test_there_is_no_circle() -> None:
    # The package itself names its datasets for type checkers; at run time it imports them when they are asked for.
    graph = {name: imports(file) & FILES.keys() for name, file in FILES.items() if name != "data_modules"}
    assert not any("data_modules" in needed for needed in graph.values()), "modules import modules, not the package"
    list(TopologicalSorter(graph).static_order())  # raises CycleError
    assert len(graph) > 30


def test_a_circle_would_be_found(tmp_path: Path) -> None:
    file = tmp_path / "a.py"
    file.write_text(
        "from typing import TYPE_CHECKING\n"
        "if TYPE_CHECKING:\n    from data_modules.base import VideoDataModule\n"
        "def later():\n    from data_modules.store import build\n    import data_modules.batch\n"
    )
    assert imports(file) - {"typing"} == {"data_modules.base", "data_modules.store.build", "data_modules.batch"}


def test_rooms_know_only_the_rooms_below() -> None:
    """store and sources know nothing of datasets, loading or tools; common knows nothing else of data_modules."""
    above = {"common": (), "store": ("common",), "sources": ("common",), "loading": ("common", "store")}
    for name, file in FILES.items():
        room = name.split(".")[1] if name.count(".") > 1 else ""
        if room in above:
            for needed in imports(file) & FILES.keys():
                assert needed == "data_modules.batch" or needed.split(".")[1] in (room, *above[room]), (name, needed)


def test_data_modules_know_neither_models_nor_callbacks() -> None:
    for file in FILES.values():
        roots = {name.partition(".")[0] for name in imports(file)}
        assert not roots & {"vdsm_glass", "callbacks", "benchmarks", "tests"}, file
