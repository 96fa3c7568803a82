"""Scores by a judge: each against its definition, and all protocols with networks and judges that are known."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import entropy
from torch import Tensor, nn

from data_modules import Pendulum
from vdsm_glass.judge.judge import Judge
from vdsm_glass.judge.labels import judgeable
from vdsm_glass.judge.scores import JudgeScores, judge_results
from vdsm_glass.vdsm.fitted import FittedPrior
from vdsm_glass.vdsm.frames import FrameVDSM, Latents
from vdsm_glass.vdsm.sequences import SequenceVDSM
from vdsm_glass.vdsm.sizes import Sizes

COLOURS, SWINGS = 3, 2
ACCURACY = {"identity": 0.9, "action": 0.8}
SIZES = Sizes(
    kappa_z=SWINGS,
    kappa_s=COLOURS,
    kappa_d=2,
    rnn_layers=1,
    rnn_dim=4,
    combiner_dim=4,
    encoder_channels=(4, 4, 8),
    decoder_channels=(4, 4),
)


class Told(Pendulum):
    """Pendula that spell their labels: the first pixel is 80 times the colour, the second 80 times the swing."""

    def read_unit(self, unit):
        for clip in super().read_unit(unit):
            clip.video[:, 0, 0], clip.video[:, 0, 1] = 80 * clip.identity, 80 * clip.action
            yield clip


class Oracle(FrameVDSM):
    """s is the one-hot colour, z that of the swing in every frame; both are drawn as they are.

    Args: hears_s, hears_z: whether the drawing depends on them.
    """

    def __init__(self, *, hears_s: bool = True, hears_z: bool = True) -> None:
        super().__init__(SIZES)
        self.hears_s, self.hears_z = hears_s, hears_z

    def encode(self, video: Tensor) -> Latents:
        colour, swing = spelt(video)
        z = F.one_hot(swing, SWINGS).float()
        return Latents(s=F.one_hot(colour, COLOURS).float(), z=z.unsqueeze(dim=1).expand(-1, video.shape[1], -1))

    def decode(self, z: Tensor, s: Tensor) -> Tensor:
        video = torch.zeros(*z.shape[:2], 3, 16, 16)
        if self.hears_s:
            video[..., 0, 0] = 80 / 255 * s.argmax(dim=-1)[:, None, None]
        if self.hears_z:
            video[..., 0, 1] = 80 / 255 * z.mean(dim=1).argmax(dim=-1)[:, None, None]
        return video


class Reader(nn.Module):
    """A judge that reads what is spelt and is sure of it."""

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        colour, swing = spelt(video)
        return {"identity": 1000.0 * F.one_hot(colour, COLOURS), "action": 1000.0 * F.one_hot(swing, SWINGS)}


def spelt(video: Tensor) -> tuple[Tensor, Tensor]:
    first = (video[:, 0, 0, 0, :2] * 255 / 80).round().long()
    return first[:, 0], first[:, 1]


@pytest.fixture(scope="module")
def data(tmp_path_factory: pytest.TempPathFactory) -> Told:
    root = str(tmp_path_factory.mktemp("data"))
    told = Told(root=root, size=16, colours=COLOURS, swings=SWINGS, clip_length=5, frames=5, sequences_per_pair=30)
    told.prepare_data()
    return told


@pytest.fixture(scope="module")
def reader(data: Told) -> Judge:
    source = data.store.manifest["source"]
    return Judge(network=Reader(), classes=judgeable(data), source=source, frames=5, accuracy=ACCURACY)  # pyright: ignore[reportArgumentType]


def test_a_model_that_keeps_its_labels_scores_one(data: Told, reader: Judge):
    found = judge_results(Oracle(), reader, data, clips=60)
    for name in ("action/frozen_dynamics", "identity/frozen_identity", "action/real", "identity/real"):
        assert found[f"judge/{name}/acc"] == 1
    for head, classes in (("action", SWINGS), ("identity", COLOURS)):
        for protocol in ("reconstruction", "swap"):
            assert found[f"judge/{head}/{protocol}/consistency"] == found[f"judge/{head}/{protocol}/acc"] == 1
        assert (found[f"judge/{head}/swap/right_clip"], found[f"judge/{head}/swap/wrong_clip"]) == (1, 0)
        kept = "frozen_dynamics" if head == "action" else "frozen_identity"
        assert found[f"judge/{head}/{kept}/is"] == pytest.approx(classes)
        assert found[f"judge/{head}/{kept}/h_y"] == pytest.approx(math.log(classes))
        assert found[f"judge/{head}/{kept}/h_y_given_x"] == pytest.approx(0, abs=1e-9)
        assert found[f"judge/{head}/chance"] == pytest.approx(1 / classes)
        assert found[f"judge/{head}/clips"] == 60
        assert found[f"judge/{head}/judge_acc"] == ACCURACY[head]


def test_a_model_that_ignores_its_labels_scores_chance_exactly(data: Told, reader: Judge):
    """Clips are balanced, so that the one label it always shows is right in 1 / K of them."""
    found = judge_results(Oracle(hears_s=False, hears_z=False), reader, data, clips=60)
    for head, kept in (("action", "frozen_dynamics"), ("identity", "frozen_identity")):
        chance = found[f"judge/{head}/chance"]
        assert found[f"judge/{head}/{kept}/acc"] == pytest.approx(chance)
        assert found[f"judge/{head}/reconstruction/consistency"] == pytest.approx(chance)
        assert found[f"judge/{head}/reconstruction/acc"] == pytest.approx(chance)
        assert found[f"judge/{head}/{kept}/is"] == pytest.approx(1)
        assert found[f"judge/{head}/real/acc"] == 1


def test_each_protocol_keeps_its_own_side(data: Told, reader: Judge):
    """A deaf side spoils the scores of that side only."""
    found = judge_results(Oracle(hears_s=False), reader, data, clips=60)
    assert found["judge/action/frozen_dynamics/acc"] == found["judge/action/swap/consistency"] == 1
    assert found["judge/identity/frozen_identity/acc"] == pytest.approx(1 / COLOURS)
    found = judge_results(Oracle(hears_z=False), reader, data, clips=60)
    assert found["judge/identity/frozen_identity/acc"] == found["judge/identity/swap/consistency"] == 1
    assert found["judge/action/frozen_dynamics/acc"] == pytest.approx(1 / SWINGS)


def test_swaps_between_clips_of_one_label_do_not_hide_a_swap_that_fails(data: Told, reader: Judge):
    class Stubborn(Oracle):
        """Carries the colour in z, and draws that one whatever s says."""

        def encode(self, video: Tensor) -> Latents:
            latents = super().encode(video)
            return Latents(s=latents.s, z=latents.z + 10 * latents.s.argmax(dim=-1)[:, None, None])

        def decode(self, z: Tensor, s: Tensor) -> Tensor:
            colour = ((z[:, 0].sum(dim=-1) - 1) / 20).round().long().clamp(0, COLOURS - 1)
            return super().decode(z, F.one_hot(colour, COLOURS).float())

    found = judge_results(Stubborn(), reader, data, clips=60)
    assert (found["judge/identity/swap/right_clip"], found["judge/identity/swap/wrong_clip"]) == (0, 1)
    # About one partner in three has the same colour.
    assert found["judge/identity/swap/consistency"] == found["judge/identity/swap/acc"] > 0.1
    assert found["judge/identity/reconstruction/acc"] == 1
    assert (found["judge/action/swap/right_clip"], found["judge/action/swap/wrong_clip"]) == (1, 0)


def test_what_the_prior_draws_is_told_by_its_entropy(data: Told, reader: Judge):
    varied, dull = (judge_results(Oracle(hears_s=hears), reader, data, clips=60) for hears in (True, False))
    assert varied["judge/identity/frozen_dynamics/h_y"] == pytest.approx(math.log(COLOURS), abs=0.1)
    assert dull["judge/identity/frozen_dynamics/h_y"] == pytest.approx(0)
    # Means of five independent poses: both swings are drawn, and each clip shows one.
    assert varied["judge/action/frozen_identity/h_y"] == pytest.approx(math.log(SWINGS), abs=0.1)
    assert varied["judge/action/frozen_identity/h_y_given_x"] == pytest.approx(0, abs=1e-9)
    assert not {"judge/identity/frozen_dynamics/acc", "judge/action/frozen_identity/acc"} & varied.keys()


def test_a_fitted_density_is_scored_beside_the_prior(data: Told, reader: Judge):
    plain, both = (judge_results(Oracle(), reader, data, clips=60, fitted_to=n) for n in (0, 90))
    added = set(both) - set(plain)
    assert {name: both[name] for name in plain} == plain
    assert {name.split("/")[2] for name in added} == {"frozen_dynamics_fitted", "frozen_identity_fitted"}
    assert both["judge/identity/frozen_identity_fitted/acc"] == both["judge/action/frozen_dynamics_fitted/acc"] == 1
    assert both["judge/identity/frozen_dynamics_fitted/h_y"] > 0.9 * math.log(COLOURS)
    # Training clips show one swing twice as often; means of five poses around (1/3, 2/3) show the other in 0.21.
    assert both["judge/action/frozen_identity_fitted/h_y"] == pytest.approx(0.51, abs=0.2)
    assert "judge/identity/frozen_dynamics_fitted/acc" not in both


def test_the_density_that_a_model_carries_is_scored_unless_another_is_fitted(data: Told, reader: Judge):
    carrying, bare = Oracle(), Oracle()
    one = F.one_hot(torch.full((9,), 1), COLOURS).float()
    carrying.fitted = FittedPrior.of(Latents(s=one, z=torch.rand(9, 5, SWINGS)))
    found = judge_results(carrying, reader, data, clips=60)
    assert found["judge/identity/frozen_dynamics_fitted/h_y"] == pytest.approx(0)
    assert found["judge/identity/frozen_dynamics/h_y"] > 0.9 * math.log(COLOURS)
    assert found["judge/identity/frozen_identity_fitted/acc"] == 1
    another = [judge_results(net, reader, data, clips=60, fitted_to=90) for net in (carrying, bare)]
    assert another[0] == another[1]
    assert another[0]["judge/identity/frozen_dynamics_fitted/h_y"] > 0.9 * math.log(COLOURS)


def test_the_fitted_density_is_that_of_training_clips(data: Told, reader: Judge, monkeypatch: pytest.MonkeyPatch):
    asked = []
    whole = Told.evaluation_dataset
    monkeypatch.setattr(Told, "evaluation_dataset", lambda self, split: asked.append(split) or whole(self, split))

    class OfOneColour(Oracle):
        """Sees colour 2 in every training clip."""

        def encode(self, video: Tensor) -> Latents:
            latents = super().encode(video)
            one = F.one_hot(torch.full((len(video),), 2), COLOURS).float()
            return Latents(s=one, z=latents.z) if asked[-1] == "train" else latents

    found = judge_results(OfOneColour(), reader, data, clips=60, fitted_to=20)
    assert found["judge/identity/frozen_dynamics_fitted/h_y"] == pytest.approx(0)
    assert found["judge/identity/frozen_dynamics/h_y"] > 0.9 * math.log(COLOURS)


def test_frozen_sides_are_kept_while_the_others_are_from_the_prior(data: Told, reader: Judge):
    """A model that swaps the two sides' places shows the prior where the clip's own side is asked for."""

    class Crossed(Oracle):
        def decode(self, z: Tensor, s: Tensor) -> Tensor:
            return super().decode(z=F.pad(s[:, None, :SWINGS], (0, 0)).expand_as(z), s=F.pad(z.mean(dim=1), (0, 1)))

    found = judge_results(Crossed(), reader, data, clips=60)
    # 60 clips each: further from chance than this by luck has a probability below 1e-4.
    assert abs(found["judge/action/frozen_dynamics/acc"] - 1 / 2) < 0.26
    assert abs(found["judge/identity/frozen_identity/acc"] - 1 / 3) < 0.25


@pytest.mark.parametrize("stage", [1, 2])
def test_results_are_the_seeds_and_not_the_batch_sizes(stage: int, data: Told, reader: Judge):
    torch.manual_seed(0)
    net = (FrameVDSM if stage == 1 else SequenceVDSM)(SIZES).eval()
    judge = Judge(Blurred(), reader.classes, reader.source, frames=5, accuracy=ACCURACY)  # pyright: ignore[reportArgumentType]
    results = [judge_results(net, judge, data, clips=12, batch_size=b, seed=s) for b, s in ((12, 0), (5, 0), (12, 1))]
    assert results[0] == pytest.approx(results[1], abs=1e-5)
    assert results[0] != pytest.approx(results[2], abs=1e-5)


class Blurred(nn.Module):
    """A judge whose opinion changes with every pixel."""

    def forward(self, video: Tensor) -> dict[str, Tensor]:
        mean = video.mean(dim=(1, 3, 4))
        return {"identity": 30 * mean, "action": 30 * mean[:, :SWINGS]}


def scored(probabilities: torch.Tensor, wanted: list[int], *, pieces: int = 1) -> dict[str, float]:
    metric = JudgeScores(classes=probabilities.shape[1])
    for p, y in zip(probabilities.chunk(pieces), torch.tensor(wanted).chunk(pieces), strict=True):
        metric.update(p, y)
    return {name: value.item() for name, value in metric.compute().items()}


def test_sure_and_diverse_clips_reach_the_number_of_classes():
    found = scored(torch.eye(5), [0, 1, 2, 3, 4])
    assert found == pytest.approx({"acc": 1.0, "is": 5.0, "h_y": math.log(5), "h_y_given_x": 0.0})


def test_clips_that_all_look_alike_score_one_however_sure_the_judge_is():
    sure, unsure = scored(torch.eye(4)[[2, 2, 2]], [2, 2, 0]), scored(torch.full((3, 4), 0.25), [-1, -1, -1])
    assert sure == pytest.approx({"acc": 2 / 3, "is": 1.0, "h_y": 0.0, "h_y_given_x": 0.0})
    assert unsure["is"] == pytest.approx(1.0)
    assert unsure["h_y"] == unsure["h_y_given_x"] == pytest.approx(math.log(4))
    assert math.isnan(unsure["acc"])


def test_two_clips_by_hand():
    # p(y) = (0.5, 0.5); KL of either = 0.75 ln 1.5 + 0.25 ln 0.5.
    found = scored(torch.tensor([[0.75, 0.25], [0.25, 0.75]]), [0, 0])
    divergence = 0.75 * math.log(1.5) + 0.25 * math.log(0.5)
    wanted = {"acc": 0.5, "is": math.exp(divergence), "h_y": math.log(2), "h_y_given_x": math.log(2) - divergence}
    assert found == pytest.approx(wanted)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 2**32 - 1), classes=st.integers(2, 9), clips=st.integers(1, 20))
def test_the_score_is_its_definition(seed: int, classes: int, clips: int):
    p = np.random.default_rng(seed).dirichlet(np.full(classes, 0.3), size=clips)
    found = scored(torch.from_numpy(p), [0] * clips)
    divergences = entropy(p, np.broadcast_to(p.mean(axis=0), p.shape), axis=1)
    assert found["is"] == pytest.approx(np.exp(np.mean(divergences)))
    assert found["is"] == pytest.approx(math.exp(found["h_y"] - found["h_y_given_x"]))
    assert 1 - 1e-9 <= found["is"] <= classes + 1e-9


def test_pieces_equal_the_whole_and_a_reset_forgets():
    p = torch.rand(7, 3, generator=torch.Generator().manual_seed(0)).softmax(dim=1)
    wanted = [0, 1, 2, -1, 1, 0, 2]
    whole = scored(p, wanted)
    assert scored(p, wanted, pieces=3) == pytest.approx(whole)
    metric = JudgeScores(classes=3)
    metric.update(1 - p, torch.zeros(7, dtype=torch.int64))
    metric.reset()
    metric.update(p, torch.tensor(wanted))
    assert {name: value.item() for name, value in metric.compute().items()} == pytest.approx(whole)
