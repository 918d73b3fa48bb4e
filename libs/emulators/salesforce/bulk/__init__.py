"""Bulk API 2.0 ingest: jobs, their uploads, their processing and their results."""
