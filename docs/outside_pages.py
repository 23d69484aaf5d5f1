"""Pages of the site whose text stands elsewhere in the repository; a hook of MkDocs."""

from pathlib import Path
from typing import Any

ROOT = Path(__file__).parent.parent
PAGES = {
    "benchmark_tables.md": "benchmarks/README.md",
    "changelog.md": "CHANGELOG.md",
    "contributing.md": "CONTRIBUTING.md",
}


def on_files(files: Any, config: Any) -> Any:
    """Add the pages."""
    from mkdocs.structure.files import File

    for page, source in PAGES.items():
        files.append(File.generated(config, page, content=(ROOT / source).read_text(encoding="utf-8")))
    return files


def on_page_markdown(markdown: str, **kwargs: Any) -> str:
    """Let links to these files, which are right on a code host, lead to their pages."""
    for page, source in PAGES.items():
        markdown = markdown.replace(f"](../{source}", f"]({page}")
    return markdown
