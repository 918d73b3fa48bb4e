"""Entry point of every image: runs the module that RETL_MODULE names, as `python -m` would.

An exec-form ENTRYPOINT takes no variables, and a shell as process 1 would keep SIGTERM from the service.
"""

import os
import runpy

if __name__ == "__main__":
    runpy.run_module(os.environ["RETL_MODULE"], run_name="__main__", alter_sys=True)
