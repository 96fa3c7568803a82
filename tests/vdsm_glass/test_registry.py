"""What registers is found by its name alone, and no file can name a module to import."""

from __future__ import annotations

import sys
from importlib.metadata import EntryPoint
from pathlib import Path

import pytest

from data_modules.common.errors import UserError
from vdsm_glass import registry
from vdsm_glass.registry import ModelKind, imported, kind_named, kinds, register


@pytest.fixture(autouse=True)
def _kept(monkeypatch: pytest.MonkeyPatch) -> None:
    """Registrations of a test end with it."""
    monkeypatch.setattr(registry, "_KINDS", dict(kinds()))


def test_all_models_of_this_package_are_found_and_their_classes_agree():
    assert {"vdsm", "vdsm_frames", "glass"} <= set(kinds())
    for name, kind in kinds().items():
        assert imported(kind.module).kind == name
        model = kind.model_class
        assert set(model.can) & {"reconstruct", "transfer"}
        assert isinstance(model.network_arguments, tuple)
        assert callable(imported(model.page))


def test_two_models_cannot_have_one_name():
    register(kinds()["glass"])  # once more, the same
    with pytest.raises(ValueError, match=r"two models register as 'glass': .*\.GLASSModel and a\.B"):
        register(ModelKind(name="glass", model="a.B", module="a.C"))


def test_a_name_that_nobody_registered_is_an_error_with_the_nearest(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    (tmp_path / "evil_module.py").write_text("raise SystemExit('it was imported')")
    with pytest.raises(
        UserError, match=r"no kind of model 'evil_module'; there are .*glass, .*vdsm.*VDSM_GLASS_MODELS"
    ):
        kind_named("evil_module")
    with pytest.raises(UserError, match="'glas'; did you mean 'glass'"):
        kind_named("glas")
    assert "evil_module" not in sys.modules


def test_modules_that_the_environment_names_register(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = "from vdsm_glass.registry import ModelKind, register\nregister(ModelKind('{0}', '{0}.A', '{0}.B'))\n"
    for name in ("one_registers", "two_registers"):
        (tmp_path / f"{name}.py").write_text(source.format(name))
    monkeypatch.setenv("VDSM_GLASS_MODELS", "one_registers, two_registers")
    assert {"one_registers", "two_registers"} <= set(kinds())
    monkeypatch.setenv("VDSM_GLASS_MODELS", "not_there_at_all")
    with pytest.raises(UserError, match="VDSM_GLASS_MODELS names 'not_there_at_all', which cannot be imported"):
        kinds()


def test_installed_packages_register_by_entry_points(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.syspath_prepend(tmp_path)
    source = "from vdsm_glass.registry import ModelKind, register\nregister(ModelKind('installed', 'a.A', 'a.B'))\n"
    (tmp_path / "installed_model.py").write_text(source)
    point = EntryPoint(name="installed", value="installed_model", group="vdsm_glass.models")
    monkeypatch.setattr(registry, "entry_points", lambda group: [point] if group == point.group else [])
    registry._import_registrations.cache_clear()
    assert "installed" in kinds()
    registry._import_registrations.cache_clear()
