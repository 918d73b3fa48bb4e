"""A local Azure Service Bus: AMQP 1.0 for messages, ATOM over HTTP for management, SQLite for durability."""
