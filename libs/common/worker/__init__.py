"""The worker: takes messages of one subscription, has a handler work on them, and ends each in exactly one way."""
