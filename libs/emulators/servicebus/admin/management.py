"""The management protocol of Service Bus: entities over HTTP, as ServiceBusAdministrationClient uses it.

"Service Bus REST API, resource provider" in the Azure documentation describes it. No credential is checked.
"""

from collections.abc import Sequence
from typing import NamedTuple

from aiohttp import web

from ..amqp.errors import INVALID_FIELD, NOT_FOUND, AmqpError
from ..broker.entities import Queue, Subscription, Topic
from ..broker.errors import EntityExistsError, EntityNotFoundError, InvalidEntityError
from ..broker.namespace import Entity, Namespace
from ..broker.rules import DEFAULT_RULE, Rule, RuleDescription
from ..properties import (
    QueueProperties,
    TopicProperties,
    queue_settings,
    read_texts,
    subscription_settings,
    topic_settings,
)
from .atom import SERVICE_BUS, Entry, entry_document, error_document, feed_document, local_name, read_description
from .descriptions import entity_entry, namespace_entry, texts_of
from .rule_descriptions import read_rule, rule_entry

_CONTENT_TYPE = "application/atom+xml"
_NAMESPACE_NAME = "sbemulatorns"
_PAGE_SIZE = 100


class Target(NamedTuple):
    """What a path names: an entity, or with ``rule`` a rule of a subscription."""

    path: str
    rule: str | None = None

    @property
    def parent(self) -> tuple[str, str]:
        """The topic and the name of a subscription; two empty strings when it is none."""
        segments = self.path.split("/")
        if len(segments) > 2 and segments[-2].lower() == "subscriptions":
            return "/".join(segments[:-2]), segments[-1]
        return "", ""


class ManagementApi:
    """Handles every path that is no route of the emulator's own."""

    def __init__(self, namespace: Namespace) -> None:
        self._namespace = namespace

    async def handle(self, request: web.Request) -> web.Response:
        """Answer a request; a failure is answered with an error document."""
        try:
            status, document = self._answer(request, await request.read())
        except AmqpError as error:
            status = _status_of(error)
            document = error_document(status, error.description)
        return web.Response(status=status, body=document, content_type=_CONTENT_TYPE)

    def _answer(self, request: web.Request, body: bytes) -> tuple[int, bytes]:
        path = request.match_info["path"].strip("/")
        target = _target(path)
        match request.method:
            case "GET":
                return 200, self._listing(path, request) or self._get(target, request)
            case "PUT":
                return self._put(target, body, must_exist=request.headers.get("If-Match") == "*")
            case "DELETE":
                self._delete(target)
                return 200, b""
        raise InvalidEntityError(f"The method {request.method} is not part of the management protocol.")

    # Reading

    def _listing(self, path: str, request: web.Request) -> bytes | None:
        key = path.lower()
        if key == "$namespaceinfo":
            return entry_document(namespace_entry(_NAMESPACE_NAME))
        if key == "$resources/queues":
            return _page("Queues", [entity_entry(queue) for queue in self._namespace.queues.values()], request)
        if key == "$resources/topics":
            return _page("Topics", [entity_entry(topic) for topic in self._namespace.topics.values()], request)
        parent, _, collection = path.rpartition("/")
        if collection.lower() == "subscriptions":
            topic = self._namespace.find(parent)
            if isinstance(topic, Topic):
                return _page("Subscriptions", [entity_entry(each) for each in topic.subscriptions.values()], request)
        if collection.lower() == "rules":
            subscription = self._subscription(parent)
            entries = [rule_entry(subscription, rule) for rule in subscription.rule_descriptions]
            return _page("Rules", entries, request)
        return None

    def _get(self, target: Target, request: web.Request) -> bytes:
        if target.rule is not None:
            subscription = self._subscription(target.path)
            return entry_document(rule_entry(subscription, subscription.rule(target.rule).description))
        try:
            return entry_document(entity_entry(self._namespace.find(target.path)))
        except EntityNotFoundError:
            if target.parent[0]:
                raise
            # Azure answers for a queue or topic that is not there with an empty feed; the SDK relies on it.
            return feed_document("Publicly Listed Services", [], str(request.rel_url))

    def _subscription(self, path: str) -> Subscription:
        entity = self._namespace.find(path)
        if not isinstance(entity, Subscription):
            raise EntityNotFoundError(path)
        return entity

    # Writing

    def _put(self, target: Target, body: bytes, *, must_exist: bool) -> tuple[int, bytes]:
        description = read_description(body)
        kind, texts = local_name(description), texts_of(description)
        if target.rule is not None:
            rule = read_rule(description, target.rule, self._namespace.scheduler.now_ms())
            return self._put_rule(target, rule, must_exist=must_exist)
        existing = self._existing(target.path, must_exist=must_exist)
        entity: Entity
        if kind == "QueueDescription":
            entity = self._put_queue(target.path, read_texts(texts, QueueProperties), existing)
        elif kind == "TopicDescription":
            entity = self._put_topic(target.path, read_texts(texts, TopicProperties), existing)
        elif kind == "SubscriptionDescription":
            default = description.find(SERVICE_BUS + "DefaultRuleDescription")
            rule = RuleDescription(DEFAULT_RULE)
            if default is not None:
                name = default.findtext(SERVICE_BUS + "Name") or DEFAULT_RULE
                rule = read_rule(default, name, self._namespace.scheduler.now_ms())
            entity = self._put_subscription(target, read_texts(texts, QueueProperties), rule, existing)
        else:
            raise InvalidEntityError(f"A {kind} cannot be put to '{target.path}'.")
        return 200 if existing is not None else 201, entry_document(entity_entry(entity))

    def _existing(self, path: str, *, must_exist: bool) -> Entity | None:
        try:
            entity = self._namespace.find(path)
        except EntityNotFoundError:
            if must_exist:
                raise
            return None
        if not must_exist:
            raise EntityExistsError(path)
        return entity

    def _put_queue(self, path: str, properties: QueueProperties, existing: Entity | None) -> Queue:
        settings = queue_settings(properties)
        if existing is None:
            return self._namespace.create_queue(path, settings)
        if not isinstance(existing, Queue) or settings.detects_duplicates != existing.settings.detects_duplicates:
            raise InvalidEntityError(f"'{path}' is no queue, or its RequiresDuplicateDetection would change.")
        existing.update(settings)
        self._namespace.save(existing)
        return existing

    def _put_topic(self, path: str, properties: TopicProperties, existing: Entity | None) -> Topic:
        settings = topic_settings(properties)
        if existing is None:
            return self._namespace.create_topic(path, settings)
        if not isinstance(existing, Topic) or settings.detects_duplicates != existing.settings.detects_duplicates:
            raise InvalidEntityError(f"'{path}' is no topic, or its RequiresDuplicateDetection would change.")
        existing.update(settings)
        self._namespace.save(existing)
        return existing

    def _put_subscription(
        self, target: Target, properties: QueueProperties, rule: RuleDescription, existing: Entity | None
    ) -> Subscription:
        settings = subscription_settings(properties)
        topic_name, name = target.parent
        if existing is None:
            return self._namespace.create_subscription(topic_name, name, settings, [rule])
        if not isinstance(existing, Subscription):
            raise InvalidEntityError(f"'{target.path}' is no subscription.")
        existing.update(settings)
        self._namespace.save(existing)
        return existing

    def _put_rule(self, target: Target, description: RuleDescription, *, must_exist: bool) -> tuple[int, bytes]:
        subscription = self._subscription(target.path)
        rule = Rule(description)
        if must_exist:
            subscription.rule(description.name)
            subscription.rules[description.name.lower()] = rule
        else:
            subscription.add_rule(rule)
        self._namespace.save(subscription)
        return 200 if must_exist else 201, entry_document(rule_entry(subscription, description))

    def _delete(self, target: Target) -> None:
        if target.rule is None:
            self._namespace.delete(target.path)
            return
        subscription = self._subscription(target.path)
        subscription.rule(target.rule)
        del subscription.rules[target.rule.lower()]
        self._namespace.save(subscription)


def _target(path: str) -> Target:
    segments = path.split("/")
    if len(segments) > 4 and segments[-2].lower() == "rules" and segments[-4].lower() == "subscriptions":
        return Target("/".join(segments[:-2]), segments[-1])
    return Target(path)


def _page(title: str, entries: Sequence[Entry], request: web.Request) -> bytes:
    try:
        skip, top = int(request.query.get("$skip", "0")), int(request.query.get("$top", str(_PAGE_SIZE)))
    except ValueError as error:
        raise InvalidEntityError("$skip and $top must be whole numbers.") from error
    following = None
    if skip + top < len(entries):
        following = str(request.url.update_query({"$skip": str(skip + top), "$top": str(top)}))
    return feed_document(title, entries[skip : skip + top], str(request.url), following)


def _status_of(error: AmqpError) -> int:
    if isinstance(error, EntityExistsError):
        return 409
    return {NOT_FOUND: 404, INVALID_FIELD: 400}.get(error.condition, 400)
