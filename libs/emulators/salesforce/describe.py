"""Renders objects as ``/sobjects`` and ``/sobjects/{name}/describe`` do."""

from __future__ import annotations

from typing import Any

from libs.emulators.salesforce.schema import DECIMAL_TYPES, TEXT_TYPES, Field, Schema, SObject

_SOAP_TYPES = {
    "id": "tns:ID",
    "reference": "tns:ID",
    "double": "xsd:double",
    "currency": "xsd:double",
    "percent": "xsd:double",
    "int": "xsd:int",
    "boolean": "xsd:boolean",
    "date": "xsd:date",
    "datetime": "xsd:dateTime",
}


def soap_type(field: Field) -> str:
    """The XML Schema type that Salesforce names in describe and in conversion errors."""
    return _SOAP_TYPES.get(field.type, "xsd:string")


def _describe_field(field: Field) -> dict[str, Any]:
    custom = field.name.endswith("__c")
    return {
        "name": field.name,
        "label": field.display_label,
        "type": field.type,
        "soapType": soap_type(field),
        "length": field.length,
        "byteLength": field.length * 3,
        "precision": field.precision,
        "scale": field.scale,
        "digits": field.precision if field.type == "int" else 0,
        "custom": custom,
        "nillable": field.nillable,
        "createable": field.createable,
        "updateable": field.updateable,
        "defaultedOnCreate": field.defaulted_on_create or field.type == "boolean",
        "autoNumber": field.auto_number,
        "calculated": False,
        "externalId": field.external_id,
        "unique": field.unique,
        "idLookup": field.external_id or field.name == "Id",
        "caseSensitive": field.case_sensitive,
        "nameField": field.name == "Name",
        "restrictedPicklist": field.type == "picklist" and field.restricted_picklist,
        "picklistValues": [
            {"active": True, "defaultValue": False, "label": value.capitalize(), "validFor": None, "value": value}
            for value in field.picklist_values
        ],
        "referenceTo": list(field.reference_to),
        "relationshipName": field.name.removesuffix("Id") if field.type == "reference" and not custom else None,
        "filterable": field.type != "textarea",
        "sortable": field.type != "textarea",
        "groupable": field.type in TEXT_TYPES - {"textarea"} or field.type in ("date", "boolean", "int", "reference"),
        "aggregatable": field.type in DECIMAL_TYPES | {"int", "id", "date", "datetime"} | TEXT_TYPES,
        "deprecatedAndHidden": False,
        "encrypted": False,
        "htmlFormatted": False,
    }


def describe_summary(one: SObject, api_version: str) -> dict[str, Any]:
    """One entry of the list of all objects."""
    base = f"/services/data/v{api_version}/sobjects/{one.name}"
    return {
        "name": one.name,
        "label": one.label,
        "labelPlural": one.label_plural,
        "keyPrefix": one.ids.key_prefix,
        "custom": one.name.endswith("__c"),
        "createable": True,
        "updateable": True,
        "deletable": True,
        "queryable": True,
        "retrieveable": True,
        "searchable": False,
        "undeletable": False,
        "urls": {"sobject": base, "describe": f"{base}/describe", "rowTemplate": f"{base}/{{ID}}"},
    }


def describe_object(one: SObject, api_version: str) -> dict[str, Any]:
    """The full description of one object with all its fields."""
    return {
        **describe_summary(one, api_version),
        "fields": [_describe_field(field) for field in one.fields],
        "childRelationships": [],
        "recordTypeInfos": [],
    }


def describe_all(schema: Schema, api_version: str) -> dict[str, Any]:
    """The list of all objects."""
    return {
        "encoding": "UTF-8",
        "maxBatchSize": 200,
        "sobjects": [describe_summary(one, api_version) for one in schema.objects],
    }
