"""What happens inside a process: calls, events, transactions. Run: python -m bench.inner [--json]."""

from __future__ import annotations

from bench import dispatch, events, orders
from bench.rounds import pin, report

if __name__ == "__main__":
    pin()
    report([*dispatch.run(), *events.run(), *orders.run()])
