"""Every metric that a service exports, by name, in one place."""

from __future__ import annotations

from enum import StrEnum

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE = CONTENT_TYPE_LATEST

HANDLER_BUCKETS_SEC = (0.01, 0.05, 0.1, 0.5, 1, 5, 15, 60, 300, 900, 1800, 3600, 7200)
"""From a dropped repeat to the longest stage budget."""


class Name(StrEnum):
    """The names as scraped; counters end in `_total`. All carry the label `service`, two of them also `action`."""

    RECEIVED = "retl_messages_received_total"
    FINISHED = "retl_messages_finished_total"
    HANDLER_SECONDS = "retl_handler_seconds"
    IN_FLIGHT = "retl_messages_in_flight"
    LAST_RECEIVE = "retl_last_receive_timestamp_seconds"
    LOCK_RENEWALS = "retl_lock_renewals_total"
    LOCKS_LOST = "retl_locks_lost_total"
    SETTLE_FAILURES = "retl_settle_failures_total"
    RECEIVER_REBUILDS = "retl_receiver_rebuilds_total"
    KILL_SWITCH = "retl_kill_switch_state"
    ALERT_FAILURES = "retl_alert_failures_total"


class Metrics:
    """The metrics of one process, in a registry of their own."""

    def __init__(self, service: str) -> None:
        self.registry = CollectorRegistry()
        self._service = service
        self.received = self._counter(Name.RECEIVED, "Messages handed to us by the broker.")
        self._finished = Counter(
            Name.FINISHED,
            "Messages by what became of them: the `action` of their log line.",
            ("service", "action"),
            registry=self.registry,
        )
        self._handler_seconds = Histogram(
            Name.HANDLER_SECONDS,
            "From receiving a message to the decision about it, by what became of it.",
            ("service", "action"),
            registry=self.registry,
            buckets=HANDLER_BUCKETS_SEC,
        )
        self._by_action: dict[str, tuple[Counter, Histogram]] = {}
        self.in_flight = self._gauge(Name.IN_FLIGHT, "Messages in hand now.")
        self.last_receive = self._gauge(Name.LAST_RECEIVE, "When a receive call last succeeded, messages or none.")
        self.lock_renewals = self._counter(Name.LOCK_RENEWALS, "Locks prolonged.")
        self.locks_lost = self._counter(Name.LOCKS_LOST, "Locks that ran out or were taken back.")
        self.settle_failures = self._counter(
            Name.SETTLE_FAILURES, "Settlements that the broker did not confirm; those messages come again."
        )
        self.receiver_rebuilds = self._counter(
            Name.RECEIVER_REBUILDS, "Links to the broker made anew, after an error or long idleness."
        )
        self.kill_switch = self._gauge(Name.KILL_SWITCH, "0 consuming, 1 trying one message at a time, 2 stopped.")
        self.alert_failures = self._counter(Name.ALERT_FAILURES, "Alerts that the webhook did not take.")

    def finished(self, action: str, seconds: float) -> None:
        """One message came to an end."""
        if action not in self._by_action:
            labels = (self._service, action)
            self._by_action[action] = (self._finished.labels(*labels), self._handler_seconds.labels(*labels))
        counter, histogram = self._by_action[action]
        counter.inc()
        histogram.observe(seconds)

    def exposition(self) -> bytes:
        """What /metrics answers, in Prometheus' text format."""
        return generate_latest(self.registry)

    def _counter(self, name: Name, text: str) -> Counter:
        return Counter(name, text, ("service",), registry=self.registry).labels(self._service)

    def _gauge(self, name: Name, text: str) -> Gauge:
        return Gauge(name, text, ("service",), registry=self.registry).labels(self._service)
