"""What requests and answers look like, for the server's OpenAPI document; a test holds that `queries` agrees."""

from typing import Any

from .requests import CSV, FASTA, JSON, JSON_LINES

PROTEIN = {
    "type": "string",
    "description": "Residues, A-Z in upper or lower case; white space and one trailing stop * are left out.",
    "pattern": r"^\s*([A-Za-z]\s*)+(\*\s*)?$",
    "examples": ["MKTAYIAKQRQISFVKSHFSRQLEERLGLIEVQ"],
}
PARAMETERS = {
    "type": ["object", "null"],
    "description": "Only with an answer in JSON.",
    "properties": {
        "top_k": {
            "type": ["integer", "null"],
            "minimum": 1,
            "description": "Classes to return, best first; null for all. Other than 1, each protein gets a list. By "
            "default, the predicted class, or a list of the predicted classes if a protein can have several. Without "
            "effect on a regression.",
        },
        "truncation_report": {
            "type": "boolean",
            "default": False,
            "description": "Tell each protein's length and whether the model read all of it.",
        },
    },
    "additionalProperties": False,
}
REQUEST = {
    "type": "object",
    "required": ["inputs"],
    "properties": {
        "inputs": {"anyOf": [PROTEIN, {"type": "array", "items": PROTEIN, "minItems": 1}]},
        "parameters": PARAMETERS,
    },
    "additionalProperties": False,
}
CALL = {
    "type": "object",
    "required": ["label", "score"],
    "properties": {
        "label": {"type": "string", "description": "A class; of a regression, what the number is."},
        "score": {"type": "number", "description": "A probability; of a regression, the number."},
    },
}
CALLS = {"anyOf": [CALL, {"type": "array", "items": CALL}]}
REPORTED = {
    "type": "object",
    "required": ["predictions", "length", "truncated"],
    "properties": {"predictions": CALLS, "length": {"type": "integer"}, "truncated": {"type": "boolean"}},
}
ROW = {
    "type": "object",
    "description": "A row of `protbert-classify predict`: these, and between length and truncated the answers. A "
    "classification has the predicted class under the name of the task, several joined by ';', its probability as "
    "`score`, and the probability of each class under its name; a regression has each number under its name. Behind "
    "them, an auxiliary task has its answer under its name, and the probability of it as `NAME score`.",
    "required": ["id", "description", "length", "truncated"],
    "properties": {
        "id": {"type": "string"},
        "description": {"type": "string"},
        "length": {"type": "integer", "description": "Residues."},
        "truncated": {"type": "boolean", "description": "Whether the protein is longer than the model reads."},
    },
    "additionalProperties": {"type": ["string", "number"]},
}
ANSWER = {
    "anyOf": [CALL, REPORTED, {"type": "array", "items": {"anyOf": [CALL, {"type": "array", "items": CALL}]}},
              {"type": "array", "items": REPORTED}, {"type": "array", "items": ROW}]
}  # fmt: skip
TEXT = {"type": "string"}
FAILURE = {
    "application/json": {
        "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    }
}
STATUSES = {
    400: "The body is not what its content type says, or holds a character that is not a residue",
    406: "No format of an answer that is accepted",
    408: "The body did not arrive in time",
    413: "Too many bytes or proteins",
    415: "The content type, its charset or its encoding cannot be read",
    422: "JSON of another shape, or a protein that is too long",
    429: "The queue is full; Retry-After says when to come back",
    500: "A failure of the server; its log tells more",
    503: "The model is being loaded, or the server is about to stop",
}
RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}

INVOCATIONS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "content": {
            JSON: {"schema": REQUEST},
            JSON_LINES: {"schema": TEXT, "example": '{"id": "P1", "sequence": "MKT"}\n{"sequence": "MKV"}\n'},
            FASTA: {"schema": TEXT, "example": ">P1 a description\nMKT\n"},
            "application/x-fasta": {"schema": TEXT, "example": ">P1 a description\nMKT\n"},
            CSV: {"schema": TEXT, "example": "id,sequence\nP1,MKT\n"},
        },
    },
    "responses": {
        "200": {
            "description": "The calls, in the order of the request.",
            "content": {
                JSON: {"schema": ANSWER},
                JSON_LINES: {"schema": TEXT, "description": "A row of the table a line."},
                CSV: {"schema": TEXT},
            },
        },
        **{
            str(status): {
                "description": text,
                "content": FAILURE,
                **({"headers": RETRY} if status in (429, 503) else {}),
            }
            for status, text in STATUSES.items()
        },
    },
}
