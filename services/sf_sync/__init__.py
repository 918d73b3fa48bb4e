"""Reverse ETL into Salesforce: sends what changed of a week's signals and accounts for every row."""

import os

# Arrow reads this once, when it is loaded, which the rest of this package does. Its own pools keep what the C library's
# gives back: about 100 MB of this service's peak. Setting the pool later leaves Arrow's C++ parts with their own.
os.environ.setdefault("ARROW_DEFAULT_MEMORY_POOL", "system")
