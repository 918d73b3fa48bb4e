"""ISO 8601 durations as Service Bus writes them, to milliseconds and back."""

import re

_DURATION = re.compile(
    r"P(?:(?P<days>\d+)D)?(?:T(?:(?P<hours>\d+)H)?(?:(?P<minutes>\d+)M)?(?:(?P<seconds>\d+(?:\.\d+)?)S)?)?"
)
# TimeSpan.MaxValue of .NET: Service Bus's way to say "for ever"
FOREVER = "P10675199DT2H48M5.4775807S"
_FOREVER_MS = 10_675_199 * 24 * 3600 * 1000


def parse_duration(text: str) -> int | None:
    """Return the milliseconds of a duration of days, hours, minutes and seconds; None for ever. Raises ValueError."""
    match = _DURATION.fullmatch(text.strip())
    if match is None or not any(match.groups()):
        raise ValueError(f"'{text}' is no duration such as PT1M, PT1H30M or P1D")
    days, hours, minutes = (int(match[unit] or 0) for unit in ("days", "hours", "minutes"))
    milliseconds = ((days * 24 + hours) * 60 + minutes) * 60_000 + round(float(match["seconds"] or 0) * 1000)
    return None if milliseconds >= _FOREVER_MS else milliseconds


def format_duration(milliseconds: int | None) -> str:
    """Return milliseconds as a duration; None as the longest there is."""
    if milliseconds is None:
        return FOREVER
    minutes, rest = divmod(milliseconds, 60_000)
    hours, minutes = divmod(minutes, 60)
    days, hours = divmod(hours, 24)
    time = "".join(f"{value:g}{unit}" for value, unit in ((hours, "H"), (minutes, "M"), (rest / 1000, "S")) if value)
    date = f"{days}D" if days else ""
    return f"P{date}T{time}" if time else (f"P{date}" if date else "PT0S")
