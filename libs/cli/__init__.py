"""`retl`, the operator's command."""
