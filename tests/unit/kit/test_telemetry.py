from __future__ import annotations

import sys

import pytest
from opentelemetry import trace
from opentelemetry.sdk.trace import TracerProvider
from opentelemetry.sdk.trace.export import SimpleSpanProcessor
from opentelemetry.sdk.trace.export.in_memory_span_exporter import InMemorySpanExporter

from libs.common import telemetry
from libs.common.bus.envelope import Outgoing
from libs.common.errors import SettingsError
from tests.unit.worker.harness import events_extracted

PARENT = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"


def test_what_a_handler_publishes_belongs_to_the_trace_of_its_message() -> None:
    with telemetry.handling("validator", "events.extracted", {"traceparent": PARENT}):
        outgoing = Outgoing.of(events_extracted())
    assert outgoing.properties["traceparent"].split("-")[1] == PARENT.split("-")[1]


def test_outside_any_trace_nothing_is_added() -> None:
    assert "traceparent" not in Outgoing.of(events_extracted()).properties


def test_a_message_without_context_is_handled_all_the_same() -> None:
    with telemetry.handling("validator", "events.extracted", {"traceparent": "rubbish"}) as span:
        telemetry.ended(span, "retried", "text")
        assert trace.get_current_span() is span


def test_where_nobody_traces_a_message_without_context_has_no_span() -> None:
    with telemetry.handling("validator", "events.extracted", {"run_id": "r"}) as span:
        telemetry.ended(span, "done", None)
        assert not span.get_span_context().is_valid
        assert "traceparent" not in Outgoing.of(events_extracted()).properties


@pytest.mark.parametrize("properties", [{}, {"traceparent": PARENT}])
def test_where_somebody_traces_every_message_has_a_span_that_tells_how_it_ended(
    monkeypatch: pytest.MonkeyPatch, properties: dict[str, str]
) -> None:
    exporter, provider = InMemorySpanExporter(), TracerProvider()
    provider.add_span_processor(SimpleSpanProcessor(exporter))
    monkeypatch.setattr(trace, "get_tracer_provider", lambda: provider)
    monkeypatch.setattr(telemetry, "_tracer", provider.get_tracer("test"))
    with telemetry.handling("validator", "events.extracted", properties) as span:
        telemetry.ended(span, "dead_lettered", "checksum_mismatch: not what was sent")
    (exported,) = exporter.get_finished_spans()
    assert dict(exported.attributes or {}).items() >= {"retl.action": "dead_lettered"}.items()
    assert exported.status.description == "checksum_mismatch: not what was sent"
    assert (exported.parent is not None) == bool(properties)


def test_without_an_endpoint_no_exporter_is_started(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(telemetry.ENDPOINT, raising=False)
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    telemetry.start_exporter("gate")()


def test_an_endpoint_without_the_extra_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(telemetry.ENDPOINT, "http://127.0.0.1:4318")
    monkeypatch.setitem(sys.modules, "opentelemetry.sdk.trace", None)
    with pytest.raises(SettingsError, match=telemetry.ENDPOINT):
        telemetry.start_exporter("gate")
