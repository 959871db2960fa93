"""What holds an instance together, for the command line: the folder it owns, the clock and its ids.

Only this room names adapters, so the rooms above take these from here.
"""

from headwater.adapters.places import sockets_folder
from headwater.adapters.process import StackSampler, SystemProcess
from headwater.adapters.sqlite import DataFolder
from headwater.adapters.system import SystemClock, SystemIds, ThreadExecutor

__all__ = [
    "DataFolder", "StackSampler", "SystemClock", "SystemIds", "SystemProcess", "ThreadExecutor", "sockets_folder",
]
