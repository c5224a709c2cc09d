"""Fréchet Inception distance, without matrix square roots of products.

Paper: Heusel et al., "GANs Trained by a Two Time-Scale Update Rule", NeurIPS 2017, arXiv:1706.08500, Eq. 6.
Same value as clean-fid and pytorch-fid; the trace of (S1 S2)^(1/2) is computed by symmetric routes, which are faster
and exact to rounding where sqrtm loses digits.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, NamedTuple

from pydantic import Field

from aptp_bench.core.intervals import GROUPS, Interval, influence_interval, jackknife_interval, left_out
from aptp_bench.errors import MetricError
from aptp_bench.metrics.reading import extractor, fakes_and_reals, few
from aptp_bench.plugins import Metric, PluginConfig
from aptp_bench.records import Measurement

if TYPE_CHECKING:
    from torch import Tensor

    from aptp_bench.contracts.evidence import Evidence
    from aptp_bench.core.blocks import Features

CHUNK, BLOCK = 4096, 512  # rows and columns multiplied at a time
CHEAP = 512  # features up to which a group of the jackknife takes milliseconds, a second at 2048

Route = Literal["cholesky", "eigen", "low-rank"]


class FID(Metric):
    """Fréchet distance between Inception features of generated and real images."""

    name, unit, better, backbone = "fid", "", "lower", "inception"
    title = "FID"
    needs = frozenset({"images", "reals"})
    paper = "Heusel et al. 2017, arXiv:1706.08500"
    tie = 0.013  # "The FID Lottery", arXiv:2606.20536: smaller gaps are within what another training seed does

    class Config(PluginConfig):
        """The distance has no settings; its interval has one."""

        groups: int | None = Field(
            None,
            ge=0,
            description=f"of the interval's jackknife, 0: no interval; none: {GROUPS} up to {CHEAP} features, beyond that the "
            "infinitesimal jackknife, which needs no group",
        )

    config: Config

    def __call__(self, evidence: Evidence) -> Measurement:
        """The distance; its interval says how far another set of as many images would move it (see fid_interval)."""
        fake, real = fakes_and_reals(evidence, self.backbone, "pool")
        theirs: Tensor | Moments = real
        if fake.shape[1] > CHEAP and min(len(fake), len(real)) > fake.shape[1]:
            theirs = Moments(len(real), **evidence.of_reals(self.backbone, "moments", _moments_of))
        value, route, moved = judged(fake, theirs)
        groups = self.config.groups
        if groups is None and fake.shape[1] <= CHEAP:
            groups = GROUPS
        interval = None
        if groups is None:
            interval = influence_interval(value, moved, floor=0.0)
        elif groups > 1 and len(fake) > 2:
            interval = fid_interval(value, fake, theirs, groups)
        facts = {**extractor(evidence, self.backbone), "n_real": len(real), "route": route, "jackknife_groups": groups}
        facts |= few(len(fake), len(real), fake.shape[1])
        return self.measured(value, n=len(fake), interval=interval, replicates=(value + moved).tolist(), **facts)


def _moments_of(features: Features) -> Features:
    """Of the real images, which are the same for every network of a table."""
    found = Moments.of(features["pool"])
    return {"total": found.total, "outer": found.outer}


@dataclass(frozen=True)
class Moments:
    """What a set of features leaves behind, float64: n, their sum [d] and the sum of their outer products [d, d]."""

    n: int
    total: Tensor
    outer: Tensor

    @classmethod
    def of(cls, features: Tensor) -> Moments:
        """features: [n, d].

        float32 ones are multiplied in float32 where d is above `CHEAP` and n above d, in half the time: networks round as
        much when they make them. Sums of CHUNK rows are added in float64, and a distance moves by less than 1e-6.
        """
        import torch

        n, width = features.shape
        own = features.dtype == torch.float32 and n > width > CHEAP
        kind = features.dtype if own else torch.float64
        # about a point amid them, or float32 would lose what outer products about zero have in common
        point = features.mean(dim=0) if own else torch.zeros(width, dtype=kind)
        total, outer = torch.zeros(width, dtype=torch.float64), torch.zeros(width, width, dtype=torch.float64)
        held = torch.empty(min(n, CHUNK), width, dtype=kind)
        for rows in features.split(CHUNK):
            x = torch.sub(rows, point, out=held[: len(rows)])
            total += x.sum(dim=0)
            for at in range(0, width, BLOCK):  # a triangle of blocks: down to half the operations
                outer[at : at + BLOCK, at:] += x[:, at : at + BLOCK].T @ x[:, at:]
        outer, middle = outer.triu() + outer.triu(1).T, point.double()
        outer.addr_(total, middle).addr_(middle, total).addr_(middle, middle, alpha=n)
        return cls(n, total + n * middle, outer)

    def __len__(self) -> int:
        return self.n

    def without(self, other: Moments) -> Moments:
        """The moments of the set less a part of it."""
        return Moments(self.n - other.n, self.total - other.total, self.outer - other.outer)

    @property
    def mean(self) -> Tensor:
        """[d]."""
        return self.total / self.n

    @property
    def covariance(self) -> Tensor:
        """[d, d], divided by n - 1. Raises MetricError for fewer than two vectors."""
        import torch

        return (self.outer - torch.outer(self.total, self.mean)) / (_at_least_two(self.n) - 1)


def frechet_distance(fake: Tensor, real: Tensor) -> tuple[float, Route]:
    """|m1 - m2|^2 + tr S1 + tr S2 - 2 tr (S1 S2)^(1/2), and the route its last term took. fake: [n, d], real: [m, d].

    With n <= d or m <= d a covariance has no full rank and the trace comes from the features themselves.
    """
    if min(_at_least_two(len(fake)), _at_least_two(len(real))) <= fake.shape[1]:
        return low_rank_distance(fake, real), "low-rank"
    return moments_distance(Moments.of(fake), Moments.of(real))


def moments_distance(a: Moments, b: Moments) -> tuple[float, Route]:
    """The distance from moments alone, and the route that was taken."""
    import torch

    first, second = a.covariance, b.covariance
    root, failed = torch.linalg.cholesky_ex(first)
    if failed:  # V sqrt(max(eigenvalues, 0)) is a root too
        values, vectors = torch.linalg.eigh(first)
        root = vectors * values.clamp(min=0).sqrt()
    inner = root.T @ second @ root if failed else _inner(root, second)
    shared = torch.linalg.eigvalsh((inner + inner.T) / 2).clamp(min=0).sqrt().sum()
    distance = (a.mean - b.mean).square().sum() + first.trace() + second.trace() - 2 * shared
    return max(0.0, float(distance)), "eigen" if failed else "cholesky"


def _inner(root: Tensor, second: Tensor) -> Tensor:
    """root^T S2 root, which has the eigenvalues of S1 S2 where S1 = root root^T; what is zero in a lower root is left out."""
    import torch

    starts = range(0, len(root), BLOCK)
    left = torch.cat([root[at:, at : at + BLOCK].T @ second[at:] for at in starts])
    return torch.cat([left[:, at:] @ root[at:, at : at + BLOCK] for at in starts], dim=1)


def low_rank_distance(fake: Tensor, real: Tensor) -> float:
    """The distance where covariances lack rank: tr (S1 S2)^(1/2) is the nuclear norm of A B^T (see `centred`)."""
    import torch

    (mean_1, a), (mean_2, b) = centred(fake), centred(real)
    shared = torch.linalg.svdvals(compact(a) @ compact(b).T).sum()
    return max(0.0, float((mean_1 - mean_2).square().sum() + a.square().sum() + b.square().sum() - 2 * shared))


def centred(features: Tensor) -> tuple[Tensor, Tensor]:
    """features: [n, d] -> (mean [d], (features - mean) / sqrt(n - 1) [n, d]), float64."""
    x = features.double()
    mean = x.mean(dim=0)
    return mean, (x - mean) / (len(x) - 1) ** 0.5


def compact(x: Tensor) -> Tensor:
    """A matrix of at most d rows with the same x^T x: [n, d] -> [min(n, d), d]."""
    import torch

    return torch.linalg.qr(x, mode="r").R if len(x) > x.shape[1] else x


def fid_interval(value: float, fake: Tensor, real: Tensor | Moments, groups: int) -> Interval:
    """95 % interval of the FID of n generated images against these reals, by leaving out groups of the generated ones.

    In it is the sampling of the generated images; not in it are FID's bias at this n, the choice of the reals, and the
    training seed. Moments are subtracted, so a group costs one trace term; routes by covariance serve any rank here.
    """
    import torch

    whole, theirs = Moments.of(fake), _moments(real)
    rest = [whole.without(Moments.of(fake[group])) for group in left_out(len(fake), groups)]
    return jackknife_interval(value, torch.tensor([moments_distance(theirs, part)[0] for part in rest]), floor=0.0)


def influences(fake: Tensor, real: Tensor | Moments) -> Tensor:
    """The derivative of the distance by the weight of each generated image, times n: [n], float64, mean 0.

    The infinitesimal jackknife (Jaeckel 1972; Efron 1982, Section 6.3): their variance over n is that of the distance over
    other sets of generated images, to first order. With T the transport of N(m1, S1) to N(m2, S2), d tr (S1 S2)^(1/2) =
    tr (T dS1) / 2. Where S1 lacks rank all is done in the span of the images, which weights do not leave.
    """
    import torch

    (mean, a), theirs = centred(fake), _moments(real)
    values, vectors = torch.linalg.eigh(a.T @ a)
    kept = values > values[-1] * len(values) * torch.finfo(torch.float64).eps
    scales, basis = values[kept].sqrt(), vectors[:, kept]
    root = basis * scales  # S1 = root root^T
    shared, turn = torch.linalg.eigh(root.T @ theirs.covariance @ root)  # T = root^-T (...)^(1/2) root^-1
    moved = (a @ (basis / scales) @ turn).square() @ shared.clamp(min=0).sqrt()
    gain = 2 * (len(fake) - 1) ** 0.5 * (a @ (mean - theirs.mean)) + len(fake) * (a.square().sum(dim=1) - moved)
    return gain - gain.mean()


class Judged(NamedTuple):
    """The distance, the route it took, and what each generated image does to it (see influences)."""

    value: float
    route: Route
    influences: Tensor


def judged(fake: Tensor, real: Tensor | Moments) -> Judged:
    """Distance and influences; where S1 has full rank one decomposition gives both.

    fake: [n, d]; real: [m, d], or its moments, which say all where n and m are above d.
    """
    import torch

    few_vectors = min(_at_least_two(len(fake)), _at_least_two(len(real))) <= fake.shape[1]
    if few_vectors and not isinstance(real, Moments):
        return Judged(*frechet_distance(fake, real), influences(fake, real))
    ours, theirs = Moments.of(fake), _moments(real)
    first, second = ours.covariance, theirs.covariance
    root, failed = torch.linalg.cholesky_ex(first)
    steps = root.diagonal().square()
    if failed or steps.min() <= steps.max() * len(steps) * torch.finfo(torch.float64).eps:
        return Judged(*moments_distance(ours, theirs), influences(fake, theirs))
    inner = _inner(root, second)
    values, turn = torch.linalg.eigh((inner + inner.T) / 2)
    shared, gap = values.clamp(min=0).sqrt(), ours.mean - theirs.mean
    value = float(gap.square().sum() + first.trace() + second.trace() - 2 * shared.sum())
    basis = torch.linalg.solve_triangular(root.T, turn, upper=True)  # T = basis diag(shared) basis^T

    def gain(rows: Tensor) -> Tensor:
        x = rows.double() - ours.mean
        moved = (x @ basis).square() @ shared
        return 2 * (x @ gap) + len(fake) / (len(fake) - 1) * (x.square().sum(dim=1) - moved)

    gains = torch.cat([gain(rows) for rows in fake.split(CHUNK)])
    return Judged(max(0.0, value), "cholesky", gains - gains.mean())


def _moments(real: Tensor | Moments) -> Moments:
    return real if isinstance(real, Moments) else Moments.of(real)


def _at_least_two(n: int) -> int:
    if n < 2:
        raise MetricError(
            f"FID needs two images of each kind, got {n}; give more of them (in a run: --set sizes.val=64)"
        )
    return n
