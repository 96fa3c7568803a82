"""The command line with every Normal sampled at its location, so that processes need not draw the same noise.

A script and not a patch in the test: Lightning starts the other processes of a job by running it again.
"""

import sys

import torch

torch.distributions.Normal.rsample = lambda self, sample_shape=(): self.loc.expand(self._extended_shape(sample_shape))

if __name__ == "__main__":
    from vdsm_glass.cli import main

    sys.exit(main())
