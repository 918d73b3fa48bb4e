"""The contract of an event's files, shared by all that write or read them. Import the module you need."""
