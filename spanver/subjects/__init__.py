"""What can be verified: the reference, Python objects, programs behind a pipe, other people's libraries, and the zoo.

Every one of them is a `Subject`: a name, and some of the functions of `spanver.subjects.contract`.
"""

from spanver.errors import ContractError
from spanver.subjects.contract import Subject, subject_from
from spanver.subjects.loading import NAMED, load_subject, open_subject

__all__ = ["NAMED", "ContractError", "Subject", "load_subject", "open_subject", "subject_from"]
