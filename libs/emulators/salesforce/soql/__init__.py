"""SOQL: text to syntax tree to SQLite, and the pages of a result."""
