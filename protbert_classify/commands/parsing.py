"""An argument parser that complains in one line, as every command here does."""

import argparse
from typing import NoReturn

from ..errors import OptionError


def positive(text: str) -> int:
    """The type of an option that counts something."""
    if not text.isdecimal() or int(text) == 0:
        raise argparse.ArgumentTypeError(f"found {text!r}, expected 1 or more")
    return int(text)


class OneLineParser(argparse.ArgumentParser):
    """Raises [`OptionError`] instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message}; --help tells more")
