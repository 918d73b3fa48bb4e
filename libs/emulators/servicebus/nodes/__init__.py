"""What links attach to: $cbs, $management, and the two ends of every entity."""
