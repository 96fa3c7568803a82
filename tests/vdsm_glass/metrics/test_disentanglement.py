import numpy as np
import pytest
import torch

from vdsm_glass.metrics.disentanglement import (
    ON_VAL,
    Labelled,
    LeakMatrix,
    chance,
    leaks,
    linear_probe,
    score,
    told_by,
)
from vdsm_glass.vdsm.frames import Latents


class Oracle:
    """A network that draws what it is told: frame 0 holds s, the frames' first row z; and reads it back."""

    def decode(self, z: torch.Tensor, s: torch.Tensor) -> torch.Tensor:
        return torch.cat([s.unsqueeze(1).expand(-1, z.shape[1], -1), z], dim=-1)

    def encode(self, video: torch.Tensor) -> Latents:
        return Latents(s=video[:, 0, :8], z=video[..., 8:], d=video[:, 0, 8:])


def labelled(n: int, seed: int, *, mixed: bool = False) -> Labelled:
    """s is the identity's one-hot, d the action's; `mixed` hides the identity in d as well."""
    generator = np.random.default_rng(seed)
    identity, action = generator.integers(0, 4, n), generator.integers(0, 3, n)
    s = torch.nn.functional.one_hot(torch.from_numpy(identity), 8).float()
    d = torch.nn.functional.one_hot(torch.from_numpy(action), 8).float()
    if mixed:
        d[:, 4:] = s[:, :4]
    z = d.unsqueeze(1).expand(-1, 5, -1)
    return Labelled(latents=Latents(s=s, z=z, d=d), factors={"identity": identity}, action=action)


def test_perfect_factors_score_one_and_leak_nothing():
    results = score(Oracle(), labelled(200, 0), labelled(200, 1))
    for name in ("identity_from_s", "action_from_d", "swapped_identity", "swapped_action"):
        assert results[name] == 1.0
    # 200 clips and chance 1/4, 1/3: more than 0.5 by luck alone has a probability below 1e-6.
    assert results["identity_from_d"] < 0.5
    assert results["action_from_s"] < 0.5


def test_a_leak_is_seen():
    assert score(Oracle(), labelled(200, 0, mixed=True), labelled(200, 1, mixed=True))["identity_from_d"] == 1.0


def of_pairs(identity: np.ndarray, action: np.ndarray) -> Labelled:
    """s is the identity's one-hot, d that of the pair, which tells both."""
    s = torch.nn.functional.one_hot(torch.from_numpy(identity), 8).float()
    d = torch.nn.functional.one_hot(torch.from_numpy(3 * identity + action), 12).float()
    return Labelled(Latents(s=s, z=d.unsqueeze(1), d=d), factors={"identity": identity}, action=action)


class Silent(Oracle):
    """A network whose clips say nothing; what is read in the latents themselves does not need them."""

    def encode(self, video: torch.Tensor) -> Latents:
        return Latents(s=torch.zeros(len(video), 8), z=video, d=torch.zeros(len(video), 12))


def test_a_leak_that_pairs_never_trained_cannot_show_is_read_in_new_clips_of_trained_pairs():
    # All pairs of 4 identities and 3 actions but (0, 0), (1, 1), (2, 2) and (3, 0), which are the test's.
    identity, action = (labels.ravel().repeat(5) for labels in np.divmod(np.arange(12), 3))
    held_out = identity % 3 == action
    seen, unseen = of_pairs(identity[~held_out], action[~held_out]), of_pairs(identity[held_out], action[held_out])
    assert score(Silent(), seen, unseen)["identity_from_d"] < 0.5
    found = leaks(seen, seen)
    assert found["identity_from_d_on_val"] == found["identity_from_s_on_val"] == 1
    # With action 0 go identities 1 and 2, with the others three: of 8 pairs the commonest is named in 1 + 1 + 1.
    assert found["chance_identity_on_val"] == pytest.approx(3 / 8)
    # Each identity goes with two actions. What s tells of the action is what the identity tells.
    assert found["chance_action_on_val"] == pytest.approx(1 / 2)
    assert found["action_from_s_on_val"] == pytest.approx(1 / 2)


def test_the_side_that_tells_most_is_what_leaks_are_compared_with():
    generator = np.random.default_rng(0)
    action = generator.integers(0, 3, 300)
    part = of_pairs(generator.integers(0, 4, 300), action)
    told = Labelled(part.latents, {"hair": generator.integers(0, 2, 300), "body": (action + 1) % 3}, action)
    assert leaks(told, told)["chance_action_on_val"] == 1
    dull = told_by(told.factors["hair"], action, of=told.factors["hair"], wanted=action)
    assert dull < 0.5


def test_a_decoder_that_ignores_s_fails_the_swap():
    class Deaf(Oracle):
        def decode(self, z, s):
            return super().decode(z, torch.zeros_like(s))

    results = score(Deaf(), labelled(200, 0), labelled(200, 1))
    assert results["swapped_identity"] < 0.5


def test_a_clip_that_keeps_its_identity_in_a_swap_is_counted():
    class Stubborn(Oracle):
        """Draws the identity that z carries, whatever s says."""

        def decode(self, z, s):
            return super().decode(z, torch.nn.functional.pad(z[:, 0, 4:], (0, 4)))

    train, test = labelled(200, 0, mixed=True), labelled(200, 1, mixed=True)
    results = score(Stubborn(), train, test)
    assert (results["swapped_identity"], results["unswapped_identity"]) == (0, 1)
    results = score(Oracle(), train, test)
    assert (results["swapped_identity"], results["unswapped_identity"]) == (1, 0)


def test_without_dynamics_only_s_is_probed():
    train, test = labelled(60, 0), labelled(60, 1)

    def without_d(part: Labelled) -> Labelled:
        return Labelled(Latents(s=part.latents.s, z=part.latents.z), part.factors, part.action)

    results = score(Oracle(), without_d(train), without_d(test))
    assert "identity_from_s" in results
    assert not [name for name in results if name.endswith("_d") or name == "swapped_action"]


def test_probe_does_not_care_about_units():
    generator = np.random.default_rng(0)
    x, y = generator.normal(size=(100, 3)), generator.integers(0, 2, 100)
    x[:, 0] += 3 * y
    scaled = x * np.array([1e-4, 1.0, 1e4])
    assert linear_probe(x, y).score(x, y) == pytest.approx(linear_probe(scaled, y).score(scaled, y))


def test_chance_is_the_commonest_label():
    assert chance(np.array([0, 0, 0, 2])) == 0.75


def test_the_leak_matrix_has_what_is_right_on_its_diagonal():
    matrix = LeakMatrix.of(score(Oracle(), labelled(200, 0), labelled(200, 1)))
    assert matrix is not None
    assert (matrix.factors, matrix.columns) == (("identity",), ("s", "d"))
    assert (np.diag(matrix.accuracy) == 1).all()
    np.testing.assert_allclose(np.diag(matrix.above_chance), 1)
    # As above: more by luck has a probability below 1e-6.
    assert matrix.above_chance[0, 1] < 0.3
    assert matrix.above_chance[1, 0] < 0.3
    leaky = LeakMatrix.of(score(Oracle(), labelled(200, 0, mixed=True), labelled(200, 1, mixed=True)))
    assert leaky is not None
    assert leaky.accuracy[0, 1] == 1


def test_several_factors_share_the_row_of_identity_and_stage_1_has_one_column():
    results = {"hair_from_s": 0.9, "hair_from_d": 0.4, "chance_hair": 0.2, "swapped_hair": 0.5}
    results |= {"body_from_s": 0.7, "body_from_d": 0.2, "chance_body": 0.4}
    assert LeakMatrix.of(results) is None
    results |= {"action_from_s": 0.1, "action_from_d": 0.55, "chance_action": 0.1}
    matrix = LeakMatrix.of(results)
    assert matrix is not None
    assert matrix.factors == ("hair", "body")
    np.testing.assert_allclose(matrix.accuracy, [[0.8, 0.3], [0.1, 0.55]])
    np.testing.assert_allclose(matrix.chance, [0.3, 0.1])
    np.testing.assert_allclose(matrix.above_chance, [[0.5 / 0.7, 0.0], [0.0, 0.5]], atol=1e-12)
    later = {f"{name}{ON_VAL}": value for name, value in results.items()} | {"hair_from_s": 0.0, "action_from_s": 0.0}
    np.testing.assert_allclose(LeakMatrix.of(later, suffix=ON_VAL).accuracy, matrix.accuracy)
    stage_1 = LeakMatrix.of({name: value for name, value in results.items() if not name.endswith("_d")})
    assert stage_1 is not None
    assert stage_1.columns == ("s",)
    np.testing.assert_allclose(stage_1.accuracy, [[0.8], [0.1]])
