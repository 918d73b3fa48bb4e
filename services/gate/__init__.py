"""Audits a staged week, aggregates it per customer, and publishes it: all of it or nothing."""
