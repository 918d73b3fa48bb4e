"""Health check of every image: exit 0 if GET on PROBE_URL succeeds, 1 if not. Standard library only."""

import os
import sys
import urllib.request

TIMEOUT_SEC = 3.0

try:
    urllib.request.urlopen(os.environ["PROBE_URL"], timeout=TIMEOUT_SEC).close()
except OSError as error:
    sys.exit(str(error))
