"""What the cards of models and datasets share: Markdown escapes, templates, Hub ids."""

import html
import os
import re
from dataclasses import dataclass
from datetime import date
from pathlib import Path
from typing import Any

from ..data.deeploc import URL as DEEPLOC_URL
from .formatting import listed

DEEPLOC = ("Almagro Armenteros et al. 2017, DeepLoc", "10.1093/bioinformatics/btx431")
_SPECIAL = re.compile(r"([\\`*_{}\[\]|~$])")
_HUB_ID = re.compile(r"[A-Za-z0-9][\w.-]*/[\w.-]+")
_FILE_ENDINGS = (".fasta", ".fa", ".faa", ".fas", ".seq", ".csv", ".tsv", ".parquet", ".jsonl", ".json", ".gz")


@dataclass(frozen=True)
class Licences:
    """The licences of a model, its backbone and its data, as the Hub names them (`afl-3.0`, `mit`, ...).

    None if a licence is not known: the card then says so.
    """

    model: str | None = None
    backbone: str | None = None
    data: str | None = None


def escaped(value: Any) -> str:
    """Text from users, escaped so that Markdown shows it literally, in tables, too."""
    return _SPECIAL.sub(r"\\\1", html.escape(" ".join(str(value).split()), quote=False))


def hub_id(name: Any, folder: str) -> str | None:
    """A name if it is the id of a repository of the Hub (`owner/name`), and not a path.

    Args:
        name: What was given as a model or as data.
        folder: Of the run; a path was relative to one of the folders above it, or to where we are.
    """
    if not isinstance(name, str) or not _HUB_ID.fullmatch(name) or name.lower().endswith(_FILE_ENDINGS):
        return None
    places = [Path.cwd(), *Path(folder).resolve().parents]
    return None if any((place / name).exists() for place in places) else name


def data_name(source: str, folder: str = ".") -> str:
    """The name of data in a card: of a file without its folders, which are private."""
    if source == DEEPLOC_URL:
        return "DeepLoc 1.0"
    return hub_id(source, folder) or os.path.basename(source.rstrip("/"))


def link(source: str, folder: str = ".") -> str | None:
    """The address of data; None for a local file."""
    repository = hub_id(source, folder)
    if repository is not None:
        return f"https://huggingface.co/datasets/{repository}"
    return source if "://" in source else None


def citation(repo_id: str, kind: str = "") -> str:
    """BibTeX for a repository, `kind` before its id in the address: `datasets/` or nothing."""
    owner, _, name = repo_id.rpartition("/")
    fields = {
        "title": f"{{{name}}}",
        "author": f"{{{owner}}}",
        "year": str(date.today().year),
        "howpublished": rf"\url{{https://huggingface.co/{kind}{repo_id}}}",
    }
    lines = [f"  {field} = {{{value}}}" for field, value in fields.items()]
    return ",\n".join([f"@misc{{{re.sub(r'[^A-Za-z0-9]+', '_', name)}", *lines]) + "\n}"


def render_card(template: str, metadata: str, values: dict[str, Any]) -> str:
    """A card: metadata, YAML, and below it the template's text.

    Args:
        template: File in this folder; its filter `escaped` is for what users wrote.
        metadata: YAML, without the lines of hyphens around it.
        values: Of the template.
    """
    import jinja2

    environment = jinja2.Environment(
        loader=jinja2.FileSystemLoader(os.path.dirname(__file__)),
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    environment.filters.update(escaped=escaped, listed=listed)
    text = re.sub(r"\n{3,}", "\n\n", environment.get_template(template).render(values).strip())
    return f"---\n{metadata}\n---\n\n{text}\n"
