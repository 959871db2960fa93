"""What the topology file says about traces, as the parts that do it."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING

from headwater.model.secret import Secret
from headwater.runtime.telemetry import TraceSettings
from headwater.topology.file import Traces
from headwater.topology.secrets import resolve

if TYPE_CHECKING:
    from headwater.adapters.otlp import OtlpExporter

__all__ = ["exporter_of", "trace_settings"]


def trace_settings(traces: Traces, *, dev: bool = False) -> TraceSettings:
    """Return what is traced: in development everything."""
    return TraceSettings(
        ratio=1.0 if dev else traces.ratio, keep_errors=traces.keep_errors, slow=traces.slow,
        slow_statement=traces.slow_statement,
    )


def exporter_of(
    traces: Traces, *, service: str, instance: str, environment: Mapping[str, str], folder: Path
) -> OtlpExporter | None:
    """Return what sends traces to the configured receiver, not yet started; None when there is none.

    Raises MissingExtra, or ConfigurationError for a wrong address or a secret that is not there.
    """
    if traces.otlp is None:
        return None
    from headwater.adapters.otlp import OtlpExporter  # an HTTP client that most processes do not need

    headers: dict[str, str | Secret[str]] = {}
    if traces.otlp_secret is not None:
        value = resolve(traces.otlp_secret, environment=environment, folder=folder).reveal().decode()
        headers[traces.otlp_header] = Secret(value)
    return OtlpExporter(
        traces.otlp, service=service, resource={"service.instance.id": instance}, headers=headers
    )
