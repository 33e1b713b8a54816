"""Connecting to a Ray cluster, or starting one on this machine."""

from __future__ import annotations

import contextlib
import logging
import os
import re
import socket
import warnings
from collections.abc import Iterator
from typing import Any, Final

from whodrew.errors import MissingExtraError, UsageError, WhodrewError

_ADDRESS: Final = re.compile(r"auto|local|(ray://)?([\w.\-]+|\[[0-9a-f:]+\]):\d{1,5}")
_KNOCK_SECONDS: Final = 10.0
# Neither Daft nor Ray is to report home, or to draw bars of its own.
_QUIET: Final = {"DAFT_ANALYTICS_ENABLED": "0", "DAFT_PROGRESS_BAR": "0", "RAY_TQDM": "0"}
# Where object storage is, workers are told; how to get in, their own machines must know.
_TOLD: Final = ("AWS_ENDPOINT_URL", "AWS_ENDPOINT_URL_S3", "AWS_REGION", "AWS_DEFAULT_REGION")
_OBJECT_STORE: Final = 256 << 20  # bytes: partitions are names and paths


def import_ray() -> Any:
    """Imports Ray, which is not to report home.

    Raises:
        MissingExtraError: it is not installed.
    """
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
    # warned of otherwise; Daft says itself which GPUs its workers see
    os.environ.setdefault("RAY_ACCEL_ENV_VAR_OVERRIDE_ON_ZERO", "0")
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("--engine ray", "ray") from error
    return ray


def _knock(address: str) -> None:
    """Sees that somebody listens at an address: Ray itself would wait for minutes.

    Raises:
        WhodrewError: nobody does.
    """
    host, _, port = address.removeprefix("ray://").rpartition(":")
    if not host or not port.isdigit():
        return
    try:
        socket.create_connection((host.strip("[]"), int(port)), _KNOCK_SECONDS).close()
    except (OSError, OverflowError) as error:
        reason = getattr(error, "strerror", None) or error
        raise WhodrewError(
            f"cannot reach a Ray cluster at {address} ({reason}): "
            "is the address right, and is the cluster up (ray status)?"
        ) from error


def checked_address(address: str | None) -> str:
    """Returns the address of the cluster that is meant, having seen that somebody is there.

    Args:
        address: ``auto``, ``HOST:PORT``, ``ray://HOST:PORT``; ``None`` takes the environment's
            ``RAY_ADDRESS``, and is ``local`` (a cluster on this machine, for the run) where
            there is none.

    Raises:
        UsageError: it is no address.
        WhodrewError: nobody is there.
    """
    chosen = os.environ.get("RAY_ADDRESS", "").strip() or "local" if address is None else address
    if not _ADDRESS.fullmatch(chosen):
        raise UsageError(
            f"{chosen!r} is no address of a Ray cluster: give auto, HOST:PORT or "
            "ray://HOST:PORT, or leave it out to use this machine alone"
        )
    _knock(chosen)
    return chosen


@contextlib.contextmanager
def cluster(address: str | None, workers: int | None) -> Iterator[tuple[Any, int]]:
    """Connects to a Ray cluster, or starts one; leaves it, or ends it.

    Where this process is connected already, that is used and left as it is.

    Args:
        address: as ``checked_address``.
        workers: processors of a cluster that is started here; all where ``None``.

    Yields:
        The module ``ray``, and the number of the cluster's processors.

    Raises:
        MissingExtraError: Ray is not installed.
        UsageError: the address is none.
        WhodrewError: the cluster cannot be reached or started.
    """
    ray = import_ray()
    ours = not ray.is_initialized()
    if ours:
        _connect(ray, checked_address(address), workers)
    try:
        yield ray, int(ray.cluster_resources().get("CPU", 1))
    finally:
        if ours:
            ray.shutdown()
            _forget()


def _connect(ray: Any, address: str, workers: int | None) -> None:
    options: dict[str, Any] = {}
    logging.getLogger("ray").setLevel(logging.ERROR)
    if address == "local":
        processors = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else None
        options = {
            "num_cpus": workers or processors,
            "include_dashboard": False,
            "object_store_memory": _OBJECT_STORE,
        }
    elif not address.startswith("ray://"):
        told = {name: os.environ[name] for name in _TOLD if name in os.environ}
        options["runtime_env"] = {"env_vars": {**_QUIET, **told}}
    if not address.startswith("ray://"):  # whose server takes none of these
        options |= {"log_to_driver": False, "logging_level": logging.ERROR}
    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            ray.init(address=address, **options)
    except (OSError, RuntimeError, ValueError, ray.exceptions.RayError) as error:
        reason = " ".join(str(error).split())[:200]
        if address == "local":
            raise WhodrewError(f"cannot start Ray here: {reason}") from error
        raise WhodrewError(
            f"cannot reach a Ray cluster at {address}: {reason} (is it up, of this version of "
            "Ray, and does it ask for a token: RAY_AUTH_MODE=token?)"
        ) from error


def daft_on_ray() -> Any:
    """Imports Daft, and has it run on the cluster that this process is connected to.

    Raises:
        UsageError: it runs on another runner already.
    """
    import daft

    logging.getLogger("daft").setLevel(logging.ERROR)
    if daft_runner() is None:
        daft.set_runner_ray()  # on what is connected
    return daft


def daft_runner() -> Any:
    """Returns what this process runs Daft on, which is set once in its life, or ``None``.

    Raises:
        UsageError: not Ray.
    """
    for name, value in _QUIET.items():
        os.environ.setdefault(name, value)
    from daft.daft import get_runner

    runner: Any = get_runner()
    if runner is not None and runner.name != "ray":
        raise UsageError(
            f"this process runs Daft on its {runner.name} runner already, and can never run it on "
            "Ray: run it in a process of its own"
        )
    return runner


def _forget() -> None:
    """Lets go of Daft's actor on a cluster that is left, so that a next run makes its own."""
    if (runner := daft_runner()) is not None:
        runner.flotilla_plan_runner = None
