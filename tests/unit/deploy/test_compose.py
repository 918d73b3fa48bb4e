"""The compose file names what the code has: services, settings, modules."""

from __future__ import annotations

import importlib
import importlib.util
from pathlib import Path
from typing import Any

import pytest
import yaml

from libs.cli.stack import SERVICES
from libs.common.settings import CommonSettings

ROOT = Path(__file__).parents[3]
COMPOSE: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["services"]
OF_THE_IMAGE = {"RETL_MODULE", "PROBE_URL"}


def settings_of(service: str) -> set[str]:
    module = importlib.import_module(f"services.{service}.settings")
    (found,) = (
        kind
        for kind in vars(module).values()
        if isinstance(kind, type) and issubclass(kind, CommonSettings) and kind.__module__ == module.__name__
    )
    return {name.upper() for name in found.model_fields}


@pytest.mark.parametrize("service", SERVICES)
def test_every_service_is_in_the_stack_with_settings_that_it_reads(service: str) -> None:
    described = COMPOSE[service]
    assert described["build"]["args"] == {"SERVICE": service}
    assert set(described["environment"]) <= settings_of(service)


@pytest.mark.parametrize("service", SERVICES)
def test_a_service_takes_no_port_of_the_host_so_that_it_scales(service: str) -> None:
    assert "ports" not in COMPOSE[service]
    assert "container_name" not in COMPOSE[service]


@pytest.mark.parametrize("name", COMPOSE)
def test_every_container_is_locked_down_and_bounded(name: str) -> None:
    described = COMPOSE[name]
    assert described["read_only"] is True
    assert described["cap_drop"] == ["ALL"]
    assert described["security_opt"] == ["no-new-privileges:true"]
    assert described["mem_limit"]


@pytest.mark.parametrize("name", COMPOSE)
def test_every_volume_has_a_name_by_which_it_can_be_removed(name: str) -> None:
    declared = yaml.safe_load((ROOT / "docker-compose.yml").read_text())["volumes"]
    assert {volume.split(":")[0] for volume in COMPOSE[name].get("volumes", [])} <= set(declared)


@pytest.mark.parametrize("name", [name for name, described in COMPOSE.items() if "ports" in described])
def test_ports_are_open_on_this_machine_only(name: str) -> None:
    assert all(port.startswith("127.0.0.1:") for port in COMPOSE[name]["ports"])


@pytest.mark.parametrize("name", [name for name in COMPOSE if name not in SERVICES])
def test_what_is_no_service_runs_a_module_that_is_there(name: str) -> None:
    described = COMPOSE[name]
    environment = described["environment"]
    module = environment.get("RETL_MODULE", described["build"]["args"].get("MODULE"))
    assert importlib.util.find_spec(f"{module}.__main__") is not None
    known = OF_THE_IMAGE | {field.upper() for field in CommonSettings.model_fields} | settings_of("extractor")
    known |= {"RETRY_DELAYS_SEC"}
    assert set(environment) <= known
