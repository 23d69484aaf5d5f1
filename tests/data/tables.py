"""Proteins as tables of text, for the tests that read them."""

import json

ROWS = [
    {"id": "P1", "sequence": "MKT", "location": "NA", "split": "train"},
    {"id": "P2", "sequence": "m k t a", "location": "Virus", "split": "train"},
    {"id": "P3", "sequence": "GGW*", "location": "NA", "split": "test"},
    {"id": "P4", "sequence": "GGX", "location": "Virus", "split": "dev"},
]


def separated(mark, rows=ROWS):
    return "".join(mark.join(cells) + "\n" for cells in [list(rows[0]), *(map(str, row.values()) for row in rows)])


def lines(rows=ROWS):
    return "".join(json.dumps(row) + "\n" for row in rows)
