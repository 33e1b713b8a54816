"""What a screen catches: simulated attackers, the one who knows the screen among them.

Each attacker is a voter of its own with a given number of votes, in battles as the log's,
under the honest ranking of the log (few attackers, who do not bend it). Its p-value is that
of ``screen_votes``. Gains are to first order: H⁻¹ times the mean derivative of its votes.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from whodrew.ranking.behaviour import ABSTAIN, AS_HONEST, Belief, cast, draw, honest
from whodrew.ranking.columns import Doubles
from whodrew.ranking.confusion import of_accuracy
from whodrew.ranking.result import Bounded
from whodrew.ranking.screen_model import Honest, Log, totals_of, vote_chances
from whodrew.ranking.screen_result import share_of
from whodrew.ranking.screen_tastes import draw_votes, tastes_of
from whodrew.ranking.screen_votes import null_of, ratios
from whodrew.ranking.voters import Aim
from whodrew.ranking.voters_rigging import TargetOnly

COUNTS: Final = (20, 50, 200)
#: False-exclusion rates of the curve.
LEVELS: Final = (0.001, 0.003, 0.01, 0.03, 0.1)
#: Share of votes for the target in its battles, by the careful attacker.
CAREFUL: Final = 0.5
#: Those who know the screen are caught at most as often as this.
RISK: Final = 0.05
_SHARES: Final = (*(one / 50 for one in range(1, 10)), *(one / 20 for one in range(4, 21)))
_TARGETS: Final = 6
_ROUNDS: Final = 20


@dataclass(frozen=True)
class Caught:
    """What becomes of one kind of attacker.

    Attributes:
        attacker: ``naive``, ``careful``, ``knowing``, ``hidden`` (knowing, and in battles as
            everybody's).
        votes: it casts.
        battles: ``target`` where it votes only on the target's, ``all`` where honestly
            elsewhere.
        share: of the target's battles in which it votes for the target whatever it sees.
        curve: false-exclusion rate to the share caught.
        gain: log odds that the target gains per vote, times the votes of the log.
        factor: votes that it needs for what one vote of the naive attacker gains.
    """

    attacker: str
    votes: int
    battles: str
    share: float
    curve: dict[float, Bounded]
    gain: float
    factor: float | None

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        values: dict[str, Any] = {
            "attacker": self.attacker,
            "votes": self.votes,
            "battles": self.battles,
            "share": self.share,
            "caught": [
                {"false_exclusion": level, **(one.to_dict() or {})}
                for level, one in self.curve.items()
            ],
            "gain": self.gain,
            "votes_factor": self.factor,
        }
        if self.factor is None:
            values["votes_factor_reason"] = "no share of favouring votes stays below the threshold"
        return values


@dataclass(frozen=True)
class Power:
    """What a screen catches at a false-exclusion rate.

    Attributes:
        level: the rate.
        accuracy: of the attackers' identification.
        attackers: simulated for each figure.
        risk: how often those who know the screen are caught at most.
        caught: by attacker and votes.
    """

    level: float
    accuracy: float
    attackers: int
    risk: float
    caught: tuple[Caught, ...]

    def to_dict(self) -> dict[str, Any]:
        """Returns JSON-ready values."""
        return {
            "false_exclusion": self.level,
            "accuracy": self.accuracy,
            "simulated_attackers": self.attackers,
            "risk": self.risk,
            "attackers": [one.to_dict() for one in self.caught],
        }


def power_in(
    log: Log,
    fitted: Honest,
    level: float,
    seed: int,
    *,
    counts: Sequence[int] = COUNTS,
    accuracy: float = 1.0,
    attackers: int = 300,
    taste: float = 0.0,
) -> Power:
    """Returns the share of attackers caught in a log's battles, by kind and number of votes.

    Args:
        log: whose battles they see.
        fitted: the honest ranking.
        level: false-exclusion rate.
        seed: seeds the draws.
        counts: votes of an attacker.
        accuracy: with which an attacker names the model of an image, errors uniform.
        attackers: simulated for each figure.
        taste: standard deviation of honest voters' tastes, log odds.
    """
    battle = totals_of(log, log.outcome).sum(axis=-1)
    np.fill_diagonal(battle, 0.0)
    battle /= battle.sum()
    scene = Scene(fitted, battle, accuracy, _targets(fitted, battle), attackers, seed, taste)
    found = []
    for votes in counts:
        naive = scene.gain("target", 1.0)
        for name, battles, share in (("naive", "target", 1.0), ("careful", "all", CAREFUL)):
            curve = scene.curve(battles, share, votes, (*LEVELS, level))
            found.append(_caught(name, votes, battles, share, curve, scene, naive))
        for name, battles in (("knowing", "target"), ("hidden", "all")):
            share = scene.knowing(battles, votes, level)
            curve = scene.curve(battles, share, votes, (*LEVELS, level))
            found.append(_caught(name, votes, battles, share, curve, scene, naive))
    return Power(level, accuracy, attackers, RISK, tuple(found))


def _caught(
    name: str,
    votes: int,
    battles: str,
    share: float,
    curve: dict[float, Bounded],
    scene: Scene,
    naive: float,
) -> Caught:
    gain = scene.gain(battles, share) if share > 0 else 0.0
    factor = naive / gain if gain > 0 else None
    return Caught(name, votes, battles, share, curve, gain, factor)


def _targets(fitted: Honest, battle: Doubles) -> tuple[int, ...]:
    """Returns models spread over the ranking, those that met others."""
    met = np.flatnonzero(battle.sum(axis=0) + battle.sum(axis=1) > 0)
    order = met[np.argsort(-fitted.scores[met], kind="stable")]
    spread = np.linspace(0, len(order) - 1, min(_TARGETS, len(order))).round().astype(int)
    return tuple(int(code) for code in order[np.unique(spread)])


@dataclass(frozen=True)
class Scene:
    """Where attackers are tried: an honest ranking, battles, targets."""

    fitted: Honest
    battle: Doubles
    accuracy: float
    targets: tuple[int, ...]
    attackers: int
    seed: int
    taste: float = 0.0

    def kernel(self, target: int, battles: str, share: float) -> Doubles:
        """Returns (M, M, 4) how an attacker votes.

        Args:
            target: whom it favours.
            battles: ``target`` or ``all``.
            share: of the battles it takes for the target's in which it votes for it.
        """
        M = len(self.battle)
        plain = honest(
            self.fitted.scores, ties="davidson", tie=self.fitted.tie, position=self.fitted.position
        )
        belief = Belief(self.battle, of_accuracy(self.accuracy, M))
        aim = Aim(target, True, plain, np.zeros(0), np.zeros((0, M, M, 3)))
        says = TargetOnly("abstain").says(belief, aim)
        acts = 1.0 - says[..., ABSTAIN]
        elsewhere = says[..., ABSTAIN].copy()
        says *= share
        says[..., AS_HONEST] += (1 - share) * acts
        says[..., ABSTAIN] = elsewhere if battles == "target" else 0.0
        if battles == "all":
            says[..., AS_HONEST] += elsewhere
        return belief.kernel(says, plain)

    def p_values(self, battles: str, share: float, votes: int) -> Doubles:
        """Returns (attackers,) p-values of attackers with this many votes."""
        rng = np.random.default_rng([self.seed, 34, votes, round(1000 * share)])
        parts = np.array_split(np.arange(self.attackers), len(self.targets))
        rows = [
            draw(self.kernel(target, battles, share), self.battle, votes * len(part), rng)
            for target, part in zip(self.targets, parts, strict=True)
            if len(part)
        ]
        first, second, outcome = (np.concatenate(column) for column in zip(*rows, strict=True))
        n = len(first)
        log = Log(
            len(self.battle),
            first.astype(np.int64),
            second.astype(np.int64),
            outcome.astype(np.int8),
            np.repeat(np.arange(self.attackers), votes),
            self.attackers,
            np.arange(n),
        )
        still = np.zeros((self.attackers, len(self.battle) + 2))

        def look(said: Any) -> Doubles:
            return ratios(log, said, vote_chances(log, said, self.fitted, still)).ratio

        own = tastes_of(log, self.taste)
        drawn = [look(draw_votes(log, self.fitted, rng, own)) for _ in range(_ROUNDS)]
        return null_of(np.array(drawn), log.sizes()).p_values(look(log.outcome))

    def curve(
        self, battles: str, share: float, votes: int, levels: Sequence[float]
    ) -> dict[float, Bounded]:
        """Returns the share caught at each false-exclusion rate, with its interval."""
        p = self.p_values(battles, share, votes)
        return {
            level: share_of(np.array([int((p <= level).sum())]), len(p))
            for level in sorted(set(levels))
        }

    def knowing(self, battles: str, votes: int, level: float) -> float:
        """Returns the share of favouring votes of an attacker who knows the screen.

        The greatest of a grid that is caught in at most RISK of attackers, by bisection; 0
        where none is.
        """
        low, high = -1, len(_SHARES) - 1
        while low < high:
            middle = (low + high + 1) // 2
            p = self.p_values(battles, _SHARES[middle], votes)
            if float((p <= level).mean()) <= RISK:
                low = middle
            else:
                high = middle - 1
        return _SHARES[low] if low >= 0 else 0.0

    def gain(self, battles: str, share: float) -> float:
        """Returns what the target gains per vote, times the information of a vote.

        To first order, the mean over targets of w H⁻¹ E[s]; H is of one vote in the log's
        battles, so that the figure is log odds for as many votes as the log has.
        """
        M = len(self.battle)
        win, loss, _ = np.moveaxis(self.fitted.chances(), -1, 0)
        lead = (win - loss) / 2
        score = np.stack([0.5 - lead, -0.5 - lead, -lead], axis=-1)
        curve = self.battle * ((win + loss) / 4 - lead**2)
        H = -curve - curve.T
        H[range(M), range(M)] += curve.sum(axis=0) + curve.sum(axis=1)
        bread = np.linalg.pinv(H, hermitian=True)
        found = []
        for target in self.targets:
            joint, _ = cast(self.kernel(target, battles, share), self.battle)
            pull = (joint * score).sum(axis=-1)
            found.append(float((bread @ (pull.sum(axis=1) - pull.sum(axis=0)))[target]))
        return float(np.mean(found))
