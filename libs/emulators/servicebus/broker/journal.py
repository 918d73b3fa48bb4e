"""Durability as the broker sees it: every change is told to a journal, in the order in which it happens."""

from typing import Protocol

from .message import Message


class Journal(Protocol):
    """Where changes are recorded. Queues are named by path, in lower case."""

    def insert_message(self, path: str, message: Message) -> None:
        """Record a message that was added."""

    def update_message(self, path: str, message: Message) -> None:
        """Record a message's new state and delivery count."""

    def delete_message(self, path: str, sequence_number: int) -> None:
        """Record that a message is gone."""

    def remember_message_id(self, path: str, message_id: str, expires_ms: int) -> None:
        """Record an entry of the duplicate detection history."""

    def forget_message_ids(self, path: str, before_ms: int) -> None:
        """Record that the history's entries up to a time are gone."""

    def reserve_sequence_numbers(self, path: str, before: int) -> None:
        """Record that numbers below ``before`` may have been given out."""

    def save_entity(self, path: str, kind: str, description: bytes) -> None:
        """Record a new entity or its new settings."""

    def delete_entity(self, path: str) -> None:
        """Record that an entity is gone, with its messages and all that is below its path."""


class ForgetfulJournal:
    """Records nothing: the emulator without a data directory."""

    def insert_message(self, path: str, message: Message) -> None:
        """Do nothing."""

    def update_message(self, path: str, message: Message) -> None:
        """Do nothing."""

    def delete_message(self, path: str, sequence_number: int) -> None:
        """Do nothing."""

    def remember_message_id(self, path: str, message_id: str, expires_ms: int) -> None:
        """Do nothing."""

    def forget_message_ids(self, path: str, before_ms: int) -> None:
        """Do nothing."""

    def reserve_sequence_numbers(self, path: str, before: int) -> None:
        """Do nothing."""

    def save_entity(self, path: str, kind: str, description: bytes) -> None:
        """Do nothing."""

    def delete_entity(self, path: str) -> None:
        """Do nothing."""
