"""Command line: ``python -m libs.emulators.salesforce --port P``."""

from __future__ import annotations

import argparse
import asyncio
import logging
import os
import sys
from pathlib import Path

import msgspec

from libs.emulators.salesforce.auth import Credentials
from libs.emulators.salesforce.faults import Fault, decode_faults
from libs.emulators.salesforce.jwt import load_public_key
from libs.emulators.salesforce.schema import load_schema
from libs.emulators.salesforce.server import Options, serve

_ENV = "SF_EMULATOR_"
_SECRETS = {
    "client-id": "retl-demo",
    "client-secret": "retl-demo-secret",  # known to everybody: it opens nothing but this emulator
    "username": "integration@retl.example",
    "password": "retl-demo-password",
    "security-token": "retlDemoToken",
}


def command_line() -> argparse.ArgumentParser:
    """Declare the options; README.md explains every one, which a test checks."""
    parser = argparse.ArgumentParser(prog="python -m libs.emulators.salesforce", description="A local Salesforce.")
    parser.add_argument("--port", type=int, required=True, help="port to listen on; 0 picks a free one")
    parser.add_argument("--host", default="127.0.0.1")
    parser.add_argument("--data", type=Path, help="folder that keeps records and jobs; default: a temporary one")
    parser.add_argument("--public-url", default="", help="address told to clients; default: the one they used")
    parser.add_argument("--schema", type=Path, help="JSON file of objects; default: Customer_Weekly_Metric__c")
    parser.add_argument("--faults", default="[]", help="faults to begin with: JSON, or a file that holds it")
    parser.add_argument("--token-ttl-sec", type=float, default=7200.0, help="how long a session lives (%(default)s)")
    parser.add_argument(
        "--job-delay-sec", type=float, default=0.0, help="wait before a closed job starts (%(default)s)"
    )
    parser.add_argument("--daily-api-requests", type=int, default=100_000, help="calls a day (%(default)s)")
    parser.add_argument("--daily-bulk-batches", type=int, default=15_000, help="bulk batches a day (%(default)s)")
    parser.add_argument("--jwt-public-key", type=Path, help="PEM key or certificate that JWT assertions must match")
    parser.add_argument("--no-password-login", action="store_true", help="answer as an org that has retired it")
    parser.add_argument("--log-level", default="INFO", choices=("DEBUG", "INFO", "WARNING", "ERROR"))
    for name, default in _SECRETS.items():
        variable = _ENV + name.upper().replace("-", "_")
        parser.add_argument(f"--{name}", default=os.environ.get(variable, default), help=f"also {variable} ({default})")
    return parser


def _read_faults(text: str) -> list[Fault]:
    try:
        content = text if text.lstrip().startswith(("[", "{")) else Path(text).read_bytes()
        return decode_faults(content)
    except (OSError, msgspec.DecodeError) as error:
        raise ValueError(f"--faults: {error}") from error


def options_of(arguments: argparse.Namespace) -> Options:
    """What the command line asks for. Raises ValueError."""
    return Options(
        host=arguments.host,
        port=arguments.port,
        data=arguments.data,
        public_url=arguments.public_url,
        schema=load_schema(arguments.schema),
        credentials=Credentials(
            client_id=arguments.client_id,
            client_secret=arguments.client_secret,
            username=arguments.username,
            password=arguments.password,
            security_token=arguments.security_token,
            jwt_public_key=load_public_key(arguments.jwt_public_key) if arguments.jwt_public_key else None,
            password_login=not arguments.no_password_login,
        ),
        token_ttl_sec=arguments.token_ttl_sec,
        job_delay_sec=arguments.job_delay_sec,
        max_api_calls=arguments.daily_api_requests,
        max_batches=arguments.daily_bulk_batches,
        faults=_read_faults(arguments.faults),
    )


def main() -> int:
    """Run the emulator; 0 when it was told to stop, 2 when it was started wrongly, 1 when it cannot listen."""
    arguments = command_line().parse_args()
    logging.basicConfig(
        stream=sys.stderr, level=arguments.log_level, format="%(asctime)s %(levelname)s %(name)s %(message)s"
    )
    try:
        asyncio.run(serve(options_of(arguments)))
    except ValueError as error:
        sys.stderr.write(f"{error}\n")
        return 2
    except OSError as error:
        sys.stderr.write(f"cannot serve on {arguments.host}:{arguments.port}: {error}\n")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
