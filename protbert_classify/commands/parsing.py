"""An argument parser that complains in one line, as every command here does."""

import argparse
from typing import NoReturn

from ..errors import OptionError


class OneLineParser(argparse.ArgumentParser):
    """Raises [`OptionError`] instead of printing its usage and leaving."""

    def error(self, message: str) -> NoReturn:
        raise OptionError(f"{message}; --help tells more")
