"""What the five services share: messages, bus, worker, state tables, lake, settings, logs."""
