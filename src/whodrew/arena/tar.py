"""Tar archives from strangers: listed by their headers, read by offset, never unpacked.

``tarfile`` stops without a word at a damaged header, and reads headers of any size into
memory. Here everything that is no plain file is named, and nothing is held.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from whodrew.errors import InputError

BLOCK: Final = 512
_LONGEST_NAME: Final = 1 << 16
_LARGEST_PAX: Final = 1 << 20
_TAIL: Final = 1 << 20
_FILE: Final = frozenset(b"0\x007")
_KINDS: Final = {
    ord("1"): "a hard link",
    ord("2"): "a symbolic link",
    ord("3"): "a device",
    ord("4"): "a device",
    ord("6"): "a named pipe",
    ord("S"): "a sparse file",
}
_DIRECTORY: Final = ord("5")
_PACKED: Final = (b"\x1f\x8b", b"BZh", b"\xfd7zXZ\x00", b"\x28\xb5\x2f\xfd")


@dataclass(frozen=True)
class Member:
    """A plain file in an archive.

    Attributes:
        name: as the archive has it.
        offset: where its bytes begin.
        size: how many there are.
    """

    name: str
    offset: int
    size: int


@dataclass(frozen=True)
class Flaw:
    """What an archive holds that is not read: the member's name, and why.

    Attributes:
        name: of the member; empty where it is the archive itself.
        reason: one line.
    """

    name: str
    reason: str


@dataclass(frozen=True)
class _Header:
    name: str
    size: int
    kind: int
    more: bool  # a sparse map goes on in the next block


class Archive:
    """A tar file opened for reading pieces of it; a context manager.

    Raises:
        InputError: it cannot be opened.
    """

    def __init__(self, path: str | Path) -> None:
        self.path = Path(path)
        try:
            self._file = self.path.open("rb", buffering=0)
            self.size = self._file.seek(0, 2)
        except OSError as error:
            raise InputError(f"cannot read {path}: {error.strerror or error}") from error

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        value: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._file.close()

    def read(self, offset: int, size: int) -> bytes:
        """Returns the bytes at ``offset``, fewer where the file ends."""
        self._file.seek(offset)
        return self._file.read(max(0, min(size, self.size - offset)))

    def members(self) -> Iterator[Member | Flaw]:
        """Lists the archive in one pass over its headers.

        Yields:
            Plain files in the archive's order, and what is not read; folders are passed
            over. After damage nothing more comes, and the last flaw says so.

        Raises:
            InputError: it is no tar archive.
        """
        at = 0
        said: dict[str, str] = {}  # what extended headers say of the next member
        while True:
            block = self.read(at, BLOCK)
            if len(block) < BLOCK or not any(block):
                if at == 0:
                    raise InputError(_why_no_tar(self.path, block))
                yield from self._end(at, block)
                return
            try:
                header = _parse(block)
            except ValueError as error:
                if at == 0:
                    raise InputError(_why_no_tar(self.path, block)) from error
                yield Flaw("", f"{error} at byte {at:,}: what follows is not read")
                return
            data = at + BLOCK
            if header.kind in b"LKxXg":
                at = data + _padded(header.size)
                if at > self.size:
                    yield Flaw("", f"cut short at byte {data:,}: what follows is not read")
                    return
                said |= self._extended(header, data)
                continue
            member, at = self._member(header, data, said)
            said = {}
            if member is not None:
                yield member
            if at > self.size:
                if not isinstance(member, Flaw):
                    yield Flaw("", "cut short: what follows is not read")
                return

    def _member(
        self, header: _Header, data: int, said: dict[str, str]
    ) -> tuple[Member | Flaw | None, int]:
        """Returns what a header says, and where the next one is."""
        name = said.get("path", header.name)
        size = header.size
        if header.kind in _KINDS and header.kind != ord("S"):
            return Flaw(name, f"{_KINDS[header.kind]}, not a file: not followed"), data
        if header.kind == _DIRECTORY or (header.kind == 0 and header.name.endswith("/")):
            return None, data
        more = header.more
        while more:  # the map of an old sparse file
            block = self.read(data, BLOCK)
            more = len(block) == BLOCK and block[504] == 1
            data += BLOCK
        if "size" in said:
            try:
                size = _decimal(said["size"])
            except ValueError:
                return Flaw(name, "its size is no number: what follows is not read"), self.size + 1
        end = data + _padded(size)
        if "flaw" in said:
            return Flaw(name, said["flaw"]), end
        if header.kind == ord("S") or "sparse" in said:
            return Flaw(said.get("sparse") or name, "a sparse file: pack the shard again"), end
        if header.kind not in _FILE:
            return Flaw(name, f"a member of unknown kind {chr(header.kind)!r}"), end
        if reason := why_odd(name):
            return Flaw(printable(name), reason), end
        if data + size > self.size:
            left = max(0, self.size - data)
            return Flaw(name, f"cut short: {size:,} bytes, {left:,} are there"), self.size + 1
        if size != header.size:
            return Flaw(name, "two headers give it two sizes"), end
        return Member(name, data, size), end

    def _extended(self, header: _Header, data: int) -> dict[str, str]:
        if header.kind in b"Kg":
            return {}
        limit = _LONGEST_NAME if header.kind == ord("L") else _LARGEST_PAX
        if header.size > limit:
            return {"flaw": f"a header of {header.size:,} bytes, more than {limit:,}"}
        content = self.read(data, header.size)
        if header.kind == ord("L"):
            return {"path": _text(content.split(b"\x00", 1)[0])}
        try:
            return _pax(content)
        except ValueError as error:
            return {"flaw": f"a damaged extended header: {error}"}

    def _end(self, at: int, block: bytes) -> Iterator[Flaw]:
        if len(block) < BLOCK:
            yield Flaw("", "ends without an end mark: cut short? what is there is read")
            return
        if any(self.read(at, _TAIL)):
            left = self.size - at
            yield Flaw(
                "",
                f"{left:,} bytes after its end mark are not read: of several archives joined "
                "into one file make one again",
            )

    def content(self, name: str, offset: int) -> tuple[int, str | None]:
        """Says how many bytes a member has, by the header before them.

        Args:
            name: the member's name.
            offset: where its bytes should begin.

        Returns:
            The size; and ``None``, or why these are not that member's bytes.
        """
        changed = f"{self.path.name} has changed since it was listed"
        try:
            header = _parse(self.read(offset - BLOCK, BLOCK)) if offset >= BLOCK else None
        except ValueError:
            header = None
        if header is None or header.kind not in _FILE or offset + header.size > self.size:
            return 0, changed
        # a longer or other name stands in an extended header
        if name.isascii() and len(name) <= 100 and header.name != name:
            return 0, changed
        return header.size, None


def why_odd(name: str) -> str | None:
    """Returns why a member's name is not one to be trusted, ``None`` where it is."""
    if not name.strip("./"):
        return "no name"
    if name.startswith(("/", "\\")) or name[1:3] in (":\\", ":/"):
        return "an absolute name"
    if ".." in name.replace("\\", "/").split("/"):
        return "a name that leads out of the archive"
    if printable(name) != name:
        return "a name with control characters or bytes that are not UTF-8"
    return None


def printable(name: str) -> str:
    """Returns a name for messages: what cannot be shown is written as escapes."""
    if name.isascii() and name.isprintable():
        return name
    shown = (c if c.isprintable() else c.encode("unicode_escape").decode() for c in name)
    return "".join(shown)


def _parse(block: bytes) -> _Header:
    """Reads a header block.

    Raises:
        ValueError: it is none; says why.
    """
    if len(block) < BLOCK:
        raise ValueError("cut short")
    try:
        told = _number(block[148:156])
        size = _number(block[124:136])
    except ValueError as error:
        raise ValueError("a damaged header") from error
    if told != sum(block) - sum(block[148:156]) + 8 * 32:
        raise ValueError("a damaged header")
    if size < 0:
        raise ValueError("a header with a negative size")
    name = block[:100].split(b"\x00", 1)[0]
    if block[257:263] == b"ustar\x00" and (prefix := block[345:500].split(b"\x00", 1)[0]):
        name = prefix + b"/" + name
    return _Header(_text(name), size, block[156], block[156] == ord("S") and block[482] == 1)


def _number(field: bytes) -> int:
    if field[0] & 0x80:  # base 256, for what octal digits cannot hold
        value = int.from_bytes(field, "big", signed=False) & ((1 << (8 * len(field) - 1)) - 1)
        return -1 if field[0] == 0xFF else value
    digits = field.split(b"\x00", 1)[0].strip()
    if not digits.isdigit() and digits:
        raise ValueError(f"{digits!r} is no octal number")
    return int(digits or b"0", 8)


def _pax(content: bytes) -> dict[str, str]:
    """Reads the records ``length key=value`` of an extended header that matter here."""
    found: dict[str, str] = {}
    while content and any(content):
        digits, blank, _ = content.partition(b" ")
        length = _decimal(digits.decode("ascii", "replace")) if blank else 0
        if length <= len(digits) + 1 or length > len(content):
            raise ValueError("a record of impossible length")
        record, content = content[len(digits) + 1 : length], content[length:]
        key, _, value = record.removesuffix(b"\n").partition(b"=")
        if key in (b"path", b"size"):
            found[key.decode()] = _text(value)
        elif key.startswith(b"GNU.sparse."):
            found.setdefault("sparse", "")
            if key == b"GNU.sparse.name":
                found["sparse"] = _text(value)
    return found


def _decimal(text: str) -> int:
    if not (text.isascii() and text.isdigit() and len(text) < 20):
        raise ValueError(f"{text[:20]!r} is no length")
    return int(text)


def _text(raw: bytes) -> str:
    return raw.decode("utf-8", "surrogateescape")


def _padded(size: int) -> int:
    return -(-size // BLOCK) * BLOCK


def _why_no_tar(path: Path, block: bytes) -> str:
    if block.startswith(_PACKED):
        return (
            f"{path} is compressed: images are read by their place in the archive; "
            "decompress it first (for one, gzip -d)"
        )
    if not block:
        return f"{path} is empty: not a tar archive"
    if len(block) == BLOCK and not any(block):
        return f"{path} is an archive without members"
    return f"{path} is not a tar archive"
