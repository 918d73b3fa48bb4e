"""A local events REST API: serves a generated week, or a file, in the public REES46 shape.

Start it with ``python -m libs.emulators.events_api --port 0``; see README.md for every option.
"""
