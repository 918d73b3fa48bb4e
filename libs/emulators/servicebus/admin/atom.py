"""Documents of the management protocol: ATOM entries and feeds around descriptions of entities."""

from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from typing import NamedTuple
from xml.etree import ElementTree as ET

from ..broker.errors import InvalidEntityError

ATOM = "{http://www.w3.org/2005/Atom}"
SERVICE_BUS = "{http://schemas.microsoft.com/netservices/2010/10/servicebus/connect}"
COUNTS = "{http://schemas.microsoft.com/netservices/2011/06/servicebus}"
XSI_TYPE = "{http://www.w3.org/2001/XMLSchema-instance}type"

ET.register_namespace("", ATOM.strip("{}"))
ET.register_namespace("sb", SERVICE_BUS.strip("{}"))
ET.register_namespace("counts", COUNTS.strip("{}"))
ET.register_namespace("i", "http://www.w3.org/2001/XMLSchema-instance")


class Entry(NamedTuple):
    """An entity for an ATOM document."""

    name: str
    path: str
    created_ms: int
    updated_ms: int
    description: ET.Element


def element(tag: str, fields: Iterable[tuple[str, str | None]] = ()) -> ET.Element:
    """Make an element of the Service Bus namespace with a child for each field that has a text."""
    parent = ET.Element(SERVICE_BUS + tag)
    for name, text in fields:
        if text is not None:
            ET.SubElement(parent, SERVICE_BUS + name).text = text
    return parent


def timestamp(milliseconds: int) -> str:
    """Return a time as the protocol writes it."""
    return datetime.fromtimestamp(milliseconds / 1000, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ")


def boolean(value: bool) -> str:
    """Return a truth value as the protocol writes it."""
    return "true" if value else "false"


def entry_document(entry: Entry) -> bytes:
    """Return the document for one entity."""
    return _encode(_entry(entry))


def feed_document(title: str, entries: Sequence[Entry], self_url: str, next_url: str | None = None) -> bytes:
    """Return the document for a page of entities; the SDK takes the second link for that of the next page."""
    feed = ET.Element(ATOM + "feed")
    ET.SubElement(feed, ATOM + "title", type="text").text = title
    ET.SubElement(feed, ATOM + "link", rel="self", href=self_url)
    if next_url is not None:
        ET.SubElement(feed, ATOM + "link", rel="next", href=next_url)
    feed.extend(_entry(entry) for entry in entries)
    return _encode(feed)


def error_document(status: int, detail: str) -> bytes:
    """Return the document for a failure."""
    error = ET.Element("Error")
    ET.SubElement(error, "Code").text = str(status)
    ET.SubElement(error, "Detail").text = detail
    return _encode(error)


def read_description(document: bytes) -> ET.Element:
    """Return the description in an entry that a client sent. Raises InvalidEntityError when there is none."""
    try:
        root = ET.fromstring(document)
    except ET.ParseError as error:
        raise InvalidEntityError(f"The request is no XML: {error}.") from error
    content = root.find(ATOM + "content")
    if content is None or not len(content):
        raise InvalidEntityError("The request has no ATOM entry with a content.")
    return content[0]


def local_name(node: ET.Element) -> str:
    """Return the name of an element without its namespace."""
    return node.tag.rpartition("}")[2]


def _entry(entry: Entry) -> ET.Element:
    node = ET.Element(ATOM + "entry")
    ET.SubElement(node, ATOM + "id").text = f"sb://emulator/{entry.path}"
    ET.SubElement(node, ATOM + "title", type="text").text = entry.name
    ET.SubElement(node, ATOM + "published").text = timestamp(entry.created_ms)
    ET.SubElement(node, ATOM + "updated").text = timestamp(entry.updated_ms)
    ET.SubElement(node, ATOM + "content", type="application/xml").append(entry.description)
    return node


def _encode(root: ET.Element) -> bytes:
    document: bytes = ET.tostring(root, encoding="utf-8", xml_declaration=True)
    return document
