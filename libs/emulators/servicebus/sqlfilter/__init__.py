"""The SQL dialect of subscription rules: text to a condition over a message's properties.

Grammar and semantics: "Subscription Rule SQL Filter Syntax" in the Azure Service Bus documentation.
"""

from .expressions import Properties, Value
from .lexer import SqlSyntaxError
from .parser import Condition, parse

__all__ = ["Condition", "Properties", "SqlSyntaxError", "Value", "parse"]
