"""Where a store lies: a local folder, or a prefix on object storage."""

from __future__ import annotations

import contextlib
import functools
import os
import re
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from datetime import datetime, timedelta
from fnmatch import fnmatchcase
from pathlib import Path, PurePosixPath
from typing import Any, Final, TypeVar

from whodrew.errors import UsageError, WhodrewError

# pathlib makes one slash of two
_REMOTE: Final = re.compile(r"^(s3|gs|gcs|abfs|abfss)://?(?=[^/])")
_SCHEMES: Final = "s3://, gs:// or abfs://"
_CONNECT_SECONDS: Final = 5
_REQUEST_SECONDS: Final = 30
_ATTEMPTS: Final = 4
_AT_ONCE: Final = 16
T = TypeVar("T")
R = TypeVar("R")


class StorageError(WhodrewError):
    """Object storage does not answer, or not as it should."""


class ObjectPath:
    """A path on object storage, with as much of ``pathlib.Path`` as a store uses.

    There are no folders: one is there once an object lies under it. A write is one put,
    which is there whole or not at all.

    Args:
        uri: ``s3://bucket/prefix``, ``gs://…`` or ``abfs://…``.

    Raises:
        UsageError: no such scheme, or no bucket.
    """

    __slots__ = ("_key", "_scheme")

    def __init__(self, uri: str) -> None:
        match = _REMOTE.match(uri)
        if match is None:
            raise UsageError(f"{uri} is no address on object storage: {_SCHEMES} and a bucket")
        if "?" in uri:
            raise UsageError(
                f"{uri}: no options in the address; endpoint and region are those of the "
                "environment (AWS_ENDPOINT_URL, AWS_REGION)"
            )
        self._scheme = match[1]
        self._key = uri[match.end() :].rstrip("/")

    def __str__(self) -> str:
        return f"{self._scheme}://{self._key}"

    def __repr__(self) -> str:
        return f"ObjectPath({str(self)!r})"

    def __eq__(self, other: object) -> bool:
        return isinstance(other, ObjectPath) and str(self) == str(other)

    def __hash__(self) -> int:
        return hash(str(self))

    def __lt__(self, other: ObjectPath) -> bool:
        return str(self) < str(other)

    def __truediv__(self, name: str) -> ObjectPath:
        return ObjectPath(f"{self}/{name}")

    def __reduce__(self) -> tuple[type[ObjectPath], tuple[str]]:
        return ObjectPath, (str(self),)

    @property
    def name(self) -> str:
        """The last part of the path."""
        return PurePosixPath(self._key).name

    @property
    def stem(self) -> str:
        """The name without its ending."""
        return PurePosixPath(self._key).stem

    @property
    def parent(self) -> ObjectPath:
        """The path without its last part; the bucket's is itself."""
        above = self._key.rpartition("/")[0]
        return ObjectPath(f"{self._scheme}://{above}") if above else self

    def is_file(self) -> bool:
        """Whether it is an object."""
        return bool(self._info().is_file)

    def is_dir(self) -> bool:
        """Whether objects lie under it."""
        return bool(self._info().type.name == "Directory")

    def exists(self) -> bool:
        """Whether it is an object, or objects lie under it."""
        return bool(self._info().type.name != "NotFound")

    def changed(self) -> datetime | None:
        """When it was written, by the storage's clock; ``None`` where it is not there."""
        found: datetime | None = self._info().mtime
        return found

    def listing(self) -> dict[str, datetime | None]:
        """Returns the names of the objects directly under it, and when each was written."""
        from pyarrow.fs import FileSelector

        chosen = FileSelector(self._at, allow_not_found=True)
        with self._explained():
            found = self._filesystem().get_file_info(chosen)
        return {info.base_name: info.mtime for info in found if info.is_file}

    def glob(self, pattern: str) -> Iterator[ObjectPath]:
        """Yields the objects directly under it whose name matches."""
        return (self / name for name in self.listing() if fnmatchcase(name, pattern))

    def unlink(self, missing_ok: bool = False) -> None:
        """Removes the object.

        Raises:
            FileNotFoundError: it is not there, and that matters.
        """
        try:
            with self._explained():
                self._filesystem().delete_file(self._at)
        except FileNotFoundError:
            if not missing_ok:
                raise

    def open_input(self) -> Any:
        """Opens the object for reading at any place: a ``pyarrow.NativeFile``."""
        with self._explained():
            return self._filesystem().open_input_file(self._at)

    def read_bytes(self) -> bytes:
        """Returns the whole content."""
        with self._explained(), self._filesystem().open_input_file(self._at) as source:
            return bytes(source.read())

    def read_text(self, encoding: str = "utf-8") -> str:
        """Returns the whole content as text."""
        return self.read_bytes().decode(encoding)

    def write_bytes(self, data: Any) -> None:
        """Writes the whole content, in place of what was there."""
        with self._explained(), self._filesystem().open_output_stream(self._at) as sink:
            sink.write(data)

    def _info(self) -> Any:
        with self._explained():
            return self._filesystem().get_file_info(self._at)

    def _filesystem(self) -> Any:
        return _connect(self._scheme, self._key.split("/")[0], _surroundings())[0]

    @property
    def _at(self) -> str:
        """The path as the file system has it, which knows the account already."""
        authority, slash, rest = self._key.partition("/")
        return _connect(self._scheme, authority, _surroundings())[1] + slash + rest

    @contextlib.contextmanager
    def _explained(self) -> Iterator[None]:
        try:
            yield
        except FileNotFoundError:
            raise
        except OSError as error:
            raise StorageError(explanation(self, error)) from error


Place = Path | ObjectPath


def is_remote(path: object) -> bool:
    """Tells whether a path is an address on object storage."""
    return isinstance(path, ObjectPath) or _REMOTE.match(str(path)) is not None


def as_place(path: str | Path | ObjectPath) -> Place:
    """Returns a path as what it is: on object storage, or local.

    Raises:
        UsageError: the address names no bucket, or a scheme that is not supported.
    """
    if isinstance(path, ObjectPath):
        return path
    if is_remote(path):
        return ObjectPath(str(path))
    if re.match(r"^[a-z][a-z0-9+.-]+:/", str(path)):
        raise UsageError(f"{path}: a store lies in a folder, or at {_SCHEMES} and a bucket")
    return Path(path)


def explanation(path: object, error: BaseException) -> str:
    """Says in one line why object storage was of no use."""
    reason = " ".join(str(error).split())
    reason = re.sub(r"^When .*?: (?=AWS Error)", "", reason)
    reason = re.sub(r" \(Request ID: .*?\)", "", reason)[:200]
    if "NO_SUCH_BUCKET" in reason:
        return f"cannot use {path}: there is no such bucket"
    return (
        f"cannot use {path} ({reason}): check the address, the credentials, and "
        "AWS_ENDPOINT_URL and AWS_REGION where it is S3"
    )


def each(places: Iterable[T], do: Callable[[T], R]) -> list[R]:
    """Does something with each place, many at once where each is a request on a network."""
    chosen = list(places)
    if len(chosen) < 2 or not any(isinstance(place, ObjectPath) for place in chosen):
        return [do(place) for place in chosen]
    with ThreadPoolExecutor(_AT_ONCE) as pool:
        return list(pool.map(do, chosen))


def _surroundings() -> tuple[str | None, ...]:
    """Returns what of the environment a file system is made of."""
    endpoint = os.environ.get("AWS_ENDPOINT_URL_S3") or os.environ.get("AWS_ENDPOINT_URL")
    region = os.environ.get("AWS_REGION") or os.environ.get("AWS_DEFAULT_REGION")
    return endpoint or None, region or None, os.environ.get("AWS_ACCESS_KEY_ID")


@functools.lru_cache(8)
def _connect(scheme: str, authority: str, surroundings: tuple[str | None, ...]) -> tuple[Any, str]:
    """Makes a file system that gives up in time: by default some try for a quarter hour.

    Returns:
        It, and the name of the bucket or container in it.
    """
    from pyarrow import fs

    try:
        if scheme == "s3":
            endpoint, region, _ = surroundings
            if endpoint is None and region is None:
                with contextlib.suppress(OSError):
                    region = fs.resolve_s3_region(authority)
            connected = fs.S3FileSystem(
                endpoint_override=endpoint,
                region=region,
                connect_timeout=_CONNECT_SECONDS,
                request_timeout=_REQUEST_SECONDS,
                retry_strategy=fs.AwsStandardS3RetryStrategy(max_attempts=_ATTEMPTS),
                allow_delayed_open=True,
            )
            return connected, authority
        if scheme in ("gs", "gcs"):
            limit = timedelta(seconds=_REQUEST_SECONDS)
            return fs.GcsFileSystem(retry_time_limit=limit), authority
        connected, root = fs.FileSystem.from_uri(f"{scheme}://{authority}/")
        return connected, root.rstrip("/")
    except (OSError, ValueError, NotImplementedError, ImportError) as error:
        raise StorageError(explanation(f"{scheme}://{authority}", error)) from error
