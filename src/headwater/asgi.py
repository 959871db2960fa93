"""`headwater.asgi:application`: an application for ASGI servers; see `application`."""

from headwater.cli.asgi import application

__all__ = ["application"]
