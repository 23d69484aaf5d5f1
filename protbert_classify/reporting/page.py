"""A self-contained HTML page, without network or scripts."""

import os
from typing import Any


def render(template: str, content: dict[str, Any]) -> str:
    """The page; what users wrote, such as accessions and labels, is escaped.

    Args:
        template: File name in this folder.
        content: What it shows.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.dirname(__file__)),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(template).render(content)
