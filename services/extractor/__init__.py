"""Fetches a week of events from the REST API and lays them in the lake as served, part by part."""
