import pytest
import torch
import torch.nn.functional as F
from sklearn.metrics import pairwise_distances

from tests.vdsm_glass.glass.small import small_sizes
from vdsm_glass.layers.quantizer import (
    GumbelQuantizer,
    VectorQuantizer,
    make_quantizer,
    nearest,
    perplexity,
    spread_seeds,
    usage,
)


def make(n: int = 20, **changes) -> tuple[VectorQuantizer, torch.Tensor]:
    torch.manual_seed(0)
    return VectorQuantizer(small_sizes(**changes)), torch.randn(n, 4, requires_grad=True)


def test_chooses_the_nearest_prototype():
    quantizer, u = make()
    index = quantizer.eval()(u).index
    distances = pairwise_distances(u.detach().numpy(), quantizer.codes.detach().numpy())
    assert index.tolist() == distances.argmin(axis=1).tolist()


def test_tells_close_prototypes_far_from_zero_apart():
    codes = torch.tensor([[1000.0, 0.0], [1000.001, 0.0], [1000.002, 0.0]])
    assert nearest(codes, codes).tolist() == [0, 1, 2]


def test_gradients_are_those_derived_by_hand():
    """da/du = 1; d commitment/du = 2 (u - c_q) / nd; d codebook/dc_k = Σ_{q=k} 2 (c_k - u) / nd; nothing else."""
    quantizer, u = make()
    quantizer.eval()
    out = quantizer(u)
    c_q = quantizer.codes[out.index]
    cotangent = torch.randn_like(out.code)
    inputs = [u, quantizer.codes]

    straight, to_codes = torch.autograd.grad(out.code, inputs, cotangent, allow_unused=True, retain_graph=True)
    torch.testing.assert_close(straight, cotangent)
    assert to_codes is None
    assert (out.code == c_q).all()

    commitment, to_codes = torch.autograd.grad(out.commitment, inputs, allow_unused=True, retain_graph=True)
    torch.testing.assert_close(commitment, 2 * (u - c_q) / u.numel())
    assert to_codes is None

    to_u, codebook = torch.autograd.grad(out.codebook, inputs, allow_unused=True)
    expected = torch.zeros_like(quantizer.codes).index_add(0, out.index, 2 * (c_q - u).detach() / u.numel())
    torch.testing.assert_close(codebook, expected)
    assert to_u is None


def test_prototypes_start_as_distinct_pairs_of_the_first_batch():
    quantizer, u = make(actions=6)
    out = quantizer(u)
    assert len(quantizer.codes.unique(dim=0)) == 6
    assert torch.cdist(quantizer.codes, u).amin(dim=1).max() == 0
    assert out.index.unique().tolist() == list(range(6))
    codes = quantizer.codes.detach().clone()
    quantizer(torch.randn(20, 4))
    assert (quantizer.codes == codes).all()


@pytest.mark.parametrize("seed", range(5))
def test_seeds_find_every_cluster(seed):
    """k-means++ misses one with probability below 1e-6: they are thousands of times as far apart as they are wide."""
    torch.manual_seed(seed)
    centres = 1000 * torch.eye(6)[torch.arange(6).repeat(5)]
    seeds = spread_seeds(centres + 0.1 * torch.randn(30, 6), 6)
    assert (seeds / 1000).round().unique(dim=0).shape[0] == 6


@pytest.mark.parametrize("points", [torch.ones(8, 4), torch.zeros(1, 4), torch.randn(3, 4).repeat(4, 1)])
def test_seeds_are_distinct_even_where_the_points_are_not(points):
    seeds = spread_seeds(points, 6)
    assert (torch.cdist(seeds, seeds) + 9 * torch.eye(6)).min() > 1e-6


def test_a_checkpoint_keeps_its_prototypes():
    trained, u = make()
    trained(u)
    resumed = VectorQuantizer(small_sizes())
    resumed.load_state_dict(trained.state_dict())
    resumed(torch.randn(20, 4))
    assert (resumed.codes == trained.codes).all()


def test_evaluation_neither_places_nor_counts():
    quantizer, u = make()
    before = quantizer.codes.detach().clone()
    quantizer.eval()(u)
    assert (quantizer.codes == before).all()
    assert not quantizer.initialised
    assert not quantizer.take_counts().any()


def test_half_precision_changes_nothing():
    quantizer, u = make()
    quantizer.eval()
    exact = quantizer(u)
    with torch.autocast("cpu", dtype=torch.bfloat16):
        out = quantizer(u)
    for ours, theirs in zip(out, exact, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("name", ["vq", "gumbel"])
def test_counts_add_up_until_they_are_taken(name):
    torch.manual_seed(0)
    quantizer = make_quantizer(name, small_sizes())
    indices = torch.cat([quantizer(torch.randn(20, 4)).index for _ in range(3)])
    assert quantizer.take_counts().tolist() == [int((indices == k).sum()) for k in range(3)]
    assert quantizer.take_counts().tolist() == [0, 0, 0]


def test_usage_and_perplexity():
    assert usage(torch.tensor([1.0, 3.0, 0.0])).tolist() == [0.25, 0.75, 0]
    assert not usage(torch.zeros(3)).any()
    torch.testing.assert_close(perplexity(torch.full((6,), 7.0)), torch.tensor(6.0))
    torch.testing.assert_close(perplexity(torch.tensor([5.0, 0.0, 0.0])), torch.tensor(1.0))
    torch.testing.assert_close(perplexity(torch.tensor([2.0, 2.0, 0.0])), torch.tensor(2.0))


def with_a_dead_prototype(revive_after: int) -> tuple[VectorQuantizer, torch.Tensor]:
    quantizer, u = make(revive_after=revive_after)
    quantizer(u)
    with torch.no_grad():
        quantizer.codes[1] = 100
    return quantizer, u


def test_dead_prototypes_stay_dead_unless_asked():
    quantizer, u = with_a_dead_prototype(0)
    for _ in range(10):
        quantizer(u)
    assert (quantizer.codes[1] == 100).all()


def test_a_prototype_that_was_idle_so_long_is_put_on_a_pair():
    quantizer, u = with_a_dead_prototype(3)
    others = quantizer.codes.detach()[[0, 2]].clone()
    for _ in range(2):
        quantizer(u)
    assert (quantizer.codes[1] == 100).all()
    quantizer(u)
    assert (quantizer.codes[1] == u).all(dim=1).any()
    assert (quantizer.codes[[0, 2]] == others).all()


def test_gumbel_draws_with_the_predicted_probabilities():
    """Of 20000 draws each share is within 5 standard deviations: a false alarm in fewer than 1 of 500 000 seeds."""
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(small_sizes())
    u = torch.randn(1, 4).expand(20000, 4)
    p = quantizer.logits(u[:1]).softmax(dim=1)[0]
    shares = usage(F.one_hot(quantizer(u).index, 3).sum(dim=0).float())
    assert ((shares - p).abs() < 5 * (p * (1 - p) / 20000).sqrt()).all()


def test_gumbel_hands_on_whole_prototypes_and_takes_the_likeliest_in_evaluation():
    torch.manual_seed(0)
    quantizer = GumbelQuantizer(small_sizes())
    u = torch.randn(20, 4, requires_grad=True)
    out = quantizer(u)
    torch.testing.assert_close(out.code, quantizer.codes[out.index])
    out.code.square().sum().backward()
    assert u.grad is not None
    assert u.grad.abs().sum() > 0
    assert (quantizer.eval()(u).index == quantizer.logits(u).argmax(dim=1)).all()
    assert out.commitment == out.codebook == 0


def test_a_late_codebook_starts_at_the_centres_of_what_many_steps_gave():
    """Until then the action is U(d_t) itself and nothing pulls at it."""
    quantizer, _ = make(codebook_start=4, actions=3)
    middles = 5 * torch.eye(4)[:3]
    for step in range(4):
        u = (middles.repeat(4, 1) + 0.01 * torch.randn(12, 4)).requires_grad_()
        out = quantizer(u)
        if step < 3:
            assert torch.equal(out.code, u)
            assert out.commitment == out.codebook == 0
            assert not quantizer.initialised
    assert quantizer.initialised
    assert torch.cdist(middles, quantizer.codes).amin(dim=1).max() < 0.02
    assert (out.code == quantizer.codes[out.index]).all()
    again = VectorQuantizer(small_sizes(codebook_start=4, actions=3))
    again.load_state_dict(quantizer.state_dict())
    assert torch.equal(again(u).code, out.code)


def test_a_codebook_from_the_first_step_on_has_no_counter_of_steps():
    assert "seen" not in make()[0].state_dict()
