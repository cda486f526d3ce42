"""What learners ask about a pair of responses, and the target of a fit that comes of it."""

from __future__ import annotations

from spanver.oracle import ANSWERS, Feedback, Oracle
from spanver.validation import require_one_of
from spanver.values import Prompt, Response


def require_feedback(feedback: Feedback) -> None:
    """Refuse what is no feedback.

    Raises
    ------
    ArgumentError
    """
    require_one_of("feedback", feedback, ANSWERS)


def target_of(oracle: Oracle, prompt: Prompt, one: Response, two: Response, feedback: Feedback) -> float:
    """Ask about a pair, and return the target of a fit.

    Returns
    -------
    float
        The reward of the first response less that of the second; of a label 1 if the first is preferred, else -1.
    """
    if feedback == "reward":
        return oracle.reward(prompt, one) - oracle.reward(prompt, two)
    return 1.0 if oracle.compare(prompt, one, two) else -1.0
