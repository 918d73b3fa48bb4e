"""Rules to their XML descriptions and back."""

from typing import Any
from xml.etree import ElementTree as ET

import msgspec

from ..broker.entities import Subscription
from ..broker.errors import InvalidEntityError
from ..broker.rules import CorrelationFilter, FalseFilter, Filter, FilterValue, RuleDescription, SqlFilter, TrueFilter
from ..properties import CorrelationProperties, read_texts
from .atom import SERVICE_BUS, XSI_TYPE, Entry, element, timestamp
from .descriptions import texts_of

_COMPATIBILITY_LEVEL = "20"
_TYPE_PREFIX = "x"
_XML_SCHEMA = "http://www.w3.org/2001/XMLSchema"


def rule_entry(subscription: Subscription, rule: RuleDescription) -> Entry:
    """Return a rule for an ATOM document."""
    description = element("RuleDescription")
    description.append(_filter_element(rule.filter))
    ET.SubElement(description, SERVICE_BUS + "Action", {XSI_TYPE: "EmptyRuleAction"})
    ET.SubElement(description, SERVICE_BUS + "CreatedAt").text = timestamp(rule.created_ms)
    ET.SubElement(description, SERVICE_BUS + "Name").text = rule.name
    path = f"{subscription.path}/Rules/{rule.name}"
    return Entry(rule.name, path, rule.created_ms, rule.created_ms, description)


def read_rule(description: ET.Element, name: str, created_ms: int) -> RuleDescription:
    """Return the rule in a description. Raises InvalidEntityError for one that this emulator cannot have."""
    action = description.find(SERVICE_BUS + "Action")
    if action is not None and action.get(XSI_TYPE) not in (None, "EmptyRuleAction"):
        raise InvalidEntityError(f"Rule '{name}' has an action; rule actions are not supported by this emulator.")
    node = description.find(SERVICE_BUS + "Filter")
    return RuleDescription(name, TrueFilter() if node is None else _read_filter(node), created_ms)


def _filter_element(rule_filter: Filter) -> ET.Element:
    match rule_filter:
        case CorrelationFilter():
            texts = msgspec.to_builtins(CorrelationProperties(**msgspec.structs.asdict(rule_filter)))
            del texts["Properties"]
            node = element("Filter", texts.items())
            _add_values(node, "Properties", rule_filter.properties)
            node.set(XSI_TYPE, "CorrelationFilter")
        case SqlFilter(expression, parameters):
            node = _sql_element("SqlFilter", expression)
            _add_values(node, "Parameters", parameters)
        case TrueFilter():
            node = _sql_element("TrueFilter", "1=1")
        case FalseFilter():
            node = _sql_element("FalseFilter", "1=0")
    return node


def _sql_element(kind: str, expression: str) -> ET.Element:
    node = element("Filter", [("SqlExpression", expression), ("CompatibilityLevel", _COMPATIBILITY_LEVEL)])
    node.set(XSI_TYPE, kind)
    return node


def _read_filter(node: ET.Element) -> Filter:
    texts = texts_of(node)
    match (node.get(XSI_TYPE) or "").rpartition(":")[2]:
        case "TrueFilter":
            return TrueFilter()
        case "FalseFilter":
            return FalseFilter()
        case "SqlFilter":
            return SqlFilter(texts.get("SqlExpression", ""), _read_values(node, "Parameters"))
        case "CorrelationFilter":
            return read_texts({**texts, "Properties": _read_values(node, "Properties")}, CorrelationProperties).filter()
        case kind:
            raise InvalidEntityError(f"A filter of the type '{kind}' is not supported by this emulator.")


def _add_values(node: ET.Element, name: str, values: dict[str, FilterValue]) -> None:
    if not values:
        return
    parent = ET.SubElement(node, SERVICE_BUS + name)
    for key, value in values.items():
        pair = ET.SubElement(parent, SERVICE_BUS + "KeyValueOfstringanyType")
        ET.SubElement(pair, SERVICE_BUS + "Key").text = key
        kind, text = _typed_text(value)
        # The type is a qualified name, and clients look for its prefix; ElementTree does not declare one for a value.
        attributes = {XSI_TYPE: f"{_TYPE_PREFIX}:{kind}", f"xmlns:{_TYPE_PREFIX}": _XML_SCHEMA}
        ET.SubElement(pair, SERVICE_BUS + "Value", attributes).text = text


def _typed_text(value: FilterValue) -> tuple[str, str]:
    if isinstance(value, bool):
        return "boolean", str(value).lower()
    if isinstance(value, int):
        return "int" if -(2**31) <= value < 2**31 else "long", str(value)
    return ("double", repr(value)) if isinstance(value, float) else ("string", value)


def _read_values(node: ET.Element, name: str) -> dict[str, FilterValue]:
    values: dict[str, FilterValue] = {}
    for pair in node.iterfind(f"{SERVICE_BUS}{name}/{SERVICE_BUS}KeyValueOfstringanyType"):
        key = pair.findtext(SERVICE_BUS + "Key") or ""
        value: Any = pair.find(SERVICE_BUS + "Value")
        kind = "" if value is None else (value.get(XSI_TYPE) or "").rpartition(":")[2]
        text = "" if value is None else value.text or ""
        try:
            match kind:
                case "string":
                    values[key] = text
                case "int" | "long":
                    values[key] = int(text)
                case "double":
                    values[key] = float(text)
                case "boolean":
                    values[key] = text == "true"
                case _:
                    raise InvalidEntityError(
                        f"The value of '{key}' has the type '{kind}', which is not supported here."
                    )
        except ValueError as error:
            raise InvalidEntityError(f"The value of '{key}' is no {kind}: {text!r}.") from error
    return values
