"""Start django-bolt as `manage.py runbolt` does: python -m bench.contenders.bolt_run PORT."""

from __future__ import annotations

import sys

import django
from django.core.management import execute_from_command_line

from bench.contenders import bolt_app  # noqa: F401 - configures the settings

django.setup()
execute_from_command_line(
    ["manage.py", "runbolt", "--host", "127.0.0.1", "--port", sys.argv[1], "--processes", "1", "--no-admin"]
)
