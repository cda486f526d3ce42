"""Where an error of a subject was raised: the line of the subject's own file."""

from __future__ import annotations

import sysconfig
from pathlib import Path
from traceback import walk_tb

_INSTALLED = tuple({sysconfig.get_path(name) for name in ("stdlib", "platstdlib", "purelib", "platlib")})


def line_of(error: BaseException) -> str:
    """Return file and line of the innermost frame that is in no library, as `mine.py:42`; empty if there is none.

    Parameters
    ----------
    error : BaseException
        As it was caught, with its traceback. The path is relative to the working directory where it lies in it.
    """
    found = ""
    for frame, line in walk_tb(error.__traceback__):
        path = frame.f_code.co_filename
        ours = str(frame.f_globals.get("__name__", "")).partition(".")[0] == "spanver"
        if not (ours or path.startswith(("<", *_INSTALLED))):
            found = f"{_shown(Path(path))}:{line}"
    return found


def _shown(path: Path) -> Path:
    return path.relative_to(Path.cwd()) if path.is_relative_to(Path.cwd()) else path
