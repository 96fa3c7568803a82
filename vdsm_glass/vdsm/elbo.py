"""The evidence lower bound, term by term, from a Pyro model and guide."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import asdict, dataclass
from typing import Any

from pyro import poutine
from pyro.poutine.util import site_is_subsample
from torch import Tensor
from torch.distributions import MixtureSameFamily, kl_divergence


@dataclass(frozen=True)
class ElboWeights:
    """λ of each term of Eq. (4).  [VDSM suppl. Eq. (4), Fig. 1 and 2]"""

    reconstruction: float = 1.0
    kl_z: float = 1.0
    kl_s: float = 1.0
    kl_d: float = 1.0

    def total(self, terms: dict[str, Tensor]) -> Tensor:
        """Σ λ_i term_i, the loss.  Args: terms, scalars by name.   Raises: KeyError, a term that has no weight."""
        weights = asdict(self)
        return sum(
            (weights[name] * term for name, term in terms.items()), start=next(iter(terms.values())).new_zeros(())
        )


@dataclass(frozen=True)
class Elbo:
    """The unweighted terms of -ELBO, nats per sequence, and the latents at which they were computed.

    Args:
        terms: scalars: `reconstruction`, -log p(x | z, s), and `kl_z`, `kl_s`, `kl_d` where the model has the site.
        latents: the guide's samples by site.
        posteriors: the distributions that they are samples of.
    """

    terms: dict[str, Tensor]
    latents: dict[str, Tensor]
    posteriors: dict[str, Any]


def term_of(site: str) -> str:
    """The term of a site: `reconstruction` of `x`, `kl_z` of `z`, `z_1`, `z_2` and so on."""
    letter = site.partition("_")[0]
    return "reconstruction" if letter == "x" else f"kl_{letter}"


def evaluate(model: Callable[[Tensor], object], guide: Callable[[Tensor], object], video: Tensor) -> Elbo:
    """-ELBO of Eq. (4) at one sample of the guide, split by site.

    KLs are those of `divergence`. Where all are analytic, the loss of Pyro's TraceMeanField_ELBO is the sum of these
    terms times the batch size. That class gives only the sum; annealing and logging need the terms.

    Args: model, guide, with the same latent sites inside a plate over the batch; video (b, t, 3, h, w) in [0, 1].
    """
    guided = poutine.trace(guide).get_trace(video)
    modelled = poutine.trace(poutine.replay(model, trace=guided)).get_trace(video)
    sampled = random_sites(guided)
    terms: dict[str, Tensor] = {}
    for name, site in random_sites(modelled).items():
        if site["is_observed"]:
            value = -site["fn"].log_prob(site["value"])
        else:
            value = divergence(sampled[name]["fn"], site["fn"], sampled[name]["value"])
        term, per_sequence = term_of(name), value.sum() / video.shape[0]
        terms[term] = terms[term] + per_sequence if term in terms else per_sequence
    return Elbo(
        terms=terms,
        latents={name: site["value"] for name, site in sampled.items()},
        posteriors={name: site["fn"] for name, site in sampled.items()},
    )


def divergence(q: Any, p: Any, sample: Tensor) -> Tensor:
    """KL(q || p), nats; where p is a mixture, which has no closed form, its estimate at the sample of q."""
    if isinstance(p, MixtureSameFamily):
        return q.log_prob(sample) - p.log_prob(sample)
    return kl_divergence(q, p)


def random_sites(trace: poutine.Trace) -> dict[str, Any]:
    """The sample sites of a trace by name, without the plates."""
    return {
        name: site for name, site in trace.nodes.items() if site.get("type") == "sample" and not site_is_subsample(site)
    }
