"""What a class takes is read from its source as it would be told by importing it."""

import inspect
from importlib import import_module
from pathlib import Path
from typing import get_type_hints

import pytest

from data_modules import DATASETS
from vdsm_glass.commands.config_errors import OF_COMMANDS, ConfigChecker
from vdsm_glass.commands.signatures import UnreadableError, names_of, options_of
from vdsm_glass.commands.train import RecipeCLI


@pytest.mark.parametrize("class_path", DATASETS.values())
def test_a_dataset_takes_what_its_source_says(class_path: str):
    module, _, name = class_path.rpartition(".")
    wanted = {}
    for kind in inspect.getmro(getattr(import_module(module), name)):
        if "__init__" in vars(kind):
            hints = get_type_hints(kind.__init__)
            parameters = inspect.signature(kind.__init__).parameters.values()
            named = [each for each in parameters if each.kind is each.KEYWORD_ONLY]
            wanted = {each.name: (hints[each.name], each.default) for each in named} | wanted
            if all(each.kind is not each.VAR_KEYWORD for each in parameters):
                break
    found = options_of(class_path)
    assert {option.name: (option.type, option.default) for option in found} == wanted
    assert [option.name for option in found if not option.help] == []


@pytest.mark.parametrize("command", OF_COMMANDS)
def test_the_options_of_a_command_are_those_of_its_parser(command: str):
    class Parsers(RecipeCLI):
        """Makes the parser and nothing else."""

        def parse_arguments(self, parser, args):
            raise StopIteration(parser)

    with pytest.raises(StopIteration) as made:
        Parsers(command, [])
    parser = made.value.value._subcommands_action._name_parser_map[command]
    known = {action.dest for action in parser._actions if not action.dest.endswith("help")}
    assert set(ConfigChecker(command, []).options()) == known


def test_what_lies_below_an_argument_is_found_by_its_type():
    assert names_of("vdsm_glass.vdsm.VDSMPretrain", "sizes")[:2] == ["kappa_z", "kappa_s"]
    assert "knots" in names_of("callbacks.KLAnnealing", "tau_s")
    assert names_of("vdsm_glass.vdsm.VDSMPretrain", "learning_rate") == []


@pytest.mark.parametrize("class_path", ["VDSMPretrain", "nowhere.Model", "vdsm_glass.vdsm.Nothing", "vdsm_glass.no.M"])
def test_a_class_that_is_not_there_is_not_guessed(class_path: str):
    with pytest.raises(UnreadableError):
        names_of(class_path)


def test_a_class_above_that_cannot_be_read_leaves_the_options_open(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    text = """
import data_modules
from data_modules import VideoDataModule

class Mine(data_modules.VideoDataModule):
    def __init__(self, *, colour: int = 3, **kwargs): ...

class Read(VideoDataModule):
    def __init__(self, *, colour: int = 3, **kwargs): ...
"""
    (tmp_path / "vdsm_glass_test_own").mkdir()
    (tmp_path / "vdsm_glass_test_own" / "__init__.py").write_text(text, encoding="utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    with pytest.raises(UnreadableError, match=r"derives from data_modules\.VideoDataModule"):
        names_of("vdsm_glass_test_own.Mine")
    assert {"colour", "batch_size"} < set(names_of("vdsm_glass_test_own.Read"))
