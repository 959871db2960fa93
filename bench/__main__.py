"""Run every benchmark: python -m bench [--json]."""

from __future__ import annotations

from bench import dispatch, events, orders
from bench.rounds import pin, report

pin()
report([*dispatch.run(), *events.run(), *orders.run()])
