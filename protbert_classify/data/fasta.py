"""The records of FASTA: the same as from the packaged parser of `datasets`, which takes half a second to import."""

from collections.abc import Iterable, Iterator


def split_records(lines: Iterable[str]) -> Iterator[tuple[str, str, str]]:
    """Accession, description and residues of each record, one at a time.

    The accession is the first word of a header. Whitespace among residues, lines that begin with `;` and what comes
    before the first header are left out.

    Args:
        lines: Of a text, with their ends or without.
    """
    header: str | None = None
    residues: list[str] = []
    for line in lines:
        if line.startswith(">"):
            if header is not None:
                yield (*_words(header), "".join(residues))
            header, residues = line, []
        elif header is not None and not line.startswith(";"):
            residues.append("".join(line.split()))
    if header is not None:
        yield (*_words(header), "".join(residues))


def _words(header: str) -> tuple[str, str]:
    accession, *description = header.rstrip()[1:].split(None, 1) or [""]
    return accession, "".join(description)
