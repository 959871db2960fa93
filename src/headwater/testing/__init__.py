"""For tests of applications and adapters: a runner, fakes, a virtual clock, simulation, kits.

`docs/testing.md` is the guide.
"""

from headwater.testing.app import Mode, TestApp
from headwater.testing.clock import VirtualClock
from headwater.testing.fakes import StaleFake
from headwater.testing.http import Answer, HttpClient

__all__ = ["Answer", "HttpClient", "Mode", "StaleFake", "TestApp", "VirtualClock"]
