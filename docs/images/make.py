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

from PIL import Image

from protbert_classify.errors import InputError
from protbert_classify.reporting.report import write_report
from protbert_classify.reporting.run_folder import read_run

HERE = Path(__file__).parent
WIDTH = 1240  # CSS pixels
SHADES = 63  # of each colour
BROWSERS = ("chromium", "chromium-browser", "google-chrome")


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--run", required=True, help="output_dir of a finished training")
    parser.add_argument("--only", choices=PICTURES, help="make one picture (default: all)")
    options = parser.parse_args(arguments)
    browser = next(filter(None, map(shutil.which, BROWSERS)), None)
    if browser is None:
        print(f"no browser found; expected one of {', '.join(BROWSERS)}", file=sys.stderr)
        return 1
    with tempfile.TemporaryDirectory() as folder:
        for name in [options.only] if options.only else PICTURES:
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
    "report": (report_page, 2500),
}


if __name__ == "__main__":
    sys.exit(main())
