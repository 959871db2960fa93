"""Headwater: write a backend once, as modules; run it as one process or as many."""

from headwater.errors import HeadwaterError, NotExecuted, OutcomeUnknown
from headwater.model.api import Api, authenticated, public, role
from headwater.model.app import App
from headwater.model.contract import contract
from headwater.model.identity import Identity
from headwater.model.injection import Use
from headwater.model.message import Command, Event, Failure, Meta, Query, Value
from headwater.model.module import Module, Retry
from headwater.model.scope import Ctx, Tx, View

__all__ = [
    "Api",
    "App",
    "Command",
    "Ctx",
    "Event",
    "Failure",
    "HeadwaterError",
    "Identity",
    "Meta",
    "Module",
    "NotExecuted",
    "OutcomeUnknown",
    "Query",
    "Retry",
    "Tx",
    "Use",
    "Value",
    "View",
    "authenticated",
    "contract",
    "public",
    "role",
]

__version__ = "0.1.0"
