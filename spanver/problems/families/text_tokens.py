"""Real text word by word, as a token problem whose every sequence can be listed (A4).

It is the text problem, cut to a size at which everything is exact. Prompts are its openings of a sentence. A token is a
next word: token `k` of a prefix is the `k`-th most likely word there, and the base policy is the exact law of the
trigram model, renormalised over the `words` most likely words of the prefix. The end of the sentence may be one of
them; after it nothing but the end follows. Features of a token are those that the text problem gives to the text that
the token leads to: its sentence embedding, projected. The reward is the text problem's, of the finished text.

So soft values, coverage, gaps and the identities I6, I7, MT1 and MT2 are computed, not estimated. Realizability does
not hold: the values of beginnings of sentences are not linear in their embeddings. By how much they are not is measured
by `spanver.exact.realizability`.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Literal

import numpy as np

from spanver.problems.families.text import TextProblem, text_problem
from spanver.problems.family import Family, family
from spanver.problems.tokens import TokenProblem
from spanver.validation import require, require_count, require_positive
from spanver.values import FloatArray

MOST_SEQUENCES = 200_000
"""Most sequences that are listed, over all prompts."""

NAME = "text_tokens"
"""Name of such a problem."""

# Without a bound the fit of a layer follows directions in which hardly any two texts differ.
_RADIUS = 1.0
_END = "</s>"
_EMBEDDED_AT_ONCE = 4096  # 16 MB of embeddings

_built = lru_cache(maxsize=8)(text_problem)  # it takes seconds, and printing a sequence needs it again


@family(NAME)
def text_token_problem(
    seed: int = 0,
    *,
    horizon: int = 3,
    words: int = 8,
    prompts: int = 8,
    dimension: int = 16,
    beta: float = 0.2,
    reward: Literal["projected", "raw"] = "raw",
) -> TokenProblem:
    """Build the text problem word by word.

    Parameters
    ----------
    seed : int
        Of the sample that the projection of the features is fitted on, as in `text_problem`.
    horizon : int
        `H`, most words of a response.
    words : int
        `A`, the most likely words that the law is renormalised over, at least 2. At most 200,000 sequences are listed,
        `prompts * words**horizon`. (Eight words carry about half of the probability: 0.47, 0.47 and 0.51 of it on
        average at the first, second and third word of the defaults.)
    prompts : int
        Number of openings.
    dimension : int
        `d` of each layer.
    beta : float
    reward : {"raw", "projected"}
        The sentiment of the finished text, or its linear fit; then the last layer, and it alone, is realizable.

    Returns
    -------
    TokenProblem
        Without `theta_star`; `radius` is 1, or that of the text problem if it is larger.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    MissingExtraError
        If the extra `text` is not installed.
    """
    require_count("horizon", horizon)
    require_count("words", words, least=2)
    require_count("prompts", prompts)
    require_count("dimension", dimension)
    require_count("seed", seed, least=0)
    require_positive("beta", beta)
    require(reward in ("projected", "raw"), "reward", reward, "'projected' or 'raw'")
    sequences = prompts * words ** min(horizon, 64)
    require(sequences <= MOST_SEQUENCES, "prompts * words**horizon", sequences, f"at most {MOST_SEQUENCES}")
    text = _built(seed, dimension=dimension, beta=beta, reward=reward, prompts=prompts, words=horizon)
    responses = [[""] for _ in text.prompts]
    log_base, features = [], []
    for _ in range(horizon):
        laws = [
            [_next_words(text, prompt, response, words) for response in begun]
            for prompt, begun in zip(text.prompts, responses, strict=True)
        ]
        log_base.append(np.array([law for of_prompt in laws for _, law in of_prompt]))
        responses = [
            [
                _continued(response, word)
                for response, (likely, _) in zip(begun, of_prompt, strict=True)
                for word in likely
            ]
            for begun, of_prompt in zip(responses, laws, strict=True)
        ]
        features.append(np.concatenate([_features(text, *told) for told in zip(text.prompts, responses, strict=True)]))
    rewards = [
        text.mean_rewards(prompt, [_written(response) for response in ended], features=of_prompt)
        for prompt, ended, of_prompt in zip(text.prompts, responses, np.split(features[-1], prompts), strict=True)
    ]
    return TokenProblem(
        prompt_law=text.prompt_law,
        log_base=log_base,
        features=[of_layer.reshape(-1, words, dimension) for of_layer in features],
        reward=np.array(rewards),
        beta=text.beta,
        radius=max(_RADIUS, text.radius),
    )


FAMILY = Family("text", text_token_problem)


def next_words(problem: TokenProblem, prompt: int, tokens: Sequence[int] = ()) -> tuple[str, ...]:
    """The words that the tokens of a prefix stand for, in the order of their ids; `</s>` is the end of the sentence.

    Parameters
    ----------
    problem : TokenProblem
        That `text_token_problem` built.
    prompt : int
    tokens : sequence of int
        So far, fewer than `H`.
    """
    text = _text_of(problem)
    written, response = _read(problem, text, prompt, tokens)
    require(len(tokens) < problem.horizon, "tokens", tokens, f"fewer than {problem.horizon}")
    return _next_words(text, written, response, problem.vocabulary_size)[0]


def sentence(problem: TokenProblem, prompt: int, tokens: Sequence[int] = ()) -> str:
    """The text of a prefix or of a complete sequence, prompt included.

    Parameters
    ----------
    problem : TokenProblem
        That `text_token_problem` built.
    prompt : int
    tokens : sequence of int
        At most `H`.

    Raises
    ------
    ArgumentError
        If the problem is another one, or prompt and tokens are not of it.
    """
    written, response = _read(problem, _text_of(problem), prompt, tokens)
    return f"{written} {_written(response)}".strip()


def _text_of(problem: TokenProblem) -> TextProblem:
    require(problem.name == NAME, "problem", problem.name, "one that text_token_problem built")
    names = ("dimension", "beta", "reward", "prompts")
    parameters = {name: problem.parameters[name] for name in names}
    return _built(problem.parameters["seed"], **parameters, words=problem.parameters["horizon"])


def _read(problem: TokenProblem, text: TextProblem, prompt: int, tokens: Sequence[int]) -> tuple[str, str]:
    """Prompt and response of a prefix."""
    is_known = type(prompt) is int and 0 <= prompt < problem.prompts
    require(is_known, "prompt", prompt, f"an integer from 0 to {problem.prompts - 1}")
    require(len(tokens) <= problem.horizon, "tokens", tokens, f"at most {problem.horizon}")
    written, response = text.prompts[prompt], ""
    for token in tokens:
        is_token = type(token) is int and 0 <= token < problem.vocabulary_size
        require(is_token, "a token", token, f"an integer from 0 to {problem.vocabulary_size - 1}")
        response = _continued(response, _next_words(text, written, response, problem.vocabulary_size)[0][token])
    return written, response


def _next_words(text: TextProblem, prompt: str, response: str, count: int) -> tuple[tuple[str, ...], FloatArray]:
    """The tokens of a prefix and their log probabilities; of a text that ended, the end and nothing else."""
    if response.endswith(_END):
        return (_END,) * count, np.where(np.arange(count) == 0, 0.0, -np.inf)
    likely, log_law = text.next_words(f"{prompt} {response}", count)
    return likely, log_law - np.logaddexp.reduce(log_law)


def _continued(response: str, word: str) -> str:
    return response if response.endswith(_END) else f"{response} {word}".strip()


def _written(response: str) -> str:
    return response.removesuffix(_END).strip()


def _features(text: TextProblem, prompt: str, responses: list[str]) -> FloatArray:
    """Features of responses of one prompt, shape (n, d); equal texts are embedded once."""
    written = [_written(response) for response in responses]
    different = {response: position for position, response in enumerate(dict.fromkeys(written))}
    listed = list(different)
    parts = [
        text.features(prompt, listed[first : first + _EMBEDDED_AT_ONCE])
        for first in range(0, len(listed), _EMBEDDED_AT_ONCE)
    ]
    return np.concatenate(parts)[[different[response] for response in written]]
