"""Faults on order: whom they hit, and how often."""

from libs.emulators.datalake.faults import Fault, Faults


def test_a_fault_hits_as_often_as_asked() -> None:
    faults = Faults()
    faults.add(Fault(effect="error", times=2))
    assert [faults.take("path.read", "x") is not None for _ in range(3)] == [True, True, False]
    assert faults.pending == []


def test_a_fault_hits_only_its_operation_and_path() -> None:
    faults = Faults()
    faults.add(Fault(effect="error", operation="path.append", path_contains="week"))
    assert faults.take("path.flush", "week") is None
    assert faults.take("path.append", "month") is None
    assert faults.take("path.append", "a/week/b") is not None


def test_a_fault_lets_the_first_ones_pass_when_asked() -> None:
    faults = Faults()
    faults.add(Fault(effect="error", skip=2))
    assert [faults.take("any", "x") is not None for _ in range(4)] == [False, False, True, False]


def test_faults_happen_in_the_order_they_were_asked_for() -> None:
    faults = Faults()
    faults.add(Fault(effect="error", status=500))
    faults.add(Fault(effect="error", status=503))
    assert [taken.status for _ in range(2) if (taken := faults.take("any", "x"))] == [500, 503]


def test_clearing_forgets_all() -> None:
    faults = Faults()
    faults.add(Fault(effect="drop", times=9))
    faults.clear()
    assert faults.take("any", "x") is None
