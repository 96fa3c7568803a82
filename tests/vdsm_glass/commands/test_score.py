"""`vdsm-glass score`: numbers of videos that someone else's model may have made."""

from pathlib import Path

import numpy as np
import pytest

from data_modules.drawings.tiny_video import write_film, write_pictures
from data_modules.store.format import SPLITS
from data_modules.tools.video_sets import MOST_FRAMES, VideoFiles, VideoSet, pair
from tests.data_modules.toy import HEIGHT, WIDTH, Toy
from vdsm_glass.cli import main
from vdsm_glass.metrics.results import MARKDOWN, RESULTS, ResultSet
from vdsm_glass.metrics.suite import Suite

PAIRS = ["--metrics", "mse", "psnr"]


def grey(value: int, *, frames: int = 4, height: int = 16, width: int = 24) -> np.ndarray:
    return np.full((frames, height, width, 3), value, np.uint8)


def noise(seed: int, *, frames: int = 12, height: int = 16, width: int = 24) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 256, (frames, height, width, 3), np.uint8)


def write(folder: Path, videos: dict[str, np.ndarray]) -> Path:
    """A folder of PNGs a video, which lose nothing."""
    for name, video in videos.items():
        write_pictures(folder / name, video)
    return folder


def scored(real: Path, generated: Path, *more: str) -> ResultSet:
    out = generated.parent / "out"
    assert main(["score", str(real), str(generated), "--out", str(out), *more]) == 0
    return ResultSet.read(out / RESULTS)


def complaint(capsys: pytest.CaptureFixture, *arguments: object) -> str:
    """What the command says, in one line, after it printed nothing else."""
    assert main(["score", *map(str, arguments)]) == 2
    printed = capsys.readouterr()
    assert printed.out == ""
    assert printed.err.startswith("vdsm-glass: error: ")
    assert len(printed.err.splitlines()) == 1
    return printed.err


def test_black_against_grey_is_what_the_formulas_say(tmp_path: Path, capsys: pytest.CaptureFixture):
    """MSE is the mean of (51 / 255)² and (102 / 255)², PSNR the mean of 10 log₁₀ of 25 and of 6.25."""
    real = write(tmp_path / "real", {"a": grey(0), "deep/b": grey(0)})
    generated = write(tmp_path / "mine", {"a": grey(51), "deep/b": grey(102)})
    book = scored(real, generated, *PAIRS, "--batch", "1")
    assert book.values == {
        "mse": pytest.approx((0.04 + 0.16) / 2),
        "psnr": pytest.approx(5 * (np.log10(25) + np.log10(6.25)), rel=1e-6),
    }
    assert not book.not_computed
    protocol = book.results["mse"].protocol
    assert (protocol.split, protocol.clips, protocol.frames, protocol.height, protocol.width) == ("", 2, 4, 16, 24)
    assert protocol.generated_by == "mine"
    assert (tmp_path / "out" / MARKDOWN).read_text("utf-8") == book.markdown()
    shown = capsys.readouterr().out
    assert "0.1" in shown
    assert "2 clips of 4" in " ".join(shown.split())


def test_clips_pair_by_name_and_not_by_order(tmp_path: Path):
    """In natural order v9 comes before v10; what is generated has the same names as films, in other folders' order."""
    real = write(tmp_path / "real", {"v9": grey(0), "v10": grey(255), "x/v9": grey(102)})
    generated = tmp_path / "mine"
    (generated / "x").mkdir(parents=True)
    for name, value in (("v10", 255), ("v9", 0), ("x/v9", 102)):
        write_film(generated / f"{name}.gif", grey(value))
    numbers, reason = pair(VideoFiles(real), VideoFiles(generated))
    assert [VideoFiles(generated).names[number] for number in numbers] == ["v9.gif", "v10.gif", "x/v9.gif"]
    assert reason == ""
    # Frames that are equal are one frame to who writes GIFs.
    assert scored(real, generated, "--metrics", "mse", "--frames", "1").values == {"mse": 0}


def test_folders_that_are_equal_are_at_no_distance(tmp_path: Path):
    videos = {name: noise(seed) for seed, name in enumerate("abcd")}
    real, generated = write(tmp_path / "real", videos), write(tmp_path / "mine", videos)
    book = scored(real, generated, "--metrics", "mse", "psnr", "fvd", "--stand-ins")
    assert book.values == {"mse": 0, "fvd_12f_s1_4clips/random_features": pytest.approx(0, abs=1e-9)}
    assert "inf" in book.not_computed["psnr"].reason
    changed = write(tmp_path / "changed", {name: video // 2 for name, video in videos.items()})
    assert scored(real, changed, "--metrics", "fvd", "--stand-ins").values.popitem()[1] > 1e-4


def test_without_pairs_only_distributions_are_compared_and_names_are_given(tmp_path: Path):
    """... and the distance does not depend on the names, nor on how many clips are in memory."""
    videos = [noise(seed) for seed in range(5)]
    real = write(tmp_path / "real", {f"r{number}": video for number, video in enumerate(videos[:3])})
    unpaired = write(tmp_path / "mine", {"r0": videos[2], "x1": videos[3], "x2": videos[4]})
    paired = write(tmp_path / "same", {"r0": videos[2], "r1": videos[3], "r2": videos[4]})
    asked = ["--metrics", "mse", "ssim", "fvd", "--stand-ins"]
    book = scored(real, unpaired, *asked, "--batch", "2")
    assert set(book.not_computed) == {"mse", "ssim"}
    said = book.not_computed["mse"].reason
    assert f"{real} lacks 'x1', 'x2'" in said
    assert f"{unpaired} lacks 'r1', 'r2'" in said
    name = "fvd_12f_s1_3clips/random_features"
    assert set(book.values) == {name}
    assert book.values[name] == pytest.approx(scored(real, paired, *asked).values[name], rel=1e-6)


def test_a_batch_is_scored_before_the_next_is_read(tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    real = write(tmp_path / "real", {name: grey(0) for name in "abcde"})
    order: list[str] = []
    for owner, method in ((VideoSet, "read"), (Suite, "update")):
        call = getattr(owner, method)
        monkeypatch.setattr(owner, method, lambda *args, m=method, call=call: [order.append(m[0]), call(*args)][1])
    scored(real, real, "--metrics", "mse", "--batch", "2")
    assert "".join(order) == "rrrru" + "rrrru" + "rru"


@pytest.mark.parametrize("where", ["--workers", pytest.param("--cluster", marks=pytest.mark.thorough)])
def test_who_scores_changes_results_by_rounding_alone(where: str, tmp_path: Path, request: pytest.FixtureRequest):
    videos = {f"v{seed}": noise(seed) for seed in range(7)}
    real = write(tmp_path / "real", videos)
    paired = write(tmp_path / "mine", {name: video // 2 for name, video in videos.items()})
    unpaired = write(tmp_path / "other", {f"x{name}": video // 2 for name, video in videos.items()})
    asked = ["--metrics", "psnr", "fvd", "ssim", "--stand-ins", "--batch", "1"]
    who = [where, "2" if where == "--workers" else request.getfixturevalue("dask_cluster")]
    for generated in (paired, unpaired):
        here, there = scored(real, generated, *asked), scored(real, generated, *asked, *who)
        assert there.values == pytest.approx(here.values, rel=1e-6)
        assert set(there.not_computed) == set(here.not_computed)
    assert len(here.values) == 1


def test_what_another_process_cannot_compute_says_why(tmp_path: Path):
    real = write(tmp_path / "real", {name: grey(0, height=8) for name in "ab"})
    book = scored(real, real, "--metrics", "mse", "ssim", "--workers", "1")
    assert set(book.values) == {"mse"}
    assert "11 x 11 pixels" in book.not_computed["ssim"].reason


def test_sides_of_unequal_number_say_so(tmp_path: Path):
    real = write(tmp_path / "real", {"a": noise(0), "b": noise(1), "c": noise(2)})
    generated = write(tmp_path / "mine", {"a": noise(3), "b": noise(4)})
    book = scored(real, generated, "--metrics", "fvd", "--stand-ins")
    assert [each.protocol.generated_by for each in book.results.values()] == ["mine, 2 clips"]


def test_a_store_names_the_beginning_of_a_film_as_the_film():
    """`[0:256]` is what `vdsm-glass prepare folder` appends; later pieces of a film are nothing else's beginning."""
    stored = VideoSet(Path("store"), ["more/b.mp4[0:256]", "v0.5[0:8]", "a.gif[0:20]"])
    assert pair(stored, VideoSet(Path("mine"), ["a.mp4", "more/b", "v0.5"])) == ([1, 2, 0], "")
    longer = VideoSet(Path("store"), ["a.mp4[0:256]", "a.mp4[256:300]"])
    assert pair(longer, VideoSet(Path("mine"), ["a.mp4"]))[1].endswith("mine lacks 'a.mp4[256:300]'")


def test_pictures_without_a_folder_of_their_own_are_one_clip(tmp_path: Path):
    write_pictures(tmp_path / "real", grey(0))
    write_pictures(tmp_path / "mine", grey(51))
    book = scored(tmp_path / "real", tmp_path / "mine", "--metrics", "mse")
    assert book.values == {"mse": pytest.approx(0.04)}


def test_two_films_of_one_name_are_no_pair(tmp_path: Path):
    real = write(tmp_path / "real", {"a": grey(0)})
    generated = tmp_path / "mine"
    generated.mkdir()
    for suffix in (".gif", ".avi"):
        write_film(generated / f"a{suffix}", grey(0))
    assert "has more than one 'a'" in scored(real, generated, *PAIRS).not_computed["mse"].reason


def test_a_clip_store_against_files(tmp_path: Path):
    """Clip by clip and frame by frame what the store holds, of the split that was asked for."""
    toy = Toy(root=str(tmp_path / "data"), clips=3)
    toy.prepare_data()
    for split in SPLITS:
        clips = [toy.clip(split, number) for number in range(3)]
        generated = write(tmp_path / split, {clip.name: clip.video // 2 * 2 for clip in clips})
        book = scored(toy.store_folder(), generated, "--split", split, "--frames", "9", "--metrics", "mse")
        # A last bit that is lost: 1 / 255 in every odd value.
        odd = np.mean([clip.video[:9] % 2 for clip in clips])
        assert book.values["mse"] == pytest.approx(odd / 255**2, rel=1e-5)
        protocol = book.results["mse"].protocol
        assert (protocol.split, protocol.clips, protocol.height, protocol.width) == (split, 3, HEIGHT, WIDTH)
    itself = scored(toy.store_folder(), toy.store_folder(), "--frames", "9", "--metrics", "mse")
    assert itself.values == {"mse": 0}
    assert itself.results["mse"].protocol.split == "test"


def test_frames_are_cut_and_sizes_made_to_fit_when_asked(tmp_path: Path):
    """The first frames count; of frames of another shape the middle does."""
    late = np.concatenate([grey(0, frames=2), grey(255, frames=3)])
    wide = grey(255, height=16, width=32)
    wide[:, :, 8:24] = 0
    real = write(tmp_path / "real", {"a": grey(0, height=16, width=16), "b": grey(0, height=16, width=16)})
    generated = write(tmp_path / "mine", {"a": late, "b": wide})
    book = scored(real, generated, "--metrics", "mse", "--frames", "2", "--size", "16", "16")
    assert book.values == {"mse": 0}


def test_bad_clips_are_named_in_one_line(tmp_path: Path, capsys: pytest.CaptureFixture):
    real = write(tmp_path / "real", {"a": grey(0), "b": grey(0)})
    cases = {
        "short": ({"b": grey(0, frames=3)}, PAIRS, "3 frames, expected 4"),
        "asked": ({"b": grey(0, frames=3)}, [*PAIRS, "--frames", "4"], "3 frames, expected 4"),
        "long": ({"b": grey(0, frames=5)}, PAIRS, "--frames"),
        "wide": ({"b": grey(0, width=32)}, PAIRS, "--size 16 24"),
        "mixed": ({"b": grey(0)}, PAIRS, "cannot be read as a JPG or PNG"),
    }
    for name, (videos, arguments, said) in cases.items():
        generated = write(tmp_path / name, {"a": grey(0)} | videos)
        if name == "mixed":
            (generated / "b" / "00002.png").write_bytes(b"no picture")
        found = complaint(capsys, real, generated, *arguments)
        assert f"{generated / 'b'}" in found
        assert said in found
    film = tmp_path / "films" / "b.mp4"
    write(film.parent, {"a": grey(0)})
    write_film(film, grey(0))
    film.write_bytes(film.read_bytes()[:200])
    assert f"{film}: " in complaint(capsys, real, film.parent, *PAIRS)


def test_bad_folders_and_options_are_named_before_anything_is_scored(tmp_path: Path, capsys: pytest.CaptureFixture):
    real = write(tmp_path / "real", {"a": grey(0)})
    empty, file = tmp_path / "empty", tmp_path / "file"
    empty.mkdir()
    file.write_text("text")
    assert f"{empty} holds no videos" in complaint(capsys, real, empty)
    assert f"{tmp_path / 'none'} is not there" in complaint(capsys, tmp_path / "none", real)
    assert f"{file} is not a folder" in complaint(capsys, real, file)
    assert f"--out {file}" in complaint(capsys, real, real, "--out", file)
    assert "did you mean 'psnr'" in complaint(capsys, real, real, "--metrics", "pnsr")
    assert "did you mean 'fvd'" in complaint(capsys, real, real, "--weights", f"fdv={file}")
    assert f"{empty} is not a file" in complaint(capsys, real, real, "--weights", f"fvd={empty}")
    assert "NAME=PATH" in complaint(capsys, real, real, "--weights", "fvd")
    (empty / "manifest.json").write_text("{")
    assert f"{empty / 'manifest.json'}" in complaint(capsys, real, empty)
    for value in ("0", "-1", "two"):
        with pytest.raises(SystemExit) as end:
            main(["score", str(real), str(real), "--batch", value])
        assert end.value.code == 2
        assert "number of at least 1" in capsys.readouterr().err


def test_missing_weights_are_a_gap_and_weights_go_to_their_metric(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture
):
    monkeypatch.setenv("VDSM_GLASS_CACHE", str(tmp_path / "cache"))
    monkeypatch.setenv("TORCH_HOME", str(tmp_path / "hub"))
    real = write(tmp_path / "real", {"a": noise(0), "b": noise(1)})
    book = scored(real, real, "--metrics", "mse", "fvd")
    assert book.values == {"mse": 0}
    assert "weights fetch i3d" in book.not_computed["fvd"].reason
    wrong = tmp_path / "[red] wrong.pt"
    wrong.write_bytes(b"something")
    book = scored(real, real, "--metrics", "mse", "fvd", "--weights", f"fvd={wrong}")
    assert str(wrong) in book.not_computed["fvd"].reason
    assert "[red] wrong.pt" in capsys.readouterr().out.replace("\n", "")


def test_a_clip_is_read_whole_only_up_to_a_bound(tmp_path: Path, capsys: pytest.CaptureFixture):
    real = tmp_path / "real"
    real.mkdir()
    pixels = np.arange(MOST_FRAMES + 1, dtype=np.uint16)[:, None, None, None] % 256
    write_film(real / "long.gif", np.broadcast_to(pixels, (len(pixels), 8, 8, 3)).astype(np.uint8))
    assert "--frames" in complaint(capsys, real, real, *PAIRS)
    assert scored(real, real, "--metrics", "mse", "--frames", "3").results["mse"].protocol.frames == 3
