"""AMQP 1.0, server side: type system, frames, connections, sessions and links. Knows nothing of queues."""
