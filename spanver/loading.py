"""Subjects by name: those that come with the package, and any other as `module:attribute`."""

from __future__ import annotations

import importlib
import os
import sys
from functools import partial
from typing import Any

from spanver.errors import ArgumentError
from spanver.kernels.backends import BACKENDS
from spanver.subjects.contract import Subject, subject_from
from spanver.subjects.libraries.catalogue import LIBRARIES
from spanver.subjects.libraries.library import subject_of

REFERENCES = ("reference", *(f"reference-{name}" for name in BACKENDS))
NAMED = (*REFERENCES, *LIBRARIES)
"""Names of the subjects that come with the package; mutants of the zoo are `zoo:NAME`."""


def load_subject(name: str) -> Subject:
    """Return the subject of a name.

    Parameters
    ----------
    name : str
        One of `NAMED`, `zoo:MUTANT`, or `module:attribute`; the module may lie in the working directory.

    Raises
    ------
    ArgumentError
        If there is no such subject, or its module cannot be imported.
    MissingExtraError
        If a library that it needs is missing.
    """
    module, colon, attribute = name.partition(":")
    found: Subject
    if name in REFERENCES:
        reference = importlib.import_module("spanver.subjects.reference")
        library = name.partition("-")[2]
        found = reference.on(library) if library else reference.subject
    elif name in LIBRARIES:
        found = subject_of(LIBRARIES[name])
    elif not colon or not module or not attribute:
        raise ArgumentError("subject", name, f"module:attribute, zoo:NAME, or one of {', '.join(NAMED)}")
    elif module == "zoo":
        found = importlib.import_module("spanver.zoo.catalogue").mutant(attribute)
    else:
        found = subject_from(_imported(name, module, attribute), name)
    return found


def is_ours(name: str) -> bool:
    """Whether a subject is code of this package, so that nothing has to be kept from it."""
    return name in REFERENCES or name.startswith("zoo:")


def open_subject(
    name: str, command: str | None, *, in_process: bool = False, time_limit: float | None = None
) -> Subject:
    """Return what is to be verified, in a process of its own unless it is ours.

    Parameters
    ----------
    name : str
        Of a Python subject, as of `load_subject`. The reference and the zoo are ours, and run in this process.
    command : str or None
        In place of a name: the program that this command starts.
    in_process : bool
        Whether a Python subject runs in this process, where it could do anything to the harness.
    time_limit : float, optional
        Of a call in a process of its own, as of `spanver.subjects.process.process_subject`.

    Raises
    ------
    ArgumentError, MissingExtraError
        As `load_subject`, in this process.
    HandshakeError
        If a process of its own does not start, cannot load it, or ends meanwhile.
    """
    if (in_process or is_ours(name)) and not command:
        return load_subject(name)
    from spanver.subjects.process import process_subject, python_subject  # noqa: PLC0415 (imported if needed)

    start = partial(process_subject, command) if command else partial(python_subject, name)
    return start(time_limit=time_limit)


def _imported(name: str, module: str, attribute: str) -> Any:
    if os.getcwd() not in sys.path:
        sys.path.insert(0, os.getcwd())
    try:
        value: Any = importlib.import_module(module)
    except (Exception, SystemExit) as error:  # whatever the user's module raises
        raise ArgumentError("subject", name, f"importable ({type(error).__name__}: {error})") from error
    for part in attribute.split("."):
        if not hasattr(value, part):
            raise ArgumentError("subject", name, f"an attribute of its module, which has no {part}")
        value = getattr(value, part)
    return value
