"""Durability: the broker's journal in an SQLite file, and the way back from the file into the broker.

Changes collect in one transaction for each turn of the event loop. ``commit`` ends it, and runs before anything is
sent to a client, so what a client was told survives the death of the process. (It need not survive the loss of power:
the file is not synced each time.)
"""

import asyncio
import logging
import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from typing import Any

import msgspec

from .amqp.errors import AmqpError
from .broker.entities import DEAD_LETTER_SUFFIX, Queue, Topic
from .broker.message import Message, MessageState
from .broker.namespace import Namespace, SubscriptionDescription
from .broker.settings import QueueSettings, TopicSettings

log = logging.getLogger(__name__)

_FORMAT = 1
_SCHEMA = """
create table entity (
    key text primary key, path text not null, kind text not null, description blob not null
) without rowid;
create table message (
    queue text not null, sequence_number integer not null, state integer not null, delivery_count integer not null,
    enqueued_ms integer not null, expires_ms integer, enqueued_sequence_number integer, content blob not null,
    primary key (queue, sequence_number)
) without rowid;
create table message_id (
    entity text not null, message_id text not null, expires_ms integer not null, primary key (entity, message_id)
) without rowid;
create table sequence (queue text primary key, reserved integer not null) without rowid;
"""
# Rows of an entity: its own, its dead letters', its subscriptions'. '0' follows '/' in the order of characters.
_BELOW = "({0} in (:key, :dead_letters) or ({0} >= :key || '/subscriptions/' and {0} < :key || '/subscriptions0'))"


class StorageError(Exception):
    """The data directory cannot be used. The emulator stops: it must not confirm what it cannot keep."""


class SqliteJournal:
    """The journal of one emulator. ``failed`` is called once, with the cause, when the file cannot be written."""

    def __init__(self, file: Path, failed: Callable[[StorageError], None]) -> None:
        """Open or create the file. Raises StorageError."""
        self._file = file
        self._failed = failed
        self._failure: StorageError | None = None
        self._in_transaction = False
        self._loop = asyncio.get_running_loop()
        try:
            self._database = _open(file)
        except (OSError, sqlite3.Error) as error:
            raise StorageError(
                f"cannot use {file}: {error}; give another directory with --data, or stop the emulator that uses it"
            ) from error

    # The Journal protocol

    def insert_message(self, path: str, message: Message) -> None:
        """Record a message that was added."""
        self._record(
            "insert into message values (?, ?, ?, ?, ?, ?, ?, ?)",
            (
                path,
                message.sequence_number,
                message.state,
                message.delivery_count,
                message.enqueued_ms,
                message.expires_ms,
                message.enqueued_sequence_number,
                message.content(),
            ),
        )

    def update_message(self, path: str, message: Message) -> None:
        """Record a message's new state and delivery count."""
        self._record(
            "update message set state = ?, delivery_count = ? where queue = ? and sequence_number = ?",
            (message.state, message.delivery_count, path, message.sequence_number),
        )

    def delete_message(self, path: str, sequence_number: int) -> None:
        """Record that a message is gone."""
        self._record("delete from message where queue = ? and sequence_number = ?", (path, sequence_number))

    def remember_message_id(self, path: str, message_id: str, expires_ms: int) -> None:
        """Record an entry of the duplicate detection history."""
        self._record("insert or replace into message_id values (?, ?, ?)", (path, message_id, expires_ms))

    def forget_message_ids(self, path: str, before_ms: int) -> None:
        """Record that the history's entries up to a time are gone."""
        self._record("delete from message_id where entity = ? and expires_ms <= ?", (path, before_ms))

    def reserve_sequence_numbers(self, path: str, before: int) -> None:
        """Record that numbers below ``before`` may have been given out."""
        self._record("insert or replace into sequence values (?, ?)", (path, before))

    def save_entity(self, path: str, kind: str, description: bytes) -> None:
        """Record a new entity or its new settings."""
        self._record("insert or replace into entity values (?, ?, ?, ?)", (path.lower(), path, kind, description))

    def delete_entity(self, path: str) -> None:
        """Record that an entity is gone, with its messages and all that is below its path."""
        keys = {"key": path.lower(), "dead_letters": path.lower() + DEAD_LETTER_SUFFIX}
        for table, column in (("entity", "key"), ("message", "queue"), ("message_id", "entity"), ("sequence", "queue")):
            self._record(f"delete from {table} where {_BELOW.format(column)}", keys)

    def _record(self, statement: str, values: Any) -> None:
        try:
            if not self._in_transaction:
                self._database.execute("begin")
                self._in_transaction = True
                self._loop.call_soon(self.commit)  # for changes that no client waits for
            self._database.execute(statement, values)
        except sqlite3.Error as error:
            self._fail(error)

    def commit(self) -> None:
        """Make everything recorded so far durable. Raises StorageError, then and ever after, when that fails."""
        if self._failure is not None:
            raise self._failure
        if not self._in_transaction:
            return
        try:
            self._database.execute("commit")
        except sqlite3.Error as error:
            self._fail(error)
        self._in_transaction = False

    def close(self) -> None:
        """Commit and close the file."""
        try:
            self.commit()
        finally:
            self._database.close()

    def _fail(self, error: sqlite3.Error) -> None:
        if self._failure is None:
            self._failure = StorageError(f"cannot write {self._file}: {error}; free space there, then start again")
            self._failed(self._failure)
        raise self._failure from error

    # The way back

    def restore(self, namespace: Namespace) -> None:
        """Make the entities and messages of the file again in an empty namespace.

        Raises StorageError when the file is damaged.
        """
        try:
            entities = self._database.execute("select path, kind, description from entity").fetchall()
            for path, kind, description in sorted(entities, key=lambda row: (row[1] == "subscription", row[0])):
                self._restore_entity(namespace, path, kind, description)
            restored = self._restore_messages(namespace)
        except (sqlite3.Error, msgspec.DecodeError, AmqpError) as error:
            raise StorageError(f"{self._file} is damaged: {error}; delete it to start empty") from error
        log.info("restored %d entities and %d messages from %s", len(entities), restored, self._file)

    def _restore_entity(self, namespace: Namespace, path: str, kind: str, description: bytes) -> None:
        if kind == "queue":
            namespace.create_queue(path, msgspec.json.decode(description, type=QueueSettings))
        elif kind == "topic":
            namespace.create_topic(path, msgspec.json.decode(description, type=TopicSettings))
        else:
            topic_name, _, name = path.rpartition("/Subscriptions/")
            subscription = msgspec.json.decode(description, type=SubscriptionDescription)
            namespace.create_subscription(topic_name, name, subscription.settings, subscription.rules)

    def _restore_messages(self, namespace: Namespace) -> int:
        restored = 0
        for topic in namespace.topics.values():
            restored += self._restore_into(topic, topic.path.lower())
            self._restore_history(topic)
        for inbox in namespace.inboxes():
            restored += self._restore_into(inbox.dead_letters, inbox.dead_letters.path)
            restored += self._restore_into(inbox.messages, inbox.messages.path)
            if isinstance(inbox, Queue):
                self._restore_history(inbox)
        return restored

    def _restore_into(self, target: Any, key: str) -> int:
        messages = [
            _message(*row)
            for row in self._database.execute(
                "select sequence_number, state, delivery_count, enqueued_ms, expires_ms, enqueued_sequence_number, "
                "content from message where queue = ? order by sequence_number",
                (key,),
            )
        ]
        reserved = self._database.execute("select reserved from sequence where queue = ?", (key,)).fetchone()
        target.restore(messages, reserved[0] if reserved else 1)
        return len(messages)

    def _restore_history(self, entity: Queue | Topic) -> None:
        rows = self._database.execute(
            "select message_id, expires_ms from message_id where entity = ? order by expires_ms", (entity.path.lower(),)
        )
        for message_id, expires_ms in rows:
            entity.duplicates.restore(message_id, expires_ms)


def _open(file: Path) -> sqlite3.Connection:
    file.parent.mkdir(parents=True, exist_ok=True)
    with ExitStack() as on_failure:
        database = sqlite3.connect(file, isolation_level=None, timeout=1, cached_statements=64)
        on_failure.callback(database.close)
        # One process at a time: a second emulator would give the same messages to others.
        database.execute("pragma locking_mode = exclusive")
        database.execute("pragma journal_mode = wal")
        database.execute("pragma synchronous = normal")
        (version,) = database.execute("pragma user_version").fetchone()
        if version == 0:
            database.executescript(f"begin; {_SCHEMA} pragma user_version = {_FORMAT}; commit")
        elif version != _FORMAT:
            raise StorageError(
                f"{file} has format {version}, this emulator writes format {_FORMAT}; delete it or give another "
                "directory with --data"
            )
        on_failure.pop_all()
    return database


def _message(
    sequence_number: int,
    state: int,
    delivery_count: int,
    enqueued_ms: int,
    expires_ms: int | None,
    enqueued_sequence_number: int | None,
    content: bytes,
) -> Message:
    message = Message(content)
    message.sequence_number = sequence_number
    message.state = MessageState(state)
    message.delivery_count = delivery_count
    message.enqueued_ms = enqueued_ms
    message.expires_ms = expires_ms
    message.enqueued_sequence_number = enqueued_sequence_number
    return message
