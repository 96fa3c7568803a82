"""The benchmarks' baseline is the same function as what it is compared with."""

import torch

from benchmarks.loop import LoopedDecoder
from vdsm_glass.vdsm.densities import MixtureDecoder
from vdsm_glass.vdsm.sizes import Sizes


def test_the_looped_decoder_equals_ours_in_values_and_gradients():
    torch.manual_seed(0)
    ours = MixtureDecoder(Sizes(kappa_s=3, kappa_z=2, decoder_channels=(8, 6, 5, 4)))
    loop = LoopedDecoder(ours)
    z, mixture = torch.randn(2, 3, 2), torch.rand(2, 3).softmax(dim=-1)
    gradients = []
    for decoder in (ours, loop):
        inputs = [z.clone().requires_grad_(), mixture.clone().requires_grad_()]
        logits = decoder(*inputs)
        logits.square().sum().backward()
        experts = [layer.weight.grad for layer in decoder.layers]
        if decoder is ours:
            experts = [weight.permute(0, 4, 3, 1, 2) for weight in experts]
        gradients.append(
            [logits, *(tensor.grad for tensor in inputs), *experts, *(e.bias.grad for e in decoder.layers)]
        )
    for one, other in zip(*gradients, strict=True):
        torch.testing.assert_close(one, other, rtol=1e-4, atol=1e-5)
