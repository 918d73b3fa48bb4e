"""Sums over the reports of parts."""

from collections import Counter

from libs.common.events.report import UNKNOWN_NAMES_MAX, Report


def test_reports_of_parts_add_up() -> None:
    one = Report(3, 2, Counter(bad_price=2), {"x": Counter(string=1, null=1)})
    two = Report(1, 1, Counter(bad_time=1), {"x": Counter(string=4), "a": Counter(number=1)})
    total = Report.sum((part.valid, part.rejected, part.details) for part in (one, two))
    assert (total.valid, total.rejected) == (4, 3)
    assert total.details == {
        "reject_counts": {"bad_price": 2, "bad_time": 1},
        "unknown_fields": {"a": {"number": 1}, "x": {"null": 1, "string": 5}},
    }


def test_equal_reports_read_equal_whatever_came_first() -> None:
    one = Report(reject_counts=Counter({"b": 1, "a": 2}), unknown_fields={"y": Counter(null=1), "x": Counter(null=1)})
    other = Report(reject_counts=Counter({"a": 2, "b": 1}), unknown_fields={"x": Counter(null=1), "y": Counter(null=1)})
    assert repr(one.details) == repr(other.details)


def test_of_too_many_unknown_fields_a_sum_keeps_the_most_frequent() -> None:
    part = Report(unknown_fields={f"f{n:03}": Counter(string=n) for n in range(1, 101)})
    total = Report.sum([(0, 0, part.details)])
    assert set(total.unknown_fields) == {f"f{n:03}" for n in range(101 - UNKNOWN_NAMES_MAX, 101)}
