"""A local Salesforce: OAuth, describe, limits, Bulk API 2.0 ingest, Collections, SOQL, and settable faults.

Start it with ``python -m libs.emulators.salesforce --port 0``; README.md tells what it speaks and where it differs.
"""
