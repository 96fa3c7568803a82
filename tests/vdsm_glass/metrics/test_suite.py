"""A set of metrics, the book of their results, and what each was measured on."""

import io
import json
from dataclasses import replace
from importlib.metadata import version
from pathlib import Path

import pytest
import torch
from rich.console import Console
from torch import Tensor
from torchmetrics import Metric

from data_modules.common.errors import UserError
from vdsm_glass.metrics.features import RandomFeatures, random_frame_features
from vdsm_glass.metrics.registry import METRICS, MetricKind
from vdsm_glass.metrics.results import MARKDOWN, RESULTS, NotComputed, Protocol, Result, ResultSet
from vdsm_glass.metrics.suite import Suite

PROTOCOL = Protocol(split="test", clips=2, frames=3, height=16, width=16, generated_by="swap", given_frames=1)


class Choosy(Metric):
    """Counts clips, and refuses the `refused`-th call, or to compute."""

    def __init__(self, refused: int | None) -> None:
        super().__init__()
        self.refused = refused
        self.calls = 0
        self.add_state("clips", default=torch.tensor(0.0), dist_reduce_fx="sum")

    def update(self, generated: Tensor, reference: Tensor) -> None:
        self.calls += 1
        if self.calls == self.refused:
            raise UserError(f"call {self.calls} is refused")
        self.clips += len(generated)

    def compute(self) -> Tensor:
        if self.refused == 0:
            raise UserError("too few were seen")
        return self.clips


@pytest.fixture
def choosy(monkeypatch: pytest.MonkeyPatch):
    for name, refused in (("second", 2), ("never", None), ("end", 0)):
        kind = MetricKind(name=name, kind="pair", published=lambda _, refused=refused: Choosy(refused))
        monkeypatch.setitem(METRICS, name, kind)


def clips(value: float, *, count: int = 2) -> Tensor:
    return torch.full((count, 3, 3, 16, 16), value)


def result(name: str = "mse", value: float = 0.1, **more) -> Result:
    return Result(name=name, value=value, protocol=PROTOCOL, **more)


@pytest.mark.usefixtures("choosy")
def test_a_metric_that_refuses_becomes_a_gap_and_the_rest_go_on():
    suite = Suite(["second", "mse", "end", "never"], paired=True, frames=3, prefix="swap/")
    for _ in range(3):
        suite.update(clips(0.0), clips(0.5))
    results, gaps = suite.compute(PROTOCOL)
    assert {each.name: each.value for each in results} == {"swap/mse": 0.25, "swap/never": 6}
    assert gaps == [
        NotComputed("swap/second", "call 2 is refused"),
        NotComputed("swap/end", "too few were seen"),
    ]
    assert all(each.protocol == PROTOCOL for each in results)


def test_an_error_of_the_code_is_no_gap(monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setattr("vdsm_glass.metrics.similarity.MSE.score", lambda *_: 1 / 0)
    with pytest.raises(ZeroDivisionError):
        Suite(["mse"], paired=True, frames=3).update(clips(0.0), clips(0.5))


def test_scores_of_frames_come_with_their_mean():
    reference = torch.tensor([0.5, 0.0, 1.0]).view(1, 3, 1, 1, 1).expand(2, 3, 3, 16, 16)
    suite = Suite(["mse"], paired=True, frames=3)
    suite.update(clips(0.0), reference)
    (found,), _ = suite.compute(PROTOCOL)
    assert found.per_position == (0.25, 0.0, 1.0)
    assert found.value == pytest.approx(1.25 / 3)
    assert found.network is None
    assert found.seconds is not None
    assert 0 <= found.seconds < 10


def test_clips_of_one_frame_have_one_position():
    suite = Suite(["mse"], paired=True, frames=1)
    suite.update(clips(0.0)[:, :1], clips(0.5)[:, :1])
    (found,), _ = suite.compute(PROTOCOL)
    assert (found.value, found.per_position) == (0.25, (0.25,))


@pytest.mark.parametrize(("word", "nearest"), [("msee", "'mse'"), ("lpips_vg", "'lpips_vgg'")])
def test_an_unknown_metric_gets_the_nearest_name(word: str, nearest: str):
    with pytest.raises(UserError, match=f"'{word}' is not a metric; did you mean {nearest}.*psnr"):
        Suite(iter(["psnr", word]), paired=True, frames=3)


def test_what_needs_pairs_is_left_out_without_them():
    suite = Suite(["mse", "fid", "add_mdr"], paired=False, frames=3, stand_ins=True)
    assert list(suite.running) == ["fid/random_features"]
    suite.update(None, torch.rand(2, 3, 3, 32, 32))
    suite.update(torch.rand(2, 3, 3, 32, 32), None)
    ((found,), gaps) = suite.compute(PROTOCOL)
    assert (found.name, gaps) == ("fid/random_features", [])
    assert found.value > 0
    assert found.network == "random_features"
    assert found.checksum


def test_too_short_clips_are_a_gap_before_anything_is_loaded():
    suite = Suite(["fvd"], paired=True, frames=9, weights={"fvd": Path("/nowhere")})
    assert not suite.running
    assert suite.compute(PROTOCOL) == ([], [NotComputed("fvd", "clips of 9 frames are scored, it needs 10 or more")])


def test_the_name_of_fvd_says_what_it_depends_on():
    suite = Suite(["fvd"], paired=True, frames=10, stand_ins=True, prefix="swap/")
    suite.update(torch.rand(2, 10, 3, 16, 16), torch.rand(2, 10, 3, 16, 16))
    (found,), _ = suite.compute(replace(PROTOCOL, frames=11, stride=2, clips=2))
    assert found.name == "swap/fvd_10f_s2_2clips/random_features"


def test_a_number_that_is_not_finite_is_a_gap():
    suite = Suite(["psnr", "mse"], paired=True, frames=3)
    suite.update(clips(0.5), clips(0.5))
    results, gaps = suite.compute(PROTOCOL)
    assert [each.name for each in results] == ["mse"]
    assert [gap.name for gap in gaps] == ["psnr"]
    assert "equal the real ones" in gaps[0].reason
    suite = Suite(["mse"], paired=True, frames=3)
    suite.update(clips(float("nan")), clips(0.5))
    (results, gaps) = suite.compute(PROTOCOL)
    assert not results
    assert "is nan: the generated frames" in gaps[0].reason


def test_a_book_is_read_as_it_was_written(tmp_path: Path):
    book = ResultSet()
    numbers = [
        result(value=1 / 3, per_position=(0.1, 0.2), seconds=0.5),
        result("fvd", 12.5, network="i3d", checksum="abc"),
    ]
    book.add(numbers, [NotComputed("lpips", "no ä weights")])
    book.write(tmp_path / "new" / "folder")
    read = ResultSet.read(tmp_path / "new" / "folder" / RESULTS)
    assert read == book
    assert read.results["mse"].value == 1 / 3
    assert read.results["mse"].protocol == PROTOCOL
    assert read.results["fvd"].per_position is None
    assert read.values == {"mse": 1 / 3, "fvd": 12.5}
    content = json.loads((tmp_path / "new" / "folder" / RESULTS).read_text("utf-8"))
    assert content["versions"]["torch"] == version("torch")
    assert "network" not in content["results"][0]


def test_the_newest_number_counts_and_closes_the_gap_of_its_name():
    book = ResultSet()
    book.add([result(value=1.0)], [NotComputed("psnr", "later"), NotComputed("ssim", "too small")])
    book.add([result(value=2.0), result("psnr", 30.0)])
    assert book.values == {"mse": 2.0, "psnr": 30.0}
    assert list(book.not_computed) == ["ssim"]


def test_rows_of_markdown():
    book = ResultSet()
    book.add(
        [result("a|b", 0.123456), result("fvd", 1234.5678, network="i3d", checksum="0123456789")],
        [NotComputed(name, "its weights\nare not there") for name in ("lpips", "swap/lpips")],
    )
    on = "2 clips of 3, 16x16; swap, 1 given and not counted"
    assert book.markdown().splitlines() == [
        "| measure | value | measured on | with |",
        "|---|---|---|---|",
        f"| a\\|b | 0.1235 | {on} |  |",
        f"| fvd | 1235 | {on} | i3d 01234567 |",
        "",
        "- `lpips`, `swap/lpips`: not computed: its weights are not there",
    ]
    assert ResultSet().markdown().count("\n") == 2


def test_the_terminal_shows_names_as_they_are():
    """What looks like rich's markup is part of somebody's path."""
    book = ResultSet()
    book.add([result("[bold]mse")], [NotComputed("fvd", "/data/[/red]/i3d.pt is wrong")])
    screen = io.StringIO()
    book.show(Console(file=screen, width=200), title="runs/[/b]")
    for shown in ("runs/[/b]", "[bold]mse", "0.1", "fvd: not computed: /data/[/red]/i3d.pt is wrong"):
        assert shown in screen.getvalue()


@pytest.mark.parametrize("file", [RESULTS, MARKDOWN])
def test_what_was_there_is_kept_when_writing_fails(file: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch):
    old, new = ResultSet(), ResultSet()
    old.add([result(value=1.0)])
    new.add([result(value=2.0)])
    old.write(tmp_path)
    before = (tmp_path / file).read_text("utf-8")
    write_text = Path.write_text

    def full(path: Path, content: str, **more) -> int:
        if path.suffix == Path(file).suffix:
            write_text(path, content[:20], **more)
            raise OSError(28, "No space left on device")
        return write_text(path, content, **more)

    monkeypatch.setattr(Path, "write_text", full)
    with pytest.raises(OSError, match="No space"):
        new.write(tmp_path)
    assert (tmp_path / file).read_text("utf-8") == before
    assert {each.name for each in tmp_path.iterdir()} == {RESULTS, MARKDOWN}


@pytest.mark.parametrize(
    "content",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        '{"format": "something else"}',
        '{"format": "vdsm-glass results 1"}',
        '{"format": "vdsm-glass results 1", "results": [{"name": "mse"}], "not_computed": []}',
        '{"format": "vdsm-glass results 1", "results": [3], "not_computed": []}',
        '{"format": "vdsm-glass results 1", "results": [], "not_computed": [{"name": "mse"}]}',
        b"\xff\xfe",
    ],
)
def test_a_damaged_book_is_named(content: str | bytes, tmp_path: Path):
    file = tmp_path / RESULTS
    file.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(UserError, match="is not a results file") as raised:
        ResultSet.read(file)
    assert str(file) in str(raised.value)


def test_a_folder_is_no_book(tmp_path: Path):
    with pytest.raises(UserError, match="is not a results file"):
        ResultSet.read(tmp_path)


def test_a_book_that_is_not_there_says_who_writes_it(tmp_path: Path):
    with pytest.raises(UserError, match=r"is not there; `vdsm-glass test`"):
        ResultSet.read(tmp_path / RESULTS)


def test_metrics_of_one_network_extract_the_features_of_a_frame_once(monkeypatch: pytest.MonkeyPatch):
    draw = torch.Generator().manual_seed(0)
    batches = [tuple(torch.rand(2, 3, 3, 16, 16, generator=draw) for _ in range(2)) for _ in range(3)]

    def values(*names: str) -> dict[str, float]:
        suite = Suite(names, paired=False, frames=3, stand_ins=True)
        for pair in batches:
            suite.update(*pair)
        return {found.name: found.value for found in suite.compute(PROTOCOL)[0]}

    alone = values("fid") | values("kid")
    seen: list[int] = []
    forward = RandomFeatures.forward

    def counted(self: RandomFeatures, x: Tensor) -> Tensor:
        seen.append(len(x))
        return forward(self, x)

    monkeypatch.setattr(RandomFeatures, "forward", counted)
    assert values("fid", "kid") == alone
    assert sum(seen) == 3 * 2 * 2 * 3, "batches, sides, clips and frames"
    seen.clear()
    values("fid", "fvd", "kid")
    assert sum(seen) == 3 * 2 * 2 * 3, "FVD's network is another one, and clips of 3 frames are too short for it"


def test_features_are_computed_anew_of_a_tensor_that_has_changed():
    extractor, video = random_frame_features(), clips(0.5)
    before = extractor.of_frames(video, chunk=4)
    assert extractor.of_frames(video, chunk=4) is before
    video += 0.25
    after = extractor.of_frames(video, chunk=4)
    torch.testing.assert_close(after, extractor(video.flatten(0, 1)))
    assert not torch.equal(after, before)
    del video
    extractor.of_frames(clips(0.0), chunk=4)
    assert len(extractor._seen) == 1, "what is gone is not kept"
