"""The HTTP side: health, counts, faults, and the management of entities in ATOM."""
