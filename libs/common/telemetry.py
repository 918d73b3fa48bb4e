"""Traces: OpenTelemetry's API only; spans go somewhere when an exporter is configured.

One trace a week: the context travels in the messages' application properties (W3C `traceparent`), is recorded in the
outgoing message of a state row, and becomes the parent of the next handler's span. The SDK of Service Bus would give a
link instead, which makes every hop a trace of its own.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import AbstractContextManager, nullcontext

from opentelemetry import propagate, trace
from opentelemetry.context import Context
from opentelemetry.trace import Span, SpanKind, Status, StatusCode

from libs.common.errors import SettingsError

ENDPOINT = "OTEL_EXPORTER_OTLP_ENDPOINT"

_CONTEXT_KEYS = frozenset(propagate.get_global_textmap().fields)

_tracer = trace.get_tracer("retl")


def outgoing_context() -> dict[str, str]:
    """The properties that tell a receiver which span a message comes from; empty outside any trace."""
    carrier: dict[str, str] = {}
    propagate.inject(carrier)
    return carrier


def handling(service: str, topic: str, properties: Mapping[str, str]) -> AbstractContextManager[Span]:
    """A CONSUMER span whose parent is the message's own context. Where nobody traces, none is made."""
    has_context = not _CONTEXT_KEYS.isdisjoint(properties)
    if not has_context and isinstance(trace.get_tracer_provider(), trace.ProxyTracerProvider):
        return nullcontext(trace.INVALID_SPAN)
    return _tracer.start_as_current_span(
        f"{service} process",
        context=propagate.extract(properties) if has_context else Context(),
        kind=SpanKind.CONSUMER,
        attributes={
            "messaging.system": "servicebus",
            "messaging.operation.type": "process",
            "messaging.destination.name": topic,
            "messaging.destination.subscription.name": service,
        },
    )


def ended(span: Span, action: str, failure: str | None) -> None:
    """Say in the span how the message ended; with a failure it shows as failed."""
    span.set_attribute("retl.action", action)
    if failure is not None:
        span.set_status(Status(StatusCode.ERROR, failure))


def start_exporter(service: str) -> Callable[[], None]:
    """Send spans to `OTEL_EXPORTER_OTLP_ENDPOINT` if that is set; call the result before the process ends.

    Raises SettingsError where the endpoint is set and the distribution's `telemetry` extra is not installed: a trace
    that silently goes nowhere is found out when it is needed.
    """
    if not os.environ.get(ENDPOINT):
        return lambda: None
    try:
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter
        from opentelemetry.sdk.resources import Resource
        from opentelemetry.sdk.trace import TracerProvider
        from opentelemetry.sdk.trace.export import BatchSpanProcessor
    except ImportError as error:
        raise SettingsError(
            f"{ENDPOINT} is set, but the exporter is not installed.",
            next_step=f"Install retl[telemetry], or unset {ENDPOINT}.",
        ) from error
    provider = TracerProvider(resource=Resource.create({"service.name": f"retl-{service}"}))
    provider.add_span_processor(BatchSpanProcessor(OTLPSpanExporter()))
    trace.set_tracer_provider(provider)
    return provider.shutdown
