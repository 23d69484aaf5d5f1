"""What requests and answers look like, for the server's OpenAPI document; a test holds that `requests` agrees."""

from typing import Any

from ..model.configuration import CROPS
from ..model.tasks import PROBLEM_TYPES
from .requests import CSV, FASTA, JSON, JSON_LINES

PROTEIN = {
    "type": "string",
    "description": "Residues, A-Z in upper or lower case; white space and one stop * at the end are ignored.",
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
            "description": "How many classes to return, the best first; null for all. With a value other than 1, each "
            "protein gets a list. The default is the predicted class, or a list of the predicted classes if a protein "
            "can have several. A regression ignores it.",
        },
        "truncation_report": {
            "type": "boolean",
            "default": False,
            "description": "Add each protein's length and whether it is longer than the model reads.",
        },
        "sets": {
            "type": ["number", "null"],
            "exclusiveMinimum": 0,
            "exclusiveMaximum": 1,
            "description": "Add each protein's prediction set at this error: the classes that cannot be excluded, the "
            "best first. At 0.1, at most about 10% of the sets miss the true class, for proteins like the validation "
            "proteins. Answered with 422 by a model that gives no sets.",
        },
        "sets_by_class": {
            "type": "boolean",
            "default": False,
            "description": "With sets: keep this promise for the proteins of each class.",
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
PREDICTION = {
    "type": "object",
    "required": ["label", "score"],
    "properties": {
        "label": {"type": "string", "description": "A class; for a regression, the name of the number."},
        "score": {"type": "number", "description": "A probability; for a regression, the number."},
    },
}
PREDICTIONS = {"anyOf": [PREDICTION, {"type": "array", "items": PREDICTION}]}
REPORTED = {
    "type": "object",
    "required": ["predictions"],
    "properties": {
        "predictions": PREDICTIONS,
        "length": {"type": "integer", "description": "With truncation_report."},
        "truncated": {"type": "boolean", "description": "With truncation_report."},
        "set": {"type": "array", "items": {"type": "string"}, "description": "With sets; may be empty."},
    },
}
ROW = {
    "type": "object",
    "description": "A row as `protbert-classify predict` writes it, with the predictions between length and truncated. "
    "A classification has the predicted class under the name of the task (several joined by ';'), its probability as "
    "`score`, and the probability of each class under the name of the class. A regression has each number under its "
    "name. After these, each auxiliary task has its prediction under its name, and the probability as `NAME score`.",
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
    "anyOf": [
        PREDICTION,
        REPORTED,
        {"type": "array", "items": PREDICTIONS},
        {"type": "array", "items": REPORTED},
        {"type": "array", "items": ROW},
    ]
}
TEXT = {"type": "string"}
# The usual files. The server reads more than these, such as comments in FASTA and further columns in CSV.
LINE = "\t -~\u00a0-\ud7ff"  # characters of a line
FASTA_RECORD = rf">[!-~][{LINE}]*[\r\n][ \t\r\n]*[A-Za-z][A-Za-z \t\r\n]*(\*[ \t\r\n]*)?"
FASTA_TEXT = {**TEXT, "pattern": rf"^{FASTA_RECORD}([\r\n]{FASTA_RECORD})*$"}
CELL = "[\t !#-+\\--~\u00a0-\ud7ff]*"  # without quotes and commas
SEQUENCE_CELL = r"[ \t]*([A-Za-z][ \t]*)+(\*[ \t]*)?"
CSV_TABLES = (
    rf"sequence(\r?\n{SEQUENCE_CELL})+",
    rf"id,sequence(\r?\n{CELL},{SEQUENCE_CELL})+",
    rf"id,description,sequence(\r?\n{CELL},{CELL},{SEQUENCE_CELL})+",
)
CSV_TEXT = {**TEXT, "pattern": rf"^({'|'.join(CSV_TABLES)})(\r?\n)?$"}
LINES_TEXT = {
    **TEXT,
    "description": 'On each line {"id": "P1", "description": "...", "sequence": "MKT"}; only "sequence" is required.',
}
FAILURE = {
    "application/json": {
        "schema": {"type": "object", "required": ["error"], "properties": {"error": {"type": "string"}}}
    }
}
STATUSES = {
    400: "The body is not what its content type says, or has a character that is not a residue",
    406: "The client accepts none of the formats of an answer",
    408: "The body did not arrive in time",
    413: "Too many bytes or proteins",
    415: "Unknown content type, charset or encoding",
    422: "JSON of another shape, a protein that is too long, or prediction sets that the model cannot give",
    429: "The queue is full; Retry-After says when to try again",
    500: "An internal error; see the log of the server",
    503: "The model is still loading, the server is shutting down, or it holds too many bytes of requests",
}
RETRY = {"Retry-After": {"description": "Seconds.", "schema": {"type": "integer", "minimum": 1}}}

INVOCATIONS: dict[str, Any] = {
    "requestBody": {
        "required": True,
        "description": "Any format may be compressed with gzip (Content-Encoding: gzip).",
        "content": {
            JSON: {"schema": REQUEST},
            JSON_LINES: {"schema": LINES_TEXT},
            FASTA: {"schema": FASTA_TEXT, "example": ">P1 a description\nMKT\n"},
            "application/x-fasta": {"schema": FASTA_TEXT},
            CSV: {"schema": CSV_TEXT, "example": "id,sequence\nP1,MKT\n"},
        },
    },
    "responses": {
        "200": {
            "description": "The predictions, in the order of the request.",
            "content": {
                JSON: {"schema": ANSWER},
                JSON_LINES: {"schema": TEXT, "description": "A row on each line."},
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


def _answered(description: str, schema: dict[str, Any], kind: str = JSON) -> dict[str, Any]:
    return {"description": description, "content": {kind: {"schema": schema}}}


def _object(properties: dict[str, Any]) -> dict[str, Any]:
    return {"type": "object", "required": list(properties), "properties": properties}


COUNT = {"type": "integer", "minimum": 1}
LIMITS = {
    "max_body": "Bytes of a request, decompressed.",
    "max_proteins": "Proteins of a request.",
    "max_residues": "Residues of a protein; a longer one is refused.",
    "max_queue": "Proteins that may wait.",
    "max_in_flight": "Bytes of all unanswered requests together.",
    "max_connections": "Connections that may be open.",
}
NUMBERS = {"type": "array", "items": {"type": "number"}}
TEMPERATURE = {"anyOf": [{"type": "number"}, NUMBERS]}
BIAS = {"anyOf": [{"type": "null"}, NUMBERS]}
TASK = _object(
    {
        "name": {"type": "string"},
        "problem_type": {"enum": list(PROBLEM_TYPES)},
        "labels": {"type": "array", "items": {"type": "string"}, "description": "Classes; of a regression, numbers."},
        "thresholds": {
            "type": ["array", "null"],
            "items": {"type": "number"},
            "description": "The probability from which on each class is predicted, if a protein can have several.",
        },
    }
)
DESCRIPTION = _object(
    {
        "backbone": {"type": "string", "description": "Architecture of the protein language model."},
        "members": {**COUNT, "description": "Models of an ensemble, whose scores are averaged; 1 of a single model."},
        "tasks": {"type": "array", "items": TASK, "minItems": 1, "description": "The main task first."},
        "crop": {"enum": list(CROPS), "description": "What is kept of a protein that is longer than the model reads."},
        "cropped_to": {
            "type": ["integer", "null"],
            "description": "Residues that the model reads of a longer protein; null: as many as there are.",
        },
        "calibration": {
            "description": "How scores of the main task are calibrated: its logits are divided by the temperature, one "
            "number or one for each class, and a bias for each class is added. null if they are not, or if each member "
            "of an ensemble has a calibration of its own.",
            "anyOf": [{"type": "null"}, _object({"temperature": TEMPERATURE, "bias": BIAS})],
        },
        "limits": _object({name: {**COUNT, "description": text} for name, text in LIMITS.items()}),
        "version": {"type": "string", "description": "Version of protbert_classify."},
    }
)
UNAVAILABLE = {"description": "The model is still loading", "content": FAILURE, "headers": RETRY}
STATE = _object({"status": {"enum": ["ready", "loading", "draining"]}})
MODEL: dict[int | str, dict[str, Any]] = {200: _answered("The model", DESCRIPTION), 503: UNAVAILABLE}
PING: dict[int | str, dict[str, Any]] = {
    200: _answered("Requests are accepted", STATE),
    503: _answered("The model is still loading, or the server is shutting down", STATE),
}
METRICS: dict[int | str, dict[str, Any]] = {200: _answered("Prometheus' text format", TEXT, "text/plain")}
