"""Headwater: write a backend once, as modules; run it as one process or as many."""

from headwater.errors import HeadwaterError, NotExecuted, OutcomeUnknown
from headwater.model.api import Api, authenticated, public, role, scope
from headwater.model.app import App
from headwater.model.blob import Blob
from headwater.model.contract import contract
from headwater.model.identity import Identity
from headwater.model.injection import Use
from headwater.model.limits import Limit
from headwater.model.message import Command, Event, Failure, Meta, Query, Value
from headwater.model.module import Module, Retry
from headwater.model.page import Cursor, Page, page
from headwater.model.pages import Pages
from headwater.model.scope import Ctx, Tx, View
from headwater.model.upcast import recast
from headwater.model.web import Cors, Private, Shared

__all__ = [
    "Api",
    "App",
    "Blob",
    "Command",
    "Cors",
    "Ctx",
    "Cursor",
    "Event",
    "Failure",
    "HeadwaterError",
    "Identity",
    "Limit",
    "Meta",
    "Module",
    "NotExecuted",
    "OutcomeUnknown",
    "Page",
    "Pages",
    "Private",
    "Query",
    "Retry",
    "Shared",
    "Tx",
    "Use",
    "Value",
    "View",
    "authenticated",
    "contract",
    "page",
    "public",
    "recast",
    "role",
    "scope",
]

__version__ = "0.1.0"
