"""Docstrings as Markdown has them; an extension of Griffe, which reads them for the page on Python."""

import re
from typing import Any

import griffe

REFERENCE = re.compile(r"\[(`[^`]+`)\](?![\[(])")  # [`name`], as transformers' docs have it: brackets without a target
EXAMPLE = re.compile(r"^( *)Example:$", re.MULTILINE)  # the section that Griffe knows is called Examples


class PlainDocstrings(griffe.Extension):
    """Takes the brackets off references, and gives examples the name under which they are highlighted."""

    def on_object(self, *, obj: griffe.Object, **kwargs: Any) -> None:
        if obj.docstring is not None:
            text = REFERENCE.sub(r"\1", obj.docstring.value)
            obj.docstring.value = EXAMPLE.sub(r"\1Examples:", text)
