"""A large audit by partitions on a Ray cluster against the same on threads."""

from __future__ import annotations

import json
import os
import signal
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest

import whodrew
from whodrew.audit.cluster import RayPartitions, on_engine
from whodrew.errors import UsageError
from whodrew.identify.parallel import in_partitions, is_partitioned
from whodrew.identify.problem import LARGE

pytest.importorskip("ray", reason="needs the extra ray")
pytestmark = pytest.mark.slow

MODELS, PROMPTS, EACH, DIMENSION = 5, 12, 340, 8


@pytest.fixture(scope="module", autouse=True)
def ray() -> Iterator[Any]:
    """One cluster for all: connected processes use what is there."""
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    import ray

    ray.init(
        num_cpus=2,
        include_dashboard=False,
        object_store_memory=200 << 20,
        log_to_driver=False,
        runtime_env={"env_vars": {"PYTHONPATH": str(Path(__file__).parent)}},
    )
    yield ray
    ray.shutdown()


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    rng = np.random.default_rng(0)
    count = MODELS * PROMPTS * EACH
    assert count > LARGE
    model, prompt, seed = np.unravel_index(np.arange(count), (MODELS, PROMPTS, EACH))
    effects = rng.standard_normal((MODELS, DIMENSION)) * 0.4
    base = rng.standard_normal((PROMPTS, DIMENSION))
    vectors = effects[model] + base[prompt] + rng.standard_normal((count, DIMENSION))
    vectors /= np.linalg.norm(vectors, axis=1, keepdims=True)
    flat = pa.array(vectors.astype(np.float32).ravel())
    file = tmp_path_factory.mktemp("cluster") / "vectors.parquet"
    columns = {
        "model": [f"m{one}" for one in model],
        "prompt_id": [f"p{one:02d}" for one in prompt],
        "seed": [str(one) for one in seed],
        "embedding": pa.FixedSizeListArray.from_arrays(flat, DIMENSION),
    }
    pq.write_table(pa.table(columns), file)
    return file


def figures(found: whodrew.audit.Audit) -> list[float]:  # type: ignore[name-defined]
    """Returns every number of an audit in the order of its JSON, less times."""
    values = found.to_dict()
    for name in ("created", "software", "encoders"):
        del values[name]
    numbers: list[float] = []

    def walk(value: Any) -> None:
        if isinstance(value, dict):
            for name in sorted(value):
                walk(value[name])
        elif isinstance(value, list):
            for one in value:
                walk(one)
        elif isinstance(value, int | float):
            numbers.append(float(value))

    walk(json.loads(json.dumps(values)))
    return numbers


def test_partitions_on_a_cluster_give_the_figures_of_threads(
    store: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    options: dict[str, Any] = {"curves": False, "hide_models": 1}
    here = whodrew.audit(store, out=tmp_path / "here", **options)
    monkeypatch.setenv("WHODREW_MEMORY", "0")  # vectors on a shelf that workers open
    there = whodrew.audit(store, out=tmp_path / "there", engine="ray", **options)
    np.testing.assert_allclose(figures(there), figures(here), rtol=1e-4, atol=1e-5)
    for name in ("answers-vectors-whitened-centroid-matched-any", "images"):
        tables = [
            pq.read_table(tmp_path / side / "tables" / f"{name}.parquet")
            for side in ("here", "there")
        ]
        assert tables[0].column_names == tables[1].column_names
        keys = ["model", "prompt_id", "seed"]
        assert tables[0].select(keys).equals(tables[1].select(keys))
    assert sorted(file.name for file in (tmp_path / "there").iterdir()) == [
        "audit.json",
        "report.html",
        "tables",
    ]


def test_a_worker_that_dies_costs_its_partition_and_nothing_else(ray: Any, tmp_path: Path) -> None:
    mark = str(tmp_path / "died")

    def work(items: list[int]) -> list[int]:
        if 3 in items and not os.path.exists(mark):  # noqa: PTH110
            Path(mark).touch()
            os.kill(os.getpid(), signal.SIGKILL)
        return [item**2 for item in items]

    found = list(RayPartitions(ray, 2).run(work, range(10)))
    assert Path(mark).exists()
    assert len(found) > 3
    assert [one for part in found for one in part] == [item**2 for item in range(10)]


def test_an_engine_is_asked_only_while_it_is_entered() -> None:
    assert not is_partitioned()
    with on_engine("ray", None, None):
        assert is_partitioned()
        assert list(in_partitions(sum, range(4))) == [0, 1, 2, 3]
    with on_engine("native", None, None):
        assert list(in_partitions(sum, range(4))) == [6]


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"engine": "spark"}, "unknown engine 'spark': native or ray"),
        ({"address": "auto"}, "add --engine ray"),
    ],
)
def test_an_engine_that_is_not_there_is_refused(options: dict[str, str], said: str) -> None:
    with pytest.raises(UsageError, match=said):
        whodrew.audit("nowhere", **options)
