"""What a set of prompts is good for: telling models apart by votes, or variety."""

from __future__ import annotations

import unicodedata
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final, Protocol

import numpy as np

from whodrew.errors import InputError
from whodrew.measure.intervals import NORMAL, Doubles
from whodrew.ranking import Votes, rank

#: Precision of a score without votes: a standard deviation of 100 log odds.
_PRIOR: Final = 1e-4
#: Standard deviation of the slopes of prompts about 1, before their votes are seen.
_SLOPES: Final = 0.5


class Power(Protocol):
    """What a set of prompts is good for, between 0 and 1."""

    @property
    def kind(self) -> str:
        """``votes`` or ``diversity``."""
        ...

    @property
    def what(self) -> str:
        """What is measured, in words."""
        ...

    def value(self, chosen: Sequence[int]) -> float:
        """Returns the power of a set of prompt codes."""
        ...

    def additions(self, chosen: Sequence[int]) -> Doubles:
        """Returns (P,) the power of the set with each prompt added to it."""
        ...


@dataclass(frozen=True)
class VotePower:
    """Expected share of neighbours that the votes of some prompts tell apart at 95 %.

    The neighbours are those of the ranking by all votes. Their difference has the variance
    cᵀ I⁻¹ c, I the sum of the Fisher information of the chosen prompts' votes; they are told
    apart with probability Φ(|Δ| / √variance − 1.96). whodrew's own.

    Attributes:
        information: (P, M, M) of the scores, by prompt.
        scores: (M,) log odds by all votes, the best first.
        slopes: (P,) how much the votes of a prompt agree with the ranking: 1 as the average
            vote does, 0 not at all.
        votes: (P,) votes of each prompt.
    """

    information: Doubles
    scores: Doubles
    slopes: Doubles
    votes: Doubles
    kind: str = "votes"
    what: str = "expected share of neighbours that the votes of these prompts tell apart at 95 %"

    def value(self, chosen: Sequence[int]) -> float:
        """Returns the power of a set of prompt codes."""
        total = self.information[list(chosen)].sum(axis=0)
        return float(self._told(total[None])[0])

    def additions(self, chosen: Sequence[int]) -> Doubles:
        """Returns (P,) the power of the set with each prompt added to it."""
        return self._told(self.information[list(chosen)].sum(axis=0) + self.information)

    def _told(self, information: Doubles) -> Doubles:
        from scipy.special import ndtr

        M = len(self.scores)
        contrasts = np.eye(M)[:-1] - np.eye(M)[1:]
        solved = np.linalg.solve(information + _PRIOR * np.eye(M), contrasts.T)
        variance = np.einsum("km,pmk->pk", contrasts, solved)
        gaps = np.abs(np.diff(self.scores))
        return np.asarray(ndtr(gaps / np.sqrt(variance) - NORMAL).mean(axis=1))


@dataclass(frozen=True)
class DiversityPower:
    """How well a set stands for all prompts: mean over prompts of the likeness to the nearest.

    Attributes:
        likeness: (P, P) between 0 and 1, 1 on the diagonal.
        what: what the prompts are compared by.
    """

    likeness: Doubles
    what: str
    kind: str = "diversity"

    def value(self, chosen: Sequence[int]) -> float:
        """Returns the power of a set of prompt codes."""
        return float(self._best(chosen).mean())

    def additions(self, chosen: Sequence[int]) -> Doubles:
        """Returns (P,) the power of the set with each prompt added to it."""
        return np.asarray(np.maximum(self._best(chosen)[None, :], self.likeness).mean(axis=1))

    def _best(self, chosen: Sequence[int]) -> Doubles:
        if not len(chosen):
            return np.zeros(len(self.likeness))
        return np.asarray(self.likeness[list(chosen)].max(axis=0))


def by_texts(texts: Sequence[str]) -> DiversityPower:
    """Compares prompts by the n-grams of 3 to 5 letters of their texts (TF-IDF, cosine)."""
    from sklearn.feature_extraction.text import TfidfVectorizer

    plain = [_plain(text) for text in texts]
    grams = TfidfVectorizer(analyzer="char_wb", ngram_range=(3, 5), sublinear_tf=True, min_df=1)
    try:
        found = grams.fit_transform(plain)
        likeness = np.asarray((found @ found.T).todense(), dtype=np.float64)
    except ValueError:  # not a letter in any of them
        likeness = np.zeros((len(plain), len(plain)))
    np.fill_diagonal(likeness, 1.0)
    what = "likeness of every prompt to the nearest chosen one, by n-grams of their texts"
    return DiversityPower(np.clip(likeness, 0, 1), what)


def by_images(centroids: Doubles) -> DiversityPower:
    """Compares prompts by the mean embedding of their images, columns standardised (cosine).

    Args:
        centroids: (P, D) mean embeddings.
    """
    spread = centroids.std(axis=0)
    columns = (centroids - centroids.mean(axis=0)) / np.where(spread > 0, spread, 1.0)
    length = np.linalg.norm(columns, axis=1, keepdims=True)
    unit = columns / np.where(length > 0, length, 1.0)
    likeness = np.clip((1 + unit @ unit.T) / 2, 0, 1)
    np.fill_diagonal(likeness, 1.0)
    what = "likeness of every prompt to the nearest chosen one, by the mean of its images"
    return DiversityPower(likeness, what)


def by_votes(
    votes: Votes, prompt_ids: Sequence[str], texts: Mapping[str, str]
) -> tuple[VotePower, int]:
    """Returns what the votes of each prompt tell, and how many votes are of other prompts.

    The slope of a prompt is fitted to its votes beside the scores of all (one Newton's method
    for all prompts), drawn to 1 by a normal prior of deviation 0.5: a prompt on which voters
    disagree with the ranking tells less of it. Source: the two-parameter logistic model.

    Args:
        votes: with prompts, by id or by text.
        prompt_ids: (P,) of the arena.
        texts: prompt id to text.

    Raises:
        InputError: the votes name no prompts, or none of the arena's.
    """
    if votes.prompt is None:
        raise InputError(
            f"{votes.source} names no prompts: it needs a column prompt_id or prompt, or "
            "--columns that name one"
        )
    place = {name: code for code, name in enumerate(prompt_ids)}
    by_text = {
        unicodedata.normalize("NFC", texts[name]): place[name] for name in place & texts.keys()
    }
    known = [place.get(name, by_text.get(_plain(name), -1)) for name in votes.prompts]
    prompt = np.array([*known, -1], dtype=np.int64)[votes.prompt]
    ranking = rank(votes, bootstraps=0, resample="battles")
    scores = ranking.scores()
    column = np.array([list(scores).index(name) if name in scores else -1 for name in votes.models])
    first, second = column[votes.first], column[votes.second]
    used = (prompt >= 0) & (first >= 0) & (second >= 0)
    if not used.any():
        raise InputError(
            f"no vote of {votes.source} is of a prompt of the arena: their prompt_id or prompt "
            "must be the arena's"
        )
    amounts = votes.each()[used]
    values = np.array(list(scores.values()))
    P, M = len(prompt_ids), len(values)
    where, first, second = prompt[used], first[used], second[used]
    d = values[first] - values[second]
    total, won = amounts.sum(axis=1), amounts[:, 0] + amounts[:, 2] / 2
    slopes = np.ones(P)
    for _ in range(20):
        p = 1 / (1 + np.exp(-slopes[where] * d))
        up = np.bincount(where, weights=(won - total * p) * d, minlength=P)
        curve = np.bincount(where, weights=total * p * (1 - p) * d**2, minlength=P)
        step = (up - (slopes - 1) / _SLOPES**2) / (curve + 1 / _SLOPES**2)
        slopes = slopes + np.clip(step, -1, 1)
    slopes = np.maximum(slopes, 0)
    p = 1 / (1 + np.exp(-slopes[where] * d))
    weight = slopes[where] ** 2 * total * p * (1 - p)
    code = (where * M + first) * M + second
    square = np.bincount(code, weights=weight, minlength=P * M * M).astype(np.float64)
    square = square.reshape(P, M, M)
    square = square + square.transpose(0, 2, 1)
    information = -square
    at = np.arange(M)
    information[:, at, at] = square.sum(axis=2)
    counts = np.bincount(where, weights=total, minlength=P).astype(np.float64)
    power = VotePower(information, values, slopes, counts)
    return power, int((~used).sum())


def _plain(text: str) -> str:
    return unicodedata.normalize("NFC", text).strip()
