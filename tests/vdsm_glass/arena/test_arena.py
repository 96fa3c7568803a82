"""An arena runs what is missing, goes on where it was stopped, and says who beats whom."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from distributed import LocalCluster
from scipy import stats

from data_modules.common.errors import UserError
from tests.vdsm_glass.report.test_report import Links
from vdsm_glass.arena.entries import Entry, find
from vdsm_glass.arena.page import told_apart
from vdsm_glass.arena.scores import LABELLED, PROTOCOLS, Contender, Score, columns, published, sheet, verdict, verdicts
from vdsm_glass.arena.words import glossary, meaning
from vdsm_glass.cli import main
from vdsm_glass.media import save
from vdsm_glass.metrics.registry import METRICS
from vdsm_glass.metrics.results import NotComputed, Protocol, Result, ResultSet
from vdsm_glass.sweeps import processes
from vdsm_glass.tables.published import Column
from vdsm_glass.trivial.modules import FirstFrameModule

EXPERIMENTS = Path(__file__).resolve().parents[3] / "experiments"
ON = Protocol(split="test", clips=3, frames=4, height=8, width=8)
FIT = """
import json, os, shutil, signal, sys, time
from pathlib import Path

argv = sys.argv[1:]
value = lambda option: argv[argv.index(option) + 1]
model, seed = Path(value("--config")).parts[1], value("--seed_everything")
run = Path(value("--run.dir")) / value("--run.name") / "version_0"
with open("done.txt", "a") as done:
    pretrained = "pretrained" if "--model.pretrained" in argv else ""
    print(argv[0], model, seed, Path(value("--config")).stem, pretrained, file=done)
print("it said why")
if Path(f"fails_{model}_{seed}").exists():
    sys.exit(int(Path(f"fails_{model}_{seed}").read_text()))
if Path(f"waits_{model}").exists():
    stopped = []
    signal.signal(signal.SIGTERM, lambda *_: stopped.append(1))
    Path(f"waiting_{model}_{seed}_{os.getpid()}").touch()
    while not stopped:
        time.sleep(0.01)
    time.sleep(999 if Path("deaf").exists() else 0)
    sys.exit(143)
if Path("together").exists():  # so many commands wait for each other
    Path(f"here_{os.getpid()}").touch()
    while len(list(Path().glob("here_*"))) < int(Path("together").read_text()):
        time.sleep(0.01)
if argv[0] == "fit":
    (run / "checkpoints").mkdir(parents=True, exist_ok=True)
    if not (run.parent / "latest").is_symlink():
        (run.parent / "latest").symlink_to("version_0")
    shutil.copy("first_frame.ckpt", run / "checkpoints" / "last.ckpt")
else:
    folder = run / "test" / "version_0"
    shutil.copytree("pictures", folder / "pictures", dirs_exist_ok=True)
    results = json.loads(Path("results.json").read_text())
    results["results"][0]["value"] = {"first_frame": 20.0, "glass": 30.0}.get(model, 10.0) + int(seed)
    (folder / "results.json").write_text(json.dumps(results))
"""


def book(**values: float) -> ResultSet:
    made = ResultSet()
    made.add([Result(name.replace("__", "/"), value, ON) for name, value in values.items()])
    return made


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Two models with a recipe of Pendulum, and one of two stages, which a script stands in for."""
    script = tmp_path / "fit.py"
    script.write_text(FIT, encoding="utf-8")
    monkeypatch.setattr(processes, "interpreter_line", lambda words: [sys.executable, "-S", str(script), *words])
    monkeypatch.setattr(processes, "POLL_SECONDS", 0.01)
    monkeypatch.chdir(tmp_path)
    for file, model in {
        "glass/pendulum/small": "vdsm_glass.glass.GLASSModule",
        "first_frame/pendulum/small": "vdsm_glass.trivial.modules.FirstFrameModule",
        "vdsm/small/pendulum_pretrain": "vdsm_glass.vdsm.VDSMPretrain",
        "vdsm/small/pendulum_sequence": "vdsm_glass.vdsm.VDSMSequence",
        "glass/pendulum/other": "vdsm_glass.glass.GLASSModule",
    }.items():
        recipe = tmp_path / "experiments" / f"{file}.yaml"
        recipe.parent.mkdir(parents=True, exist_ok=True)
        recipe.write_text(f"model: {{class_path: {model}}}\n")
    module = FirstFrameModule()
    checkpoint = {"state_dict": module.state_dict(), "hyper_parameters": dict(module.hparams)}
    torch.save(checkpoint, tmp_path / "first_frame.ckpt")
    book(reconstruction__psnr=0.0).write(tmp_path)
    clips = torch.rand(2, 3, 4, 3, 8, 8, generator=torch.Generator().manual_seed(0))
    for protocol in ("reconstruction", "transfer"):
        save(clips, tmp_path / "pictures" / f"evaluation_{protocol}.gif")
    return tmp_path


def done(folder: Path) -> list[str]:
    return [line.strip() for line in (folder / "done.txt").read_text().splitlines()]


ARENA = ["arena", "pendulum", "--run", "small", "--metrics", "psnr"]


def test_every_model_with_a_recipe_is_trained_and_tested_once_for_each_seed(folder: Path, capsys):
    assert main([*ARENA, "--seeds", "2"]) == 0
    assert done(folder) == [
        line
        for seed in range(2)
        for line in (
            *(f"{command} glass {seed} small" for command in ("fit", "test")),
            f"fit vdsm {seed} pendulum_pretrain",
            *(f"{command} vdsm {seed} pendulum_sequence pretrained" for command in ("fit", "test")),
            *(f"{command} first_frame {seed} small" for command in ("fit", "test")),
        )
    ], "trivial models come last, and all models have the first seed before one has the second"
    home = folder / "runs/arena/pendulum/small"
    text = (home / "arena.md").read_text()
    half = stats.t.ppf(0.975, 1) * np.std([30, 31], ddof=1) / 2**0.5
    rows = [[cell.strip() for cell in line.split("|")] for line in text.splitlines()]
    cells = {row[1]: row[2:] for row in rows if len(row) > 4}
    assert cells["GLASS"][0] == f"30.5 ± {half:.2g}"
    assert cells["First frame (trivial)"][:2] == [f"20.5 ± {half:.2g}", "0"], "the number and the parameters"
    shown = (home / "arena.html").read_text("utf-8")
    links = Links()
    links.feed(shown)
    assert len(links.found) == 2 * 4, "the real clips and those of three models, of both protocols"
    assert all(link.startswith("data:image/gif") for link in links.found)
    captions = re.findall("<figcaption>(.*?)</figcaption>", shown)
    models = ["GLASS", "VDSM", "First frame"]
    assert captions == ["The real clips", *models, "Whose motion it is", *models]
    for word in ("unsure", "no"):  # GLASS, whose interval is wide, and VDSM
        assert f'<td class="{word} words">{word}: First frame</td>' in shown
    assert "what it is" in shown and "the same on the scale of decibels" in shown  # noqa: PT018
    assert main([*ARENA, "--seeds", "2"]) == 0
    assert len(done(folder)) == 14, "what has results is not run again"
    assert main([*ARENA, "--seeds", "2", "--models", "glass", "--metrics", "ssim"]) == 0
    assert done(folder)[14:] == ["test glass 0 small", "test glass 1 small"], "other metrics need a test alone"
    capsys.readouterr()


def test_a_page_needs_no_more_than_what_lies_in_the_folders_of_the_bouts(folder: Path):
    assert main([*ARENA, "--seeds", "1"]) == 0
    home, runs = folder / "runs/arena/pendulum/small", len(done(folder))
    page = (home / "arena.html").read_bytes()
    for each in home.glob("*/seed_0/*"):
        if each.is_dir():
            shutil.rmtree(each)
    for each in (home / "arena.html", home / "arena.md", home / "pictures"):
        shutil.rmtree(each) if each.is_dir() else each.unlink()
    assert main([*ARENA, "--seeds", "1"]) == 0
    assert len(done(folder)) == runs, "nothing is run again"
    assert (home / "arena.html").read_bytes() == page


def test_what_fails_says_why_and_the_others_go_on(folder: Path, capsys: pytest.CaptureFixture[str]):
    (folder / "fails_glass_0").write_text("3")
    assert main([*ARENA, "--seeds", "1"]) == 1
    said = capsys.readouterr()
    assert "glass/seed_0: failed with code 3: it said why; see" in said.out
    assert "1 of 3 bouts failed" in said.err
    assert "GLASS" not in (folder / "runs/arena/pendulum/small/arena.md").read_text()
    (folder / "fails_glass_0").unlink()
    assert main([*ARENA, "--seeds", "1"]) == 0
    assert done(folder)[-2:] == ["fit glass 0 small", "test glass 0 small"]


def test_a_stopped_arena_goes_on_with_the_stage_that_it_was_in(folder: Path):
    (folder / "fails_vdsm_0").write_text("143")
    assert main([*ARENA, "--seeds", "1"]) == 143
    assert done(folder)[-1] == "fit vdsm 0 pendulum_pretrain", "nothing is run after it"
    state = folder / "runs/arena/pendulum/small/vdsm/seed_0/arena.json"
    before = json.loads(state.read_text())
    assert before["seconds"] > 0
    state.write_text(json.dumps(before | {"fitted": ["pendulum_pretrain"]}))
    (folder / "fails_vdsm_0").unlink()
    assert main([*ARENA, "--seeds", "1"]) == 0
    assert done(folder)[3:5] == ["fit vdsm 0 pendulum_sequence pretrained", "test vdsm 0 pendulum_sequence pretrained"]
    assert json.loads(state.read_text())["seconds"] > before["seconds"], "the time of the interrupted part counts"


def when(happens: Callable[[], object], do: Callable[[], object]) -> threading.Thread:
    """Does something as soon as something has happened."""

    def wait() -> None:
        while not happens():
            time.sleep(0.01)
        do()

    thread = threading.Thread(target=wait, daemon=True)
    thread.start()
    return thread


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_lets_what_runs_save_itself_and_the_same_command_goes_on(
    number: int, folder: Path, capsys: pytest.CaptureFixture[str]
):
    (folder / "waits_glass").touch()
    when(lambda: list(folder.glob("waiting_glass_*")), lambda: os.kill(os.getpid(), number))
    assert main([*ARENA, "--seeds", "1"]) == 128 + number
    assert done(folder) == ["fit glass 0 small"], "nothing is begun after it"
    said = capsys.readouterr().out
    assert "stopping 1 trainings, which save their state; once more ends them at once" in said
    assert "glass/seed_0: stopped; repeat the command to go on" in said
    (folder / "waits_glass").unlink()
    assert main([*ARENA, "--seeds", "1"]) == 0
    assert done(folder)[1:3] == ["fit glass 0 small", "test glass 0 small"]


def test_a_second_ctrl_c_ends_what_does_not_listen(folder: Path, capsys: pytest.CaptureFixture[str]):
    for name in ("waits_glass", "deaf"):
        (folder / name).touch()
    home = folder / "runs/arena/pendulum/small/glass/seed_0"
    when(lambda: list(folder.glob("waiting_glass_*")), lambda: os.kill(os.getpid(), signal.SIGINT))
    when((home / ".SIGTERM").exists, lambda: (time.sleep(0.1), os.kill(os.getpid(), signal.SIGINT)))
    assert main([*ARENA, "--seeds", "1", "--models", "glass"]) == 130
    assert "glass/seed_0: stopped" in capsys.readouterr().out
    (pid,) = (int(file.name.rpartition("_")[2]) for file in folder.glob("waiting_glass_*"))
    with pytest.raises(ProcessLookupError):
        os.kill(pid, 0)


def test_bouts_side_by_side_are_the_same_as_one_after_the_other(folder: Path):
    (folder / "together").write_text("2")
    assert main([*ARENA, "--seeds", "2", "--models", "glass", "--jobs", "2"]) == 0, "one alone would wait for ever"
    assert sorted(done(folder)) == sorted(f"{word} glass {seed} small" for word in ("fit", "test") for seed in (0, 1))
    assert "30.5 ±" in (folder / "runs/arena/pendulum/small/arena.md").read_text()


def test_side_by_side_a_stopped_bout_stops_the_others_and_a_failed_one_does_not(folder: Path):
    (folder / "fails_first_frame_0").write_text("3")
    (folder / "waits_glass").touch()
    when(
        lambda: list(folder.glob("waiting_glass_*")) and "fit first_frame 0 small" in (folder / "done.txt").read_text(),
        lambda: os.kill(os.getpid(), signal.SIGINT),
    )
    assert main([*ARENA, "--seeds", "1", "--models", "glass", "first_frame", "--jobs", "2"]) == 130
    for file in folder.glob("*ait*_glass*"):
        file.unlink()
    (folder / "fails_first_frame_0").unlink()
    (folder / "fails_glass_0").write_text("143")
    (folder / "waits_first_frame").touch()
    # Without a word from the user: someone has stopped one of the commands.
    assert main([*ARENA, "--seeds", "1", "--models", "glass", "first_frame", "--jobs", "2"]) == 143
    assert not (folder / "runs/arena/pendulum/small/arena.md").exists(), "the other was stopped, too"


@pytest.mark.parametrize("more", [[], ["--jobs", "1"], ["--resources", "GPU=2"]])
def test_bouts_run_on_a_cluster(more: list[str], folder: Path, capsys: pytest.CaptureFixture[str]):
    """One at a time or four; each `test` follows its `fit`."""
    (folder / "fails_glass_1").write_text("3")
    (folder / "together").write_text("1" if "--jobs" in more else "2")
    with LocalCluster(
        n_workers=2, threads_per_worker=2, resources={"GPU": 2}, processes=False, dashboard_address="127.0.0.1:0"
    ) as cluster:
        cluster.wait_for_workers(2)
        options = ["--seeds", "2", "--cluster", cluster.scheduler_address, *more]
        assert main([*ARENA, "--models", "glass", "first_frame", *options]) == 1
    ran = done(folder)
    others = [("glass", 0), ("first_frame", 0), ("first_frame", 1)]
    pairs = [(f"fit {name} {seed} small", f"test {name} {seed} small") for name, seed in others]
    assert sorted(ran) == sorted([line for pair in pairs for line in pair] + ["fit glass 1 small"])
    assert all(ran.index(fit) < ran.index(test) for fit, test in pairs)
    assert "glass/seed_1: failed with code 3: it said why; see" in capsys.readouterr().out
    assert re.search(r"\| GLASS +\| 30 +\|", (folder / "runs/arena/pendulum/small/arena.md").read_text())


def test_where_no_cluster_answers_nothing_is_run(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main([*ARENA, "--resources", "GPU=1"]) == 2
    assert "say with --cluster which" in capsys.readouterr().err
    assert main([*ARENA, "--cluster", "tcp://127.0.0.1:1"]) == 2
    assert "no Dask scheduler answers there" in capsys.readouterr().err
    assert not (folder / "done.txt").exists()


def test_runs_with_other_options_are_not_taken_up(folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main([*ARENA, "--seeds", "1", "--models", "glass", "--", "--trainer.max_steps", "2"]) == 0
    assert main([*ARENA, "--seeds", "1", "--models", "glass"]) == 2
    assert "was begun with the options `--trainer.max_steps 2` and would now have `none`" in capsys.readouterr().err
    file = folder / "runs/arena/pendulum/small/glass/seed_0/arena.json"
    file.write_text("{")
    assert main([*ARENA, "--seeds", "1", "--models", "glass"]) == 2
    assert "arena.json is damaged" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("argv", "said"),
    [
        (["arena", "pendulm"], "'pendulm' is not a dataset; did you mean 'pendulum'"),
        (["arena", "mug"], "no model has a recipe experiments/*/mug/compact.yaml; of mug there are: none"),
        (["arena", "pendulum"], "of pendulum there are: other, small"),
        (
            [*ARENA, "--models", "glas"],
            "'glas' has no recipe experiments/glas/pendulum/small.yaml; did you mean 'glass'",
        ),
        (["arena", "pendulum", "--metrics", "pnsr"], "'pnsr' is not a metric; did you mean 'psnr'"),
    ],
)
def test_what_is_not_there_is_named(argv: list[str], said: str, folder: Path, capsys: pytest.CaptureFixture[str]):
    assert main(argv) == 2
    assert said in capsys.readouterr().err


def test_the_recipes_of_this_repository_enter():
    w_sprites, sprites = (find(data, "compact", home=EXPERIMENTS) for data in ("w_sprites", "sprites"))
    trivial = ["first_frame", "nearest_clip", "random_action", "true_shifts"]
    assert {"glass", *trivial} <= {entry.name for entry in w_sprites}
    assert {"vdsm", *trivial[:3]} <= {entry.name for entry in sprites}
    assert [entry.name for entry in w_sprites][-4:] == trivial
    vdsm = next(entry for entry in sprites if entry.name == "vdsm")
    assert [recipe.stem for recipe in vdsm.recipes] == ["sprites_pretrain", "sprites_sequence"]
    assert "rollout" in vdsm.model_class.can
    paper = find("w_sprites", "paper", models=["glass"], home=EXPERIMENTS)
    assert paper[0].recipes == (EXPERIMENTS / "glass/w_sprites.yaml",)


def test_a_recipe_without_a_model_cannot_enter(tmp_path: Path):
    (tmp_path / "a.yaml").write_text("trainer: {}\n")
    with pytest.raises(UserError, match=r"a\.yaml: names no model\.class_path"):
        assert Entry("a", (tmp_path / "a.yaml",)).model_class


def test_what_papers_print_is_found_by_the_recipe():
    printed = published(Entry("glass", (EXPERIMENTS / "glass/w_sprites/compact.yaml",)))
    assert (printed["miou"], printed["nmi_g"]) == ("0.88", "0.39")
    assert published(Entry("caddy", (EXPERIMENTS / "caddy/bair.yaml",))) == {
        f"reconstruction/first_frame_counted/{name}": value
        for name, value in {"lpips_vgg": "0.202", "fid": "35.9", "fvd": "423"}.items()
    }
    assert not published(Entry("first_frame", (EXPERIMENTS / "first_frame/w_sprites/compact.yaml",)))


def test_an_interval_is_students_and_says_what_is_sure():
    score = Score.of([1.0, 2.0, 4.5])
    low, high = stats.t.interval(0.95, 2, loc=2.5, scale=stats.sem([1.0, 2.0, 4.5]))
    assert (score.mean - score.half, score.mean + score.half) == pytest.approx((low, high))  # pyright: ignore[reportOperatorIssue]
    assert str(Score.of([0.25])) == "0.25"
    near, far = Score(2.0, 0.6, 3), Score(3.0, 0.3, 3)
    assert [far.against(near, better) for better in ("more", "less")] == ["yes", "no"]
    assert near.against(far, "less") == "yes"
    assert far.against(replace(near, half=0.8), "more") == "unsure"
    assert near.against(near, "more") == "no"


def contenders() -> list[Contender]:
    entry = Entry("a", (Path("experiments/a/b/c.yaml"),))
    return [
        Contender(entry, "Learns", False, [book(miou=0.9, reconstruction__mse=2.0, reconstruction__psnr=20.0)]),
        Contender(entry, "Copies", True, [book(reconstruction__mse=1.0, reconstruction__psnr=15.0)]),
        Contender(entry, "Guesses", True, [book(reconstruction__mse=3.0, reconstruction__psnr=19.0)]),
    ]


def test_a_verdict_is_against_every_trivial_model_in_the_sense_of_the_metric():
    shown = columns(contenders())
    assert shown["reconstruction mse"] == Column("reconstruction/mse", "less")
    assert list(shown)[-1] == "miou", "what all models have comes first"
    assert shown["reconstruction psnr"] == Column("reconstruction/psnr", "more")
    said = verdicts(contenders(), shown)
    assert said.header == ["metric", "Learns"]
    assert said.rows == [
        ["metrics won", "1 of 2"],
        ["reconstruction mse ↓", "no: Copies"],
        ["reconstruction psnr ↑", "yes"],
    ], "no trivial model has masks"
    rivals = {"A": Score(1.9, None, 1), "B": Score(3.0, 0.1, 3), "C": Score(1.0, 0.1, 3)}
    assert verdict(Score(2.0, 0.5, 3), rivals, "more") == "no: B; unsure: A"
    assert verdict(None, rivals, "more") == "–"


def test_what_is_the_same_for_all_models_is_no_verdict_and_what_was_not_measured_does_not_count():
    judged = {"judge__action__real__acc": 1.0, "judge__action__swap__acc": 0.5}
    learns, copies, _ = contenders()
    told = [replace(copies, results=[book(**judged)]), replace(learns, results=[book(miou=0.9)])]
    assert "judge action real acc" in columns(told), "it is shown: the best that can be reached"
    said = verdicts(told, columns(told))
    assert said.rows == [["metrics won", "0 of 0"], ["judge action swap acc ↑", "–"]]
    assert not verdicts([copies], columns([copies])).rows
    assert not verdicts([learns], columns([learns])).rows


def test_models_of_one_kind_are_told_apart_by_their_recipes():
    learns, copies, _ = contenders()
    other = replace(learns, entry=Entry("b", learns.entry.recipes))
    assert [each.title for each in told_apart([learns, other, copies])] == ["Learns (a)", "Learns (b)", "Copies"]


def test_every_metric_that_can_be_shown_is_said_in_words():
    measures = [f"{protocol}/{name}" for protocol in PROTOCOLS for name in METRICS] + list(LABELLED)
    measures += ["reconstruction/first_frame_counted/fvd_16f_s1_64clips", "transfer/fid/random_features"]
    measures += ["reconstruction/add_mdr/add", "judge/all/swap/acc", "judge/hair/frozen_identity/acc"]
    assert not [name for name in measures if not meaning(name)]
    assert meaning("reconstruction/add_mdr/mdr").startswith("share of frames")
    assert meaning("something/else") == ""
    shown = {"a b": Column("miou", "more"), "c": Column("unknown", "less")}
    assert glossary(shown, ["a b ↑", "c ↓"]) == [("a b ↑", meaning("miou"))]


def test_clips_that_differ_and_gaps_are_said():
    learns, copies, _ = contenders()
    odd = ResultSet()
    odd.add([Result("reconstruction/mse", 1.0, replace(ON, height=16))], [NotComputed("reconstruction/fid", "no file")])
    notes = sheet([learns, replace(copies, results=[odd])], {}).notes
    assert notes[0].startswith("The clips differ")
    assert any("16x8, stride 1: Copies." in note for note in notes)
    assert "fid: not computed: no file." in notes
    assert "Test split: 3 clips of 4 frames, 8x8, stride 1." in sheet([learns], {}).notes
    printed = replace(learns, published={"miou": "0.88"}, parameters=12345, seconds=150.0)
    assert sheet([printed], {"m": Column("miou", "more")}).rows == [
        ["Learns", "0.9 (paper: 0.88)", "12 345", "2.5 min"]
    ]
