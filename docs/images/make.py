"""Make the pictures of the documentation from a run, in the repository's root: `python docs/images/make.py --run DIR`.

A page is photographed by headless Chromium (Debian: `apt-get install chromium`).
"""

import argparse
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from huggingface_hub import ModelCard
from markdown_it import MarkdownIt
from PIL import Image

from protbert_classify.errors import InputError
from protbert_classify.hub import describe_model, find_model
from protbert_classify.reporting.card import Licences
from protbert_classify.reporting.report import write_report
from protbert_classify.runs.files import SEARCH_PAGE
from protbert_classify.runs.finished_run import read_run

HERE = Path(__file__).parent
WIDTH = 1240  # CSS pixels
SHADES = 63  # of each colour
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="output_dir of a finished training")
    parser.add_argument("--only", choices=PICTURES, help="make one picture (default: those of every run)")
    options = parser.parse_args(arguments)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"no browser found; expected one of {', '.join(BROWSERS)}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        for name in [options.only] if options.only else OF_EVERY_RUN:
            make, height = PICTURES[name]
            try:
                page = make(options.run, Path(folder) / f"{name}.html")
            except InputError as error:
                print(error, file=sys.stderr)
                return 2
            photograph(browser, page, HERE / f"{name}.png", height)
            print(HERE / f"{name}.png", f"{(HERE / f'{name}.png').stat().st_size / 1024:.0f} KB")
    return 0


def report_page(run: str, path: Path) -> Path:
    """The page of `protbert-classify report`."""
    write_report(read_run(run), path)
    return path


def search_page(run: str, path: Path) -> Path:
    """The page of `protbert-classify train --search`."""
    source = Path(run) / SEARCH_PAGE
    if not source.is_file():
        raise InputError(f"{source}: no such file; expected the output_dir of a search")
    return Path(shutil.copyfile(source, path))


def card_page(run: str, path: Path) -> Path:
    """The card of `protbert-classify push`, about as the Hub shows it."""
    model, found = find_model(run)
    card, files = describe_model(model, found, "me/my-classifier", Licences(data="mit"), str(path.parent))
    body = MarkdownIt("commonmark").enable("table").render(ModelCard(card).text)
    for name, source in files.items():
        if name.endswith(".png"):
            body = body.replace(f'src="{name}"', f'src="{Path(str(source)).resolve().as_uri()}"')
    path.write_text(CARD_PAGE.format(body=body), encoding="utf-8")
    return path


CARD_PAGE = """<!doctype html><meta charset="utf-8"><style>
body {{ font: 16px/1.55 "Source Sans 3", "Liberation Sans", Arial, sans-serif; color: #1f2937;
        max-width: 960px; margin: 32px auto; padding: 0 24px }}
h1, h2 {{ line-height: 1.2; margin: 1.4em 0 .5em }} h1 {{ margin-top: 0 }}
h2 {{ border-bottom: 1px solid #e5e7eb; padding-bottom: .3em }}
table {{ border-collapse: collapse; font-size: 14px; margin: 1em 0; display: block; overflow-x: hidden }}
th, td {{ border: 1px solid #e5e7eb; padding: 4px 12px; text-align: left }} th {{ background: #f9fafb }}
td[style*="right"], th[style*="right"] {{ text-align: right; font-variant-numeric: tabular-nums }}
code {{ font: 13px "DejaVu Sans Mono", monospace; background: #f3f4f6; padding: 1px 4px; border-radius: 4px }}
pre {{ background: #f3f4f6; padding: 12px 16px; border-radius: 8px; overflow-x: hidden }}
pre code {{ background: none; padding: 0 }}
img {{ max-width: 600px; display: block; margin: 1em auto }} a {{ color: #2563eb }}
</style>{body}"""


def photograph(browser: str, page: Path, path: Path, height: int) -> None:
    """The top of a page as a PNG.

    Args:
        browser: Chromium's path.
        page: An HTML file.
        path: Of the PNG.
        height: CSS pixels that are shown.
    """
    with tempfile.TemporaryDirectory() as profile:
        command = [browser, "--headless", "--no-sandbox", "--disable-gpu", "--hide-scrollbars"]
        command += [f"--user-data-dir={profile}", f"--window-size={WIDTH},{height}", f"--screenshot={path.resolve()}"]
        subprocess.run([*command, page.resolve().as_uri()], check=True, capture_output=True, timeout=120)
    with Image.open(path) as image:
        # fewer shades at the edges of letters: nobody sees it, and the file is a good deal smaller
        coarse = [round(round(value / 255 * SHADES) / SHADES * 255) for value in range(256)]
        image.convert("RGB").point(coarse * 3).save(path, optimize=True)


# picture -> what writes its page (the run's folder, where to write; returns the page) and how much of it is shown
PICTURES: dict[str, tuple[Callable[[str, Path], Path], int]] = {
    "report": (report_page, 2544),
    "model_card": (card_page, 3700),
    "search": (search_page, 1890),
}
OF_EVERY_RUN = ("report", "model_card")


if __name__ == "__main__":
    sys.exit(main())
