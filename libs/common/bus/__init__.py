"""Azure Service Bus as the services use it: publish, receive, settle."""
