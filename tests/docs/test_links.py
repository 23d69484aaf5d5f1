"""Links within the repository lead somewhere, on a code host as well as on the site."""

import re

import pytest

from tests.docs.pages import PAGES

GENERATED = {"command_line.md"}  # by hooks of the site; on a code host there is --help


def slug(heading):
    """The anchor of a heading, as code hosts have it."""
    return re.sub(r"[^\w\- ]", "", heading.lower()).replace(" ", "-")


LINK = re.compile(r"\]\((?!https?://)([^)#\s]*)(?:#([^)\s]+))?\)")
LINKING = [page for page in PAGES if LINK.search(page.read_text())]


@pytest.mark.parametrize("page", LINKING, ids=lambda page: page.name)
def test_every_relative_link_leads_to_a_file_and_a_heading(page):
    for path, anchor in LINK.findall(page.read_text()):
        target = page.parent / path if path else page
        if path in GENERATED:
            continue
        assert target.exists(), f"{page.name}: {path}"
        if anchor:
            headings = re.findall(r"^#+ (.*)$", target.read_text(), re.MULTILINE)
            assert anchor in map(slug, headings), f"{page.name}: {path}#{anchor}"


def test_the_readme_links_every_page_but_the_home_page_and_the_tables_of_others():
    linked = set(re.findall(r"\]\(docs/(\w+\.md)", PAGES[0].read_text()))
    assert {page.name for page in PAGES[1:]} - linked == {"index.md", "python.md"}
