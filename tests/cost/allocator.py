"""What torch's own allocator gives out on a CPU, by its profiler: what an estimate is checked against."""

import json
from collections.abc import Callable
from pathlib import Path

import torch


def allocated(work: Callable[[], object], folder: Path) -> tuple[int, int]:
    """Bytes that work left allocated, and that it had at its fullest moment, above those before it."""
    with torch.profiler.profile(activities=[torch.profiler.ProfilerActivity.CPU], profile_memory=True) as profile:
        result = work()  # held until the profile ends
    path = folder / "trace.json"
    profile.export_chrome_trace(str(path))
    events = [e for e in json.loads(path.read_text())["traceEvents"] if e.get("name") == "[memory]"]
    events.sort(key=lambda event: event["ts"])
    totals = [event["args"]["Total Allocated"] for event in events]
    before = totals[0] - events[0]["args"]["Bytes"]
    del result
    return totals[-1] - before, max(totals) - before
