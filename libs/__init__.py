"""Shared library, local emulators and the operator's command line."""
