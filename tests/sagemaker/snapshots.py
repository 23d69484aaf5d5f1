"""Requests as they were when somebody last looked at them: a change of one is seen in the review.

UPDATE_SNAPSHOTS=1 writes them again.
"""

import json
import os
import re
from pathlib import Path

FOLDER = Path(__file__).parent / "snapshots"
CHANGING = (
    (re.compile(r"\d{6}-\d{6}-[0-9a-f]{4}"), "STAMP"),
    (re.compile(r"\d{4}-?\d\d-?\d\d[T-]\d\d[:-]?\d\d[:-]?\d\d[\d.:+Z-]*"), "TIME"),
    (re.compile(r"\b[0-9a-f]{32}\b"), "RANDOM"),
)


def same_as_snapshot(name, value):
    """Compare what JSON can hold with `snapshots/NAME.json`, but for what each run names again."""
    text = json.dumps(value, indent=2, sort_keys=True) + "\n"
    for pattern, placeholder in CHANGING:
        text = pattern.sub(placeholder, text)
    path = FOLDER / f"{name}.json"
    if os.environ.get("UPDATE_SNAPSHOTS") == "1":
        FOLDER.mkdir(exist_ok=True)
        path.write_text(text)
    assert json.loads(text) == json.loads(path.read_text()), f"{name}: UPDATE_SNAPSHOTS=1 takes the new one"
