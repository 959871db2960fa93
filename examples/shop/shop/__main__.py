"""`python -m shop replay DIR`."""

from __future__ import annotations

import sys

from shop.replay.command import main

sys.exit(main(sys.argv[1:]))
