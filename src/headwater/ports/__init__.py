"""What the inside needs from the outside: one protocol each, in the caller's words."""

from headwater.ports.bell import Bell
from headwater.ports.clock import Clock, Ids, Random, Timer
from headwater.ports.executor import Executor
from headwater.ports.files import Files
from headwater.ports.log import EventLog, Record
from headwater.ports.points import POINTS, CrashPoints
from headwater.ports.store import Durability, Params, Row, Snapshot, Store, Unit
from headwater.ports.telemetry import Cell, Outcome, Telemetry

__all__ = [
    "POINTS",
    "Bell",
    "Cell",
    "Clock",
    "CrashPoints",
    "Durability",
    "EventLog",
    "Executor",
    "Files",
    "Ids",
    "Outcome",
    "Params",
    "Random",
    "Record",
    "Row",
    "Snapshot",
    "Store",
    "Telemetry",
    "Timer",
    "Unit",
]
