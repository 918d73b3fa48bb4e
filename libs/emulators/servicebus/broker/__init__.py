"""Service Bus semantics: queues, topics, subscriptions, rules, locks, schedules, expiry.

Does no I/O; time and durability are injected.
"""
