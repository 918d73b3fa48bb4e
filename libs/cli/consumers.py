"""Which service consumes which topic, as in deploy/servicebus/topology.json."""

from __future__ import annotations

from libs.common.messages import DataLoaded, EventsExtracted, EventsValidated, GatePassed, WeekRequested

CONSUMERS = {
    "extractor": WeekRequested.topic,
    "validator": EventsExtracted.topic,
    "loader": EventsValidated.topic,
    "gate": DataLoaded.topic,
    "sf_sync": GatePassed.topic,
}
"""Subscription → topic, in the order in which a week passes."""
