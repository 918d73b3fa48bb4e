"""The README names every option and every route."""

from pathlib import Path

import pytest

from libs.emulators import servicebus
from libs.emulators.servicebus.__main__ import parser
from libs.emulators.servicebus.admin.operations import operations_routes
from libs.emulators.servicebus.broker.namespace import Namespace
from libs.emulators.servicebus.emulator import Emulator


@pytest.fixture
def readme() -> str:
    return (Path(str(servicebus.__file__)).parent / "README.md").read_text(encoding="utf-8")


def test_every_option_is_in_the_readme(readme: str) -> None:
    options = [option for action in parser()._actions for option in action.option_strings if option.startswith("--")]

    assert [option for option in options if f"`{option}" not in readme] == ["--help"]


def test_every_route_is_in_the_readme(readme: str, namespace: Namespace) -> None:
    routes = [f"`{route.method} {route.path}`" for route in operations_routes(Emulator(namespace))]

    assert [route for route in routes if route not in readme] == []
