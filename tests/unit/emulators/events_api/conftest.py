"""A week to generate: the same Monday for every test, options as the test says."""

from __future__ import annotations

from collections.abc import Callable
from datetime import date

import pytest

from libs.emulators.events_api.generator import GeneratedWeek, GeneratorOptions
from libs.emulators.events_api.span import Span

Generate = Callable[[GeneratorOptions], GeneratedWeek]


@pytest.fixture
def span() -> Span:
    return Span.week_of(date(2019, 10, 7))


@pytest.fixture
def generate(span: Span) -> Generate:
    return lambda options: GeneratedWeek(options, span)
