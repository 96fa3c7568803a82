"""`python -m vdsm_glass` is `vdsm-glass`."""

import sys

from vdsm_glass.cli import main

sys.exit(main())
