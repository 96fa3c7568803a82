import numpy as np
import pytest
import torch
from sklearn.metrics import normalized_mutual_info_score

from vdsm_glass.metrics.nmi import ActionNMI, nmi

A = np.array([1] * 6 + [2] * 6 + [3] * 5)
B = np.array([1, 1, 1, 1, 2, 1, 2, 2, 2, 2, 3, 1, 3, 3, 3, 2, 2])


def entropy(p: np.ndarray) -> float:
    p = p[p > 0]
    return float(-(p * np.log(p)).sum())


def filled(metric: ActionNMI, true: np.ndarray, predicted: np.ndarray, identity: np.ndarray) -> ActionNMI:
    tensors = (torch.from_numpy(labels.astype(np.int64)) for labels in (true, predicted, identity))
    for t, p, i in zip(*(part.split(7) for part in tensors), strict=True):
        metric.update(true=t, predicted=p, identity=i)
    return metric


def test_check_values():
    assert nmi(np.array([0, 0, 0, 1, 1, 1]), np.array([0, 1, 0, 1, 2, 2])) == pytest.approx(0.515804, abs=5e-7)
    assert nmi(A, B) == pytest.approx(0.378350, abs=5e-7)


def test_equation_12_by_hand():
    joint = np.histogram2d(A, B, bins=3)[0] / len(A)
    x, y = entropy(joint.sum(axis=1)), entropy(joint.sum(axis=0))
    assert nmi(A, B) == pytest.approx(2 * (x + y - entropy(joint.ravel())) / (x + y))


def test_names_of_labels_do_not_matter_nor_how_many_there_are():
    assert nmi(A, np.array([0, 7, 2, 5])[B]) == pytest.approx(nmi(A, B))
    assert nmi(A, A * 10) == pytest.approx(1)
    assert 0 < nmi(A, np.arange(len(A)) % 2 + 2 * A) < 1


def test_scores_are_those_of_all_pairs_and_of_each_identity():
    generator = np.random.default_rng(0)
    true, identity = generator.integers(9, size=300), generator.integers(4, size=300)
    # Every character has names of its own for the actions: perfect one by one, poor over all.
    predicted = (true + 2 * identity) % 9
    results = {
        name: value.item() for name, value in filled(ActionNMI(actions=9), true, predicted, identity).compute().items()
    }
    assert results["nmi_s"] == pytest.approx(1)
    assert results["nmi_g"] == pytest.approx(normalized_mutual_info_score(true, predicted), abs=1e-6)
    assert results["con"] == pytest.approx(results["nmi_s"] - results["nmi_g"], abs=1e-6)
    assert results["nmi_g"] < 0.5


def test_random_labels_are_seeded_and_know_nothing():
    generator = np.random.default_rng(1)
    true = generator.integers(9, size=4000)
    identity = np.zeros_like(true)
    scores = [filled(ActionNMI(actions=6, seed=seed), true, true, identity).compute()["nmi_rand"] for seed in (0, 0, 1)]
    assert scores[0] == scores[1] != scores[2]
    # The G statistic 2 n I has 8·5 degrees of freedom: its expectation is 40, beyond 120 with a probability of 1e-9.
    assert scores[0] * (np.log(9) + np.log(6)) * len(true) < 120
    shuffled = filled(ActionNMI(actions=6, seed=0), generator.permutation(true), true, identity)
    assert shuffled.compute()["nmi_rand"] == scores[0]


def test_without_identities_there_is_no_score_by_identity():
    results = filled(ActionNMI(actions=3), A, B, np.full_like(A, -1)).compute()
    assert set(results) == {"nmi_g", "nmi_rand", "nmi_g_chance"}


def scored(true: np.ndarray, predicted: np.ndarray, identity: np.ndarray, rest: np.ndarray) -> dict[str, float]:
    metric = ActionNMI(actions=9)
    tensors = {"true": true, "predicted": predicted, "identity": identity, "rest": rest}
    metric.update(**{name: torch.from_numpy(labels) for name, labels in tensors.items()})
    return {name: value.item() for name, value in metric.compute().items()}


def test_actions_that_follow_the_shift_alone_mean_nothing_at_rest():
    generator = np.random.default_rng(0)
    n = 2000
    rest, true, identity = np.arange(n) % 2 == 0, generator.integers(3, size=n), generator.integers(20, size=n)
    # Walks have labels of their own, and the shift tells which; who rests does one of three other things.
    true = np.where(rest, true, true + 3)
    predicted = np.where(rest, generator.integers(3, size=n), true)
    found = scored(true, predicted, identity, rest)
    assert found["nmi_g"] > 0.5 > found["nmi_g_chance"]
    # At chance: a permutation is as good. The largest of 200 is passed by one in 201, and this seed is none of them.
    assert found["nmi_rest"] <= found["nmi_rest_chance"] < 0.02
    knowing = scored(true, true, identity, rest)
    assert knowing["nmi_rest"] == pytest.approx(1)


def test_codes_of_identity_are_far_above_their_chance_and_codes_of_action_are_not():
    generator = np.random.default_rng(0)
    n = 2000
    true, identity = generator.integers(6, size=n), generator.integers(20, size=n)
    rest = np.zeros(n, dtype=bool)
    told, kept = scored(true, identity % 6, identity, rest), scored(true, true, identity, rest)
    assert told["nmi_identity"] > told["nmi_identity_chance"] + 0.5
    assert kept["nmi_identity"] < kept["nmi_identity_chance"] + 0.02
    assert kept["nmi_identity"] == pytest.approx(kept["nmi_identity_true"])
    # Nobody rests.
    assert "nmi_rest" not in kept


def test_chance_does_not_depend_on_the_order_of_pairs():
    generator = np.random.default_rng(2)
    rows = generator.integers(4, size=(4, 300))
    one, other = (scored(*labels[:3], labels[3] > 1) for labels in (rows, rows[:, generator.permutation(300)]))
    assert one == pytest.approx(other)


def test_actions_that_tell_of_identities_what_the_true_ones_do_are_at_their_level():
    generator = np.random.default_rng(0)
    n = 2000
    identity = generator.integers(20, size=n)
    # Every identity does three things of six, as a clip does, so that even the true actions tell identities apart.
    true = (identity + generator.integers(3, size=n)) % 6
    noise = np.where(generator.random(n) < 0.4, generator.integers(6, size=n), true)
    leaky = np.where(generator.random(n) < 0.4, identity % 6, true)
    rest = np.zeros(n, dtype=bool)
    honest, leaking = scored(true, noise, identity, rest), scored(true, leaky, identity, rest)
    assert honest["nmi_identity"] > honest["nmi_identity_chance"] + 0.05
    assert honest["nmi_identity"] == pytest.approx(honest["nmi_identity_given_true"], abs=0.01)
    assert honest["con"] == pytest.approx(honest["con_given_true"], abs=0.02)
    assert leaking["nmi_identity"] > leaking["nmi_identity_given_true"] + 0.05
