import torch
import torch.nn.functional as F

from tests.reference.glass_networks import bilinear
from tests.vdsm_glass.glass.small import small_lma, small_sizes
from vdsm_glass.glass.action import ActionNetwork, Directions
from vdsm_glass.glass.encoder import Features


def test_directions_equal_p_maps_written_out():
    torch.manual_seed(0)
    directions = Directions(small_sizes(bilinear_maps=3)).eval()
    psi, psi_next = torch.randn(2, 5, 8).unbind()
    unfolded = psi_next
    for i, T in enumerate(directions.maps):
        projected = psi @ T.project.weight.T
        unfolded = bilinear(projected, unfolded, T.bilinear.weight, T.bilinear.bias)
        if i < 2:
            unfolded = F.leaky_relu(unfolded / (1 + 1e-5) ** 0.5, 0.2)
    assert i == 2
    torch.testing.assert_close(directions(psi, psi_next), unfolded - psi, rtol=1e-5, atol=1e-5)


def test_plain_directions_are_the_difference():
    psi, psi_next = torch.randn(2, 5, 8).unbind()
    directions = Directions(small_sizes(directions="plain"))
    assert (directions(psi, psi_next) == psi_next - psi).all()
    assert not list(directions.parameters())


def test_the_two_frames_of_a_pair_are_told_apart():
    torch.manual_seed(0)
    network = ActionNetwork(small_sizes(directions="plain")).eval()
    maps, others = torch.randn(2, 4, 8, 4, 6).unbind()
    psi, psi_next = (network.cnn(part).mean(dim=(2, 3)) for part in (maps, others))
    torch.testing.assert_close(network(maps, others), network.U(psi_next - psi), rtol=1e-4, atol=1e-5)


def test_attention_decides_where_the_action_network_looks():
    phi = torch.randn(2, 8, 4, 6)
    attention = torch.zeros(2, 1, 4, 6)
    attention[..., :3] = 1
    attended = Features(phi=phi, attention=attention).attended
    assert (attended[..., :3] == phi[..., :3]).all()
    assert not attended[..., 3:].any()


def test_the_encoder_returns_attention_between_0_and_1_that_is_learned():
    lma = small_lma()
    seen = lma.E(torch.randn(3, 3, 32, 48))
    assert seen.phi.shape == (3, 8, 4, 6)
    assert (seen.attention > 0).all()
    assert (seen.attention < 1).all()
    lma.A(seen.attended[:2], seen.attended[1:]).square().sum().backward()
    last = lma.E[-1].second[1].weight.grad
    assert last is not None
    assert last[-1] != 0


def test_layer_norms_give_vectors_in_evaluation_as_in_training():
    torch.manual_seed(0)
    psi, psi_next = (30 * torch.randn(2, 5, 8)).unbind()
    network = ActionNetwork(small_sizes(vector_norm="layer"))
    batched = ActionNetwork(small_sizes(vector_norm="batch"))
    for each, same in ((network, True), (batched, False)):
        trained = each.train().U(each.directions(psi, psi_next))
        evaluated = each.eval().U(each.directions(psi, psi_next))
        assert torch.allclose(trained, evaluated) == same


def test_spread_actions_do_not_shrink_onto_a_point():
    torch.manual_seed(0)
    network = ActionNetwork(small_sizes(spread_actions=True))
    maps = 1e-1 * torch.randn(2, 64, 8, 4, 6)
    u = network(*maps)
    torch.testing.assert_close(u.mean(dim=0), torch.zeros(u.shape[1]), rtol=0, atol=1e-4)
    torch.testing.assert_close(u.var(dim=0, correction=0), torch.ones(u.shape[1]), rtol=0.1, atol=0)


def test_directions_are_float32_under_half_precision():
    torch.manual_seed(0)
    network = ActionNetwork(small_sizes()).eval()
    maps, others = torch.randn(2, 4, 8, 4, 6).unbind()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        u = network(maps, others)
    assert u.dtype == torch.float32
    assert all(parameter.dtype == torch.float32 for parameter in network.parameters())
