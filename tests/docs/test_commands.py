"""Every command that README and docs/ show is run, as it is written, on tiny data and for two steps."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path

import pytest

from data_modules.drawings.tiny_video import write_videos
from tests.docs.test_makefile import asked_of_make
from tests.docs.test_pages import PAGES, ROOT, blocks
from vdsm_glass.cli import main

SMOKE = "experiments/smoke"
TRAINED = {"fit", "validate", "test", "predict"}
ELSEWHERE = {
    "source": "sets up the shell",
    "make test": "is these tests",
    "make docs": "is built by test_site.py",
    "docker": "needs Docker and its registry; test_tutorials.py reads the Dockerfile",
    "make study": "trains for hours; tests/vdsm_glass/commands/test_study.py runs the command",
    "make play": "serves a page until it is stopped; tests/vdsm_glass/play opens it",
    "vdsm-glass play": "likewise",
    "python -m vdsm_glass.box.put": "writes into the package; tests/vdsm_glass/box runs the tool",
    "vdsm-glass export vdsm-pendulum shared --push": "asks for an account; tests/vdsm_glass/test_hub.py runs it",
    "vdsm-glass export --web": "needs a package of npm; tests/vdsm_glass/web opens such pages",
    "python -m http.server": "serves until it is stopped",
    "vdsm-glass learn": "trains for minutes; tests/vdsm_glass/commands/test_learn.py runs the command",
    "make arena": "trains for hours; tests/vdsm_glass/arena runs the command",
    "vdsm-glass arena": "likewise",
    "dask": "serves until it is stopped; tests/vdsm_glass/sweeps starts such a cluster",
    "CUDA_VISIBLE_DEVICES": "needs GPUs",
    "vdsm-glass fit --config experiments/vdsm/sprites_pretrain.yaml --data.store_url s3": "needs an account; "
    "tests/data_modules/store/test_remote.py reads such stores",
    "vdsm-glass prepare folder --videos my_videos --cluster": "needs a cluster; tests of `prepare` start one",
    "vdsm-glass score real generated --cluster": "likewise",
    "vdsm-glass sweep experiments/sweeps/vdsm/kappa.yaml --cluster": "likewise",
    "wandb": "asks for an account",
}
"""What a test cannot run, and why."""
FIT_DEMO = "vdsm-glass fit --config experiments/vdsm/compact/pendulum_{0}.yaml --run.name demo/{0}"
PRETRAINED = " --model.pretrained runs/demo/pretrain/latest/checkpoints/last.ckpt"
DEMO = (FIT_DEMO.format("pretrain"), FIT_DEMO.format("sequence") + PRETRAINED)
"""What `make demo` trains; its report has a test of its own."""
BUDGET = {
    "prepare": ["--tiny"],
    "show": ["--tiny"],
    "judge": ["--tiny", "--epochs", "1", "--batches_per_epoch", "2"],
    "sweep": ["--dry_run"],
}
"""What is added so that a command ends within seconds."""
BEFORE = {"generating.md": ["make demo"], "evaluation.md": ["make train-glass-w_sprites/compact"]}
"""What a reader of the README has run before opening a page that goes on from there."""


def commands(page: Path) -> list[str]:
    """The lines of a page's shell blocks."""
    return [command for text in blocks(page, "sh") for command in commands_in(text)]


def commands_in(text: str) -> list[str]:
    """The commands of a shell block; lines that end in \\ joined, variables that it sets filled in."""
    found = []
    lines = text.replace("\\\n", " ").splitlines()
    set_here: dict[str, str] = {}
    for line in (line.partition(" #")[0].strip() for line in lines if not line.startswith("#")):
        if re.fullmatch(r"\w+=\S+", line):
            name, _, value = line.partition("=")
            set_here[f"${name}"] = value
        elif line:
            found.append(re.sub(r"\$\w+", lambda each: set_here[each[0]], line))
    return found


def words_of(command: str) -> list[str]:
    """What `vdsm-glass` is given by a command, whoever starts it."""
    words = shlex.split(command)
    for starter in (["-m", "vdsm_glass"], ["vdsm-glass"]):
        for at in range(len(words)):
            if words[at : at + len(starter)] == starter:
                return words[at + len(starter) :]
    raise AssertionError(f"{command!r} is neither run here nor said to be run elsewhere")


def made_by(target: str) -> Iterator[str]:
    """The lines of vdsm-glass that a target of the Makefile runs."""
    if target == "demo":
        yield from DEMO
        return
    text = (ROOT / "Makefile").read_text("utf-8")
    if target.startswith("train-"):
        said = asked_of_make("-n", target)
        yield from (line.partition("/bin/")[2] for line in said.splitlines() if "/bin/vdsm-glass fit" in line)
        return
    rule = re.search(rf"^{re.escape(target)}:.*\n((?:\t.*\n)+)", text, re.MULTILINE)
    assert rule, f"the Makefile has no {target}"
    yield from (line.strip().replace("$(BIN)/", "") for line in rule[1].splitlines() if "vdsm-glass" in line)


def tiny(words: list[str]) -> list[str]:
    """A command that ends within seconds."""
    command = words[0]
    if command not in TRAINED:
        return [*words[:2], *(BUDGET.get(command, []) if "folder" not in words else []), *words[2:]]
    recipe = next(word for word in words if word.startswith("experiments/"))
    file = f"{SMOKE}/narrow_{recipe.split('/')[1]}.yaml"
    narrow = [] if "vdsm/compact" in recipe or not (ROOT / file).is_file() else ["--config", file]
    one = ["--trainer.devices", "1", "--trainer.num_nodes", "1"]
    # What callbacks are told stands last: it goes to the last one that the configs name.
    last = next((at for at, word in enumerate(words) if word.startswith("--trainer.callbacks")), len(words))
    return [*words[:last], *narrow, "--config", f"{SMOKE}/run.yaml", *one, *words[last:]]


@pytest.mark.parametrize(
    "page",
    [pytest.param(page, marks=() if page.name == "README.md" else pytest.mark.thorough) for page in PAGES],
    ids=lambda page: page.name,
)
def test_what_a_page_shows_runs(page: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.chdir(tmp_path)
    Path("experiments").symlink_to(ROOT / "experiments")
    write_videos(Path("my_videos"), frames=20)
    write_videos(Path("generated"), frames=20)
    ran = set()
    for command in [*BEFORE.get(page.name, []), *commands(page)]:
        if any(command.startswith(start) for start in ELSEWHERE):
            continue
        for line in made_by(command.split()[1]) if command.startswith("make ") else [command]:
            words = tiny(words_of(line))
            if tuple(words) not in ran:
                ran.add(tuple(words))
                assert main(words) == 0, line
