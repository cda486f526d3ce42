"""Mutants of the oracles' answers, in their distributions and their noise: what O2 must kill."""

from __future__ import annotations

from dataclasses import replace
from typing import Any, cast

import numpy as np

from spanver.kernels import log_softmax, precision_norms
from spanver.randomness import invert
from spanver.values import Counts, Responses, SearchResult, UncertainPairRule, identity_of
from spanver.zoo.mutant import Mutant
from spanver.zoo.oracle import COUNTED, LITERAL, Altered, after


def _one_try_less(_: Altered, found: SearchResult, *__: Any) -> SearchResult:
    return replace(found, tries=max(1, found.tries - (found.responses is not None)))


def _one_try(_: Altered, found: SearchResult, prompt: Any, rule: Any, limit: int) -> SearchResult:
    return replace(found, tries=1 if found.responses is not None else limit)


def _longest(self: Altered, found: SearchResult, prompt: Any, rule: Any, limit: int) -> SearchResult:
    """The pair, or response, that the rule likes best, in place of one at random."""
    if found.responses is None:
        return found
    features = self.problem.features[int(prompt)]
    held = np.flatnonzero(self.problem.log_base[int(prompt)] > -np.inf)
    if isinstance(rule, UncertainPairRule):
        relative = features[held][:, None, :] - features[held][None, :, :]
        lengths = ((relative @ rule.precision) * relative).sum(axis=2)
        chosen = [held[k] for k in np.unravel_index(int(lengths.argmax()), lengths.shape)]
    else:
        chosen = [held[int(np.argmax(rule.score.of(features[held])))]]
    return SearchResult(self.responses(prompt, chosen), found.tries)


def _same_randomness(self: Altered, found: SearchResult, prompt: Any, rule: Any, limit: int) -> Any:
    """Every search at a prompt starts from the same random numbers."""
    return self.memory.setdefault((prompt, type(rule)), found)


def _expected(self: Altered, _: Counts, prompt: Any, count: int) -> Counts:
    law = self.base(prompt)
    order = np.argsort(-law, kind="stable")
    counts = np.floor(count * law).astype(np.int64)
    counts[order[: count - int(counts.sum())]] += 1
    drawn = np.flatnonzero(counts)
    return Counts(self.responses(prompt, drawn.tolist()), counts[drawn])


def _in_turn(self: Altered, drawn: Responses, prompt: Any, count: int) -> Responses:
    held = np.flatnonzero(self.problem.log_base[int(prompt)] > -np.inf)
    self.memory["turn"] = self.memory.get("turn", -1) + 1
    return self.responses(prompt, [held[(self.memory["turn"] + k) % len(held)] for k in range(len(drawn))])


def _repeated(_: Altered, drawn: Responses, prompt: Any, count: int) -> Responses:
    return Responses(drawn.ids[:1] * count, np.repeat(drawn.features[:1], count, axis=0))


def _sorted(_: Altered, drawn: Responses, *__: Any) -> Responses:
    order = np.argsort(np.array(drawn.ids), kind="stable")
    return Responses(tuple(drawn.ids[k] for k in order), drawn.features[order])


def _prompts_in_turn(self: Altered) -> Any:
    held = np.flatnonzero(self.problem.prompt_law)
    self.memory["prompt"] = self.memory.get("prompt", -1) + 1
    return _issued(self, held[self.memory["prompt"] % len(held)])


def _issued(self: Altered, wanted: int) -> Any:
    while (prompt := self.oracle.prompt()) != wanted:
        pass
    return prompt


def _any_prompt_equally(self: Altered) -> Any:
    return _issued(self, self.generator.choice(np.flatnonzero(self.problem.prompt_law)))


def _prompts_twice(self: Altered) -> Any:
    if "again" in self.memory:
        return self.memory.pop("again")
    return self.memory.setdefault("again", self.oracle.prompt())


def _remembered_prompt(self: Altered) -> Any:
    """Remember the number that drew the prompt."""
    prompt = self.oracle.prompt()
    self.memory["number"] = self.number_of(self.problem.prompt_law, int(prompt))
    return prompt


def _by_number_of_prompt(self: Altered, drawn: Responses, prompt: Any, *_: Any) -> Responses:
    if "number" not in self.memory:
        return drawn
    first = int(invert(np.cumsum(self.base(prompt)), self.memory.pop("number")))
    return self.responses(prompt, [first, *drawn.ids[1:]])


def _counted_by_number_of_prompt(self: Altered, prompt: Any, count: int) -> Counts:
    drawn = _by_number_of_prompt(self, self.oracle.sample(prompt, count), prompt)
    ids, counts = np.unique(drawn.ids, return_counts=True)
    return Counts(self.responses(prompt, ids), counts)


def _of_equal_chance(self: Altered, drawn: Responses, prompt: Any, count: int) -> Responses:
    return self.responses(prompt, self.generator.choice(np.flatnonzero(self.base(prompt)), size=count))


def _half_reused(self: Altered, prompt: Any, rule: Any, limit: int) -> SearchResult:
    """The second response of a try is the first of the next."""
    if not isinstance(rule, UncertainPairRule):
        return cast(SearchResult, self.oracle.sample_until(prompt, rule, limit))
    one = self.oracle.sample(prompt, 1)[0]
    for tries in range(1, limit + 1):
        two = self.oracle.sample(prompt, 1)[0]
        if precision_norms(one.features - two.features, rule.precision) > rule.nu:
            return SearchResult(self.responses(prompt, [one.id, two.id]), tries)
        one = two
        self.forget(samples=-1 if tries < limit else 0)
    return SearchResult(None, limit)


def _accepted_by_response(self: Altered, prompt: Any, rule: Any, limit: int) -> SearchResult:
    """The number that drew a response decides whether it is accepted."""
    if isinstance(rule, UncertainPairRule):
        return cast(SearchResult, self.oracle.sample_until(prompt, rule, limit))
    acceptance = np.exp(
        np.minimum(0.0, rule.score.of(self.problem.features[int(prompt)]) / self.problem.beta - rule.log_threshold)
    )
    for tries in range(1, limit + 1):
        drawn = self.oracle.sample(prompt, 1)
        response = int(drawn.ids[0])
        if self.number_of(self.base(prompt), response) <= acceptance[response]:
            return SearchResult(drawn, tries)
    return SearchResult(None, limit)


def _first_rule(self: Altered, prompt: Any, rule: Any, limit: int) -> Any:
    return self.oracle.sample_until(prompt, self.memory.setdefault((prompt, type(rule)), rule), limit)


def _persistent(self: Altered, value: float, prompt: Any, response: Any) -> float:
    return float(self.memory.setdefault((prompt, identity_of(response)), value))


def _half_noise(self: Altered, value: float, prompt: Any, response: Any) -> float:
    return (value + float(self.problem.reward[int(prompt), int(identity_of(response))])) / 2


def _highest(self: Altered, prompt: Any, response: Any) -> float:
    values = [self.oracle.reward(prompt, response) for _ in range(2)]
    self.forget(rewards=1)
    return float(max(values))


def _any_noise(self: Altered, value: float, prompt: Any, response: Any) -> float:
    """One end of the interval or the other, by a fair coin."""
    if self.problem.noise == 0.0:
        return value
    return _end(self, prompt, upper=self.generator.random() < 0.5)


def _end(self: Altered, prompt: Any, *, upper: bool) -> float:
    return float(self.problem.reward_low[int(prompt)] + self.problem.reward_range * upper)


def _prompt_of_a_round(self: Altered) -> Any:
    self.memory.pop("noise", None)
    return self.oracle.prompt()


def _same_noise(self: Altered, value: float, prompt: Any, response: Any) -> float:
    """One number decides the noise of all rewards between two prompts."""
    number = self.memory.setdefault("noise", self.generator.random())
    if self.problem.noise == 0.0:
        return value
    mean = float(self.problem.reward[int(prompt), int(identity_of(response))])
    share = (mean - float(self.problem.reward_low[int(prompt)])) / self.problem.reward_range
    return _end(self, prompt, upper=number < share)


def _sure_label(self: Altered, _: bool, prompt: Any, first: Any, second: Any) -> bool:
    one, two = (self.problem.reward[int(prompt), int(identity_of(each))] for each in (first, second))
    return bool(one > two)


def _noisy_label(self: Altered, _: bool, prompt: Any, first: Any, second: Any) -> bool:
    one, two = (self.oracle.reward(prompt, each) for each in (first, second))
    self.forget(rewards=2)
    return bool(one > two)


def _half_strength(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Any:
    return self.oracle.sample(prompt, count, theta=None if theta is None else theta / 2)


def _beta_squared(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Any:
    drawn = self.oracle.sample(prompt, count, theta=theta)
    if theta is None:
        return drawn
    scores = self.problem.features[int(prompt)] @ theta
    law = np.exp(log_softmax(self.problem.log_base[int(prompt)], scores, self.problem.beta**2))
    return self.responses(prompt, self.generator.choice(len(law), size=count, p=law / law.sum()))


def _worst_first(self: Altered, prompt: Any, count: int, *, theta: Any = None) -> Any:
    return self.oracle.sample(prompt, count, theta=None if theta is None else -theta)


# fmt: off
MUTANTS: tuple[Mutant, ...] = (
    LITERAL("base-only", "draws strong samples from the base policy", "O2",
        sample=lambda self, prompt, count, **_: self.oracle.sample(prompt, count)),
    COUNTED("worst-first", "prefers low scores in strong samples", "O2", sample=_worst_first),
    LITERAL("half-strength", "draws strong samples at half the strength", "O2", sample=_half_strength),
    COUNTED("beta-squared", "divides scores of strong samples by the square of beta", "O2", sample=_beta_squared),
    COUNTED("one-try-less", "counts tries before the one that was accepted", "O2",
        sample_until=after("sample_until", _one_try_less)),
    COUNTED("one-try", "reports one try for a search that finds something", "O2",
        sample_until=after("sample_until", _one_try)),
    COUNTED("longest", "returns from a search what its rule likes best", "O2",
        sample_until=after("sample_until", _longest)),
    COUNTED("expected-counts", "returns the expectation of counts, rounded", "O2",
        sample_counts=after("sample_counts", _expected)),
    LITERAL("rounded-counts", "returns the expectation of counts, rounded, where it would draw", "O2",
        sample_counts=after("sample_counts", _expected)),
    LITERAL("half-reused", "takes the second response of a pair that is not accepted for the first of the next", "O2",
        sample_until=_half_reused),
    LITERAL("acceptance-by-response", "accepts by the random number that drew the response", "O2",
        sample_until=_accepted_by_response),
    LITERAL("stale-rule", "searches at a prompt by the first rule for ever", "O2", sample_until=_first_rule),
    COUNTED("same-randomness", "repeats the random numbers of the first search at a prompt in every one", "O2",
        sample_until=after("sample_until", _same_randomness)),
    LITERAL("repeated", "repeats one response throughout a batch", "O2", sample=after("sample", _repeated)),
    LITERAL("in-turn", "returns responses in turn", "O2", sample=after("sample", _in_turn)),
    COUNTED("uniform", "draws responses uniformly", "O2", sample=after("sample", _of_equal_chance)),
    LITERAL("one-uniform", "draws the first response with the random number that drew the prompt", "O2",
        prompt=_remembered_prompt, sample=after("sample", _by_number_of_prompt)),
    COUNTED("one-uniform-counted", "counts a first draw with the random number that drew the prompt", "O2",
        prompt=_remembered_prompt, sample_counts=_counted_by_number_of_prompt),
    LITERAL("uniform-prompts", "issues all prompts equally often", "O2", prompt=_any_prompt_equally),
    LITERAL("prompts-twice", "issues every prompt twice", "O2", prompt=_prompts_twice),
    COUNTED("prompts-in-turn", "issues prompts in turn, whatever their distribution", "O2", prompt=_prompts_in_turn),
    COUNTED("persistent-noise", "draws the noise of a response once", "O2", reward=after("reward", _persistent)),
    LITERAL("half-noise", "halves the range of the noise", "O2", reward=after("reward", _half_noise)),
    COUNTED("highest-reward", "answers the higher of two noisy rewards", "O2", reward=_highest),
    LITERAL("any-noise", "answers one end of the reward's interval or the other by a fair coin", "O2",
        reward=after("reward", _any_noise)),
    LITERAL("same-noise", "draws the noise of all rewards between two prompts once", "O2",
        prompt=_prompt_of_a_round, reward=after("reward", _same_noise)),
    COUNTED("noisy-label", "labels the response of larger noisy reward", "O2",
        compare=after("compare", _noisy_label)),
    LITERAL("other-label", "labels the response that is worse", "O2",
        compare=lambda self, prompt, first, second: self.oracle.compare(prompt, second, first)),
    LITERAL("sure-label", "labels the better response without noise", "O2", compare=after("compare", _sure_label)),
    LITERAL("sorted-batch", "sorts a batch", "O2", sample=after("sample", _sorted)),
)
"""Of `literal_oracle` and `counted_oracle`."""
