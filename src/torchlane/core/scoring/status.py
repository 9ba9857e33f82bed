"""The state of the files of an inbox, as text for people."""

from collections import Counter
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

LATEST = 10  # files that are listed one by one
STATES = {
    "waiting": "waiting",
    "settling": "waiting to settle",
    "claimed": "being scored",
    "done": "done",
    "copy": "copies",
    "failed": "failed",
    "refused": "refused",
    "gone": "gone or replaced before they could be scored",
    "new": "new, which no run has seen yet",
}

Entry = dict[str, Any]


def describe(use_case: str, entries: list[Entry], present: set[str], now: datetime) -> str:
    """Summarise a ledger: the number of files in each state, today's work, failures with reasons, and drift.

    `entries` are those of `Ledger.entries`, with times in UTC. `present` has the names of the files in the inbox.
    `now` has a time zone, which decides when a day begins.
    """
    seen = {name for entry in entries for name in entry.get("names", [entry["name"]])}
    entries = [entry | {"state": "gone"} if _is_gone(entry, present) else entry for entry in entries]
    states = Counter(entry["state"] for entry in entries) + Counter({"new": len(present - seen)})
    if not states:
        return f"{use_case}: no file has arrived yet"
    counts = ", ".join(f"{states[state]} {words}" for state, words in STATES.items() if states[state])
    done = [entry for entry in entries if entry["state"] == "done"]
    today = [entry for entry in done if _local(entry["ended"], now).date() == now.date()]
    lines = [f"{use_case}: {counts}", f"today: {_describe_work(today)}"]
    lines += _section("failed, with the reason", map(_describe_failure, _in(entries, "failed", "refused", "waiting")))
    lines += _section("being scored", (f"{e['name']} by {e['owner']}" for e in _in(entries, "claimed")))
    drifted = _latest([entry for entry in done if _beyond(entry)])
    lines += _section("drift", (f"{entry['name']}: {'; '.join(_beyond(entry))}" for entry in drifted))
    lines += _section("scored last", (_describe_done(entry, now) for entry in _latest(done)))
    return "\n".join(lines)


def _in(entries: list[Entry], *states: str) -> Iterator[Entry]:
    """Select the entries in these states; a waiting one only if an earlier attempt has left a reason."""
    for entry in entries:
        if entry["state"] in states and (entry["state"] != "waiting" or entry["error"]):
            yield entry


def _is_gone(entry: Entry, present: set[str]) -> bool:
    """Say whether an entry was not scored and no file in the inbox has its content any more."""
    return entry["state"] in ("failed", "waiting") and present.isdisjoint(entry["names"])


def _latest(done: list[Entry]) -> list[Entry]:
    return sorted(done, key=lambda entry: entry["ended"], reverse=True)[:LATEST]


def _beyond(entry: Entry) -> list[str]:
    found: list[str] = (entry["drift"] or {}).get("beyond", [])
    return found


def _describe_work(done: list[Entry]) -> str:
    rows, seconds = sum(entry["rows_read"] for entry in done), sum(entry["seconds"] for entry in done)
    speed = f", {rows / seconds:,.0f} rows/s" if seconds else ""
    drifted = sum(bool(_beyond(entry)) for entry in done)
    rejected = sum(entry["rows_rejected"] for entry in done)
    scored = f"{rows - rejected:,} rows scored, {rejected:,} rejected{speed}"
    return f"{len(done)} file{'s' * (len(done) != 1)} done, {scored}; drift in {drifted}"


def _describe_failure(entry: Entry) -> str:
    attempts = f" after {entry['attempts']} attempts" if entry.get("attempts", 0) > 1 else ""
    return f"{entry['name']}{attempts}: {entry['error']}"


def _describe_done(entry: Entry, now: datetime) -> str:
    when = _local(entry["ended"], now).strftime("%Y-%m-%d %H:%M")
    speed = entry["rows_read"] / max(entry["seconds"], 1e-9)
    return (
        f"{when}  {entry['name']}: {entry['rows_scored']:,} rows, {entry['rows_rejected']:,} rejected, "
        f"{speed:,.0f} rows/s, model {entry['model'][:12]}, in {entry['output']}"
    )


def _section(title: str, lines: Iterator[str]) -> list[str]:
    listed = [f"  {line}" for line in lines]
    return ["", f"{title}:", *listed] if listed else []


def _local(utc: datetime, now: datetime) -> datetime:
    return utc.replace(tzinfo=UTC).astimezone(now.tzinfo)
