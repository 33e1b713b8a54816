"""WebDataset shards: listed by their headers, read by offset, never unpacked."""

from __future__ import annotations

import io
import json
import os
import shutil
import tarfile
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from drawn import MODELS, PROMPTS, Shell, draw
from shards import from_folders, labelled, pack, png, sample
from whodrew.arena import (
    Arena,
    ImageError,
    Limits,
    decode,
    iter_bytes,
    partition,
    read_arena,
    read_image_bytes,
    read_stored,
    stored_path,
)
from whodrew.arena import tar as tar_module
from whodrew.arena.patterns import expand, missing_parts
from whodrew.arena.tar import Archive, Flaw, Member
from whodrew.embed import embed, open_store
from whodrew.errors import InputError, UsageError

FORMATS = {"gnu": tarfile.GNU_FORMAT, "pax": tarfile.PAX_FORMAT, "ustar": tarfile.USTAR_FORMAT}


def value_of(data: bytes | ImageError) -> int:
    assert isinstance(data, bytes), data
    red, green, _ = decode(data).pixels[0, 0].tolist()
    return int(red + 256 * green)


def values(arena: Arena) -> list[int]:
    read = dict(iter_bytes(arena.images))
    return [value_of(read[at]) for at in range(len(arena))]


def reasons(arena: Arena) -> dict[str, str]:
    return {item.item: item.reason for item in arena.bad}


def column(arena: Arena, name: str) -> list[Any]:
    found: list[Any] = arena.images[name].to_pylist()
    return found


# ---------------------------------------------------------------- samples and their labels


def test_samples_are_grouped_and_labelled_by_their_json(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", labelled(6))
    arena = read_arena(tmp_path / "a.tar")
    assert (arena.layout, len(arena), arena.bad) == ("webdataset", 6, ())
    assert column(arena, "item")[2] == "a.tar::000002.png"
    assert column(arena, "model") == ["m0", "m1"] * 3
    assert column(arena, "prompt") == [f"prompt {at // 2}" for at in range(6)]
    assert column(arena, "seed")[4] == "000004"
    assert values(arena) == list(range(6))
    assert value_of(read_image_bytes(arena.images.slice(3, 1).to_pylist()[0])) == 3


def test_labels_from_text_parts(tmp_path: Path) -> None:
    members = [("a.txt", b"a red fox\n"), ("a.webp", png(1)), ("a.cls", b"7")]
    members += [("b.txt", b"ein Fuchs"), ("b.cls", b"3"), ("b.png", png(2))]
    pack(tmp_path / "a.tar", members)
    arena = read_arena(tmp_path / "a.tar")
    assert column(arena, "prompt") == ["a red fox", "ein Fuchs"]
    assert column(arena, "model") == ["7", "3"]
    assert any(
        "prompt from 'txt', model from 'cls'" in note
        or "model from 'cls', prompt from 'txt'" in note
        for note in arena.notes
    )


def test_labels_from_the_table_beside_a_shard_come_before_json(tmp_path: Path) -> None:
    pack(tmp_path / "00000.tar", sample("0001", 1, caption="in json", model="j", seed=4))
    table = {"key": ["0001", "0002"], "caption": ["in parquet", "failed"], "url": ["u", "v"]}
    pq.write_table(pa.table(table), tmp_path / "00000.parquet")
    (tmp_path / "00000_stats.json").write_text("{}")
    arena = read_arena(tmp_path)
    assert arena.bad == ()
    row = arena.images.to_pylist()[0]
    assert (row["prompt"], row["model"], row["seed"]) == ("in parquet", "j", "4")
    (tmp_path / "00000.parquet").write_bytes(b"PAR1 and nothing")
    arena = read_arena(tmp_path)
    assert column(arena, "prompt") == ["in json"]
    assert "its labels cannot be read" in reasons(arena)["00000.parquet"]


def test_fields_of_other_names(tmp_path: Path) -> None:
    members = sample("x", 1, who="m", what="p", picture="no")
    members += [("x.mask.png", png(9)), ("x.npy", b"n")]
    shard = pack(tmp_path / "a.tar", members)
    with pytest.raises(InputError, match=r"names no prompts.*'who', 'what'.*prompt=FIELD"):
        read_arena(shard)
    arena = read_arena(shard, columns={"model": "who", "prompt_id": "what"})
    assert (column(arena, "model"), column(arena, "prompt_id")) == (["m"], ["p"])
    assert values(arena) == [1]
    assert any("left aside: 1 .mask.png, 1 .npy" in note for note in arena.notes)
    taken = read_arena(shard, columns={"prompt_id": "what", "image": "mask.png"})
    assert values(taken) == [9]
    assert any("every image is anonymous" in note for note in taken.notes)
    assert any("fields found: 'who'" in note for note in taken.notes)
    with pytest.raises(InputError, match="no field 'nobody' for model"):
        read_arena(shard, columns={"model": "nobody", "prompt_id": "what"})
    with pytest.raises(UsageError, match="no such column 'pid'"):
        read_arena(shard, columns={"pid": "what"})


def test_keys_that_repeat_in_other_shards_are_other_images(tmp_path: Path) -> None:
    for shard in range(2):
        pack(tmp_path / f"{shard:03}.tar", sample("0", shard, model="m", prompt="p"))
    arena = read_arena(tmp_path)
    assert arena.bad == ()
    assert column(arena, "seed") == ["0", "001/0"]


def test_the_same_seed_twice_is_a_bad_item(tmp_path: Path) -> None:
    members = sample("0", 1, model="m", prompt="p", seed=1)
    members += sample("1", 2, model="m", prompt="p", seed=1)
    arena = read_arena(pack(tmp_path / "a.tar", members))
    assert len(arena) == 1
    assert "the same (model, prompt_id, seed)" in reasons(arena)["a.tar::1.png"]


def test_parts_of_a_sample_need_not_lie_together(tmp_path: Path) -> None:
    members = labelled(3)
    arena = read_arena(pack(tmp_path / "a.tar", [*members[1::2], *members[::2]]))
    assert (arena.bad, values(arena)) == ((), [0, 1, 2])


def test_spoilt_samples_are_named_and_the_rest_goes_on(tmp_path: Path) -> None:
    members = [
        ("several.jpg", png(1)), ("several.png", png(2)), ("several.txt", b"p"),
        ("lonely.txt", b"p"),
        ("broken.png", png(3)), ("broken.json", b"{"),
        ("list.png", png(3)), ("list.json", b"[1]"),
        ("latin.png", png(4)), ("latin.txt", b"\xe9t\xe9"),
        ("nothing.png", png(5)), ("nothing.json", b"{}"),
        ("odd.png", png(6)), ("odd.json", b'{"prompt": ["a"], "model": "m"}'),
        ("deep.png", png(6)), ("deep.json", b"[" * 100_000),
        ("film.mp4", b"x"), ("noending", b"x"),
        ("twice.png", png(7)), ("twice.PNG", png(8)), ("twice.txt", b"t"),
        ("README.md", b"hello"), ("._x.png", b"x"),
        *sample("good", 42, prompt="p", model="m"),
    ]  # fmt: skip
    arena = read_arena(pack(tmp_path / "a.tar", members))
    assert values(arena) == [7, 42]
    found = {item.removeprefix("a.tar::"): reason for item, reason in reasons(arena).items()}
    assert "say which to take, as in columns image=jpg" in found["several"]
    assert found["lonely"] == "no image under this key"
    assert "not JSON" in found["broken.png"]
    assert "holds no object" in found["list.png"]
    assert "not UTF-8" in found["latin.png"]
    assert found["nothing.png"] == "neither a prompt_id nor a prompt"
    assert "list is not a label" in found["odd.png"]
    assert "not JSON" in found["deep.png"]
    assert "not an image" in found["film"]
    assert "no ending" in found["noending"]
    assert "the same name" in found["twice.PNG"]
    assert len(found) == 11
    assert any("1 .md" in note and "1 hidden" in note for note in arena.notes)


# ---------------------------------------------------------------- hostile archives


def hostile(path: Path, **fields: Any) -> Path:
    """A good sample, one spoilt member, and another good sample."""
    with tarfile.open(path, "w", format=tarfile.PAX_FORMAT) as archive:
        for name, data in sample("a", 1, prompt="p", model="m"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
        info = tarfile.TarInfo(fields.pop("name", "bad.png"))
        data = fields.pop("data", b"")
        info.size = len(data)
        for name, value in fields.items():
            setattr(info, name, value)
        archive.addfile(info, io.BytesIO(data))
        for name, data in sample("z", 2, prompt="p", model="n"):
            info = tarfile.TarInfo(name)
            info.size = len(data)
            archive.addfile(info, io.BytesIO(data))
    return path


@pytest.mark.parametrize(
    ("fields", "item", "reason"),
    [
        ({"type": tarfile.SYMTYPE, "linkname": "/etc/passwd"}, "bad.png", "a symbolic link"),
        ({"type": tarfile.LNKTYPE, "linkname": "a.png"}, "bad.png", "a hard link"),
        ({"type": tarfile.CHRTYPE}, "bad.png", "a device"),
        ({"type": tarfile.FIFOTYPE}, "bad.png", "a named pipe"),
        ({"name": "/etc/x.png", "data": png(3)}, "/etc/x.png", "an absolute name"),
        ({"name": "C:\\x.png", "data": png(3)}, "C:\\x.png", "an absolute name"),
        ({"name": "../../x.png", "data": png(3)}, "../../x.png", "leads out of"),
        ({"name": "x\x1b[2J.png", "data": png(3)}, "x\\x1b[2J.png", "control characters"),
        ({"pax_headers": {"GNU.sparse.major": "1", "GNU.sparse.name": "s.png"}}, "s.png", "sparse"),
        ({"type": b"M", "data": b"x" * 700}, "bad.png", "unknown kind 'M'"),
        ({"pax_headers": {"comment": "x" * 2_000_000}}, "bad.png", "a header of 2,0"),
    ],
)  # fmt: skip
def test_members_that_are_no_plain_files_are_named_and_not_followed(
    tmp_path: Path, fields: dict[str, Any], item: str, reason: str
) -> None:
    before = sorted(tmp_path.iterdir())
    arena = read_arena(hostile(tmp_path / "a.tar", **fields))
    assert values(arena) == [1, 2]
    ((name, said),) = reasons(arena).items()
    assert name == f"a.tar::{item}"
    assert reason in said
    assert sorted(tmp_path.iterdir()) == [*before, tmp_path / "a.tar"]  # nothing was unpacked


def test_a_size_that_is_not_there(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", [*sample("a", 1, prompt="p"), ("b.png", png(2))])
    data = bytearray(path.read_bytes())
    at = data.index(b"b.png")
    info = tarfile.TarInfo("b.png")
    info.size = 1 << 50
    data[at : at + 512] = info.tobuf(tarfile.GNU_FORMAT)
    path.write_bytes(data)
    arena = read_arena(path)
    assert values(arena) == [1]
    assert "cut short: 1,125,899,906,842,624 bytes" in reasons(arena)["a.tar::b.png"]


def test_an_image_over_the_limit_is_not_listed(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", [*sample("a", 1, prompt="p"), ("b.txt", b"p")])
    info = tarfile.TarInfo("b.png")
    info.size = 300 << 20
    end = path.read_bytes().index(b"b.txt") + 1024
    with path.open("r+b") as file:  # a hole on the disk: nothing is written
        file.seek(end)
        file.write(info.tobuf(tarfile.GNU_FORMAT))
        file.truncate(end + 512 + info.size)
        file.seek(0, 2)
        file.write(bytes(1024))
    arena = read_arena(path)
    assert values(arena) == [1]
    assert "314,572,800 bytes, more than the limit" in reasons(arena)["a.tar::b.png"]


@pytest.mark.parametrize("cut", [1, 100, 511, 512, 700, 1024, 1500])
def test_a_truncated_archive_gives_what_is_there_and_says_so(tmp_path: Path, cut: int) -> None:
    path = pack(tmp_path / "a.tar", labelled(5))
    whole = path.read_bytes().rstrip(b"\x00")
    path.write_bytes(whole[: len(whole) - cut])
    arena = read_arena(path)
    assert values(arena) == list(range(len(arena)))
    assert 3 <= len(arena) <= 5
    assert any("cut short" in reason for reason in reasons(arena).values())


def test_a_damaged_header_in_the_middle_is_not_taken_for_the_end(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", labelled(5))
    data = bytearray(path.read_bytes())
    at = data.index(b"000003.png")
    data[at + 110] ^= 1
    path.write_bytes(data)
    with tarfile.open(path) as archive:
        assert len(archive.getnames()) == 6  # the library stops there without a word
    arena = read_arena(path)
    assert values(arena) == [0, 1, 2]
    assert reasons(arena) == {"a.tar": f"a damaged header at byte {at:,}: what follows is not read"}


def test_archives_joined_end_to_end(tmp_path: Path) -> None:
    first, second = pack(tmp_path / "a", labelled(2)), pack(tmp_path / "b", labelled(2, 2))
    (tmp_path / "c.tar").write_bytes(first.read_bytes() + second.read_bytes())
    arena = read_arena(tmp_path / "c.tar")
    assert values(arena) == [0, 1]
    assert "after its end mark are not read" in reasons(arena)["c.tar"]


@pytest.mark.parametrize(
    ("content", "match"),
    [
        (b"", "is empty"),
        (b"\x1f\x8b" + bytes(600), "is compressed.*gzip -d"),
        (b"<html>" * 200, "is not a tar archive"),
        (bytes(10240), "without members"),
    ],
)
def test_what_is_no_tar_is_refused(tmp_path: Path, content: bytes, match: str) -> None:
    (tmp_path / "a.tar").write_bytes(content)
    with pytest.raises(InputError, match=match):
        read_arena(tmp_path / "a.tar")
    pack(tmp_path / "b.tar", labelled(2))
    arena = read_arena(tmp_path)  # one of several is a bad item
    assert (len(arena), list(reasons(arena))) == (2, ["a.tar"])


@pytest.mark.parametrize("name", ["a.tar.gz", "a.tgz", "a.tar.zst"])
def test_compressed_shards_are_refused_with_the_mend(tmp_path: Path, name: str) -> None:
    (tmp_path / name).write_bytes(b"\x1f\x8b")
    for source in (tmp_path / name, tmp_path):
        with pytest.raises(InputError, match=r"is compressed.*decompress it first"):
            read_arena(source)


NAMES = st.text(
    st.characters(codec="utf-8", exclude_characters="/\x00", exclude_categories=["C", "Z"]),
    min_size=1,
    max_size=140,
)


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    members=st.lists(st.tuples(NAMES, st.binary(max_size=1500)), min_size=1, max_size=8),
    form=st.sampled_from(sorted(FORMATS)),
)
def test_members_are_those_that_tarfile_finds(
    tmp_path: Path, members: list[tuple[str, bytes]], form: str
) -> None:
    path = tmp_path / "a.tar"
    try:
        pack(path, [(f"d/{name}.png", data) for name, data in members], FORMATS[form])
    except ValueError:  # ustar has no place for long names
        return
    with tarfile.open(path) as archive:
        wanted = [(info.name, info.offset_data, info.size) for info in archive]
    with Archive(path) as archive:
        found = list(archive.members())
        assert [(m.name, m.offset, m.size) for m in found if isinstance(m, Member)] == wanted
        for member, (_, data) in zip(found, members, strict=True):
            assert isinstance(member, Member)
            assert archive.content(member.name, member.offset) == (len(data), None)
            assert archive.read(member.offset, member.size) == data


@settings(max_examples=150, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    changes=st.lists(st.tuples(st.integers(0, 6000), st.integers(0, 255)), max_size=6),
    cut=st.integers(0, 6000),
)
def test_no_bytes_whatever_do_harm(
    tmp_path: Path, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(pack(tmp_path / "a.tar", labelled(3), tarfile.PAX_FORMAT).read_bytes())
    for at, value in changes:
        data[at % len(data)] = value
    (tmp_path / "a.tar").write_bytes(data[: len(data) - cut])
    try:
        with Archive(tmp_path / "a.tar") as archive:
            for member in archive.members():
                if isinstance(member, Member):
                    assert 0 <= member.offset <= member.offset + member.size <= archive.size
                else:
                    assert isinstance(member, Flaw)
        arena = read_arena(tmp_path / "a.tar")
    except InputError:
        return
    for _, read in iter_bytes(arena.images):
        assert isinstance(read, bytes | ImageError)


def test_a_shard_that_changed_after_listing(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", labelled(4))
    arena = read_arena(path)
    pack(path, [("other.png", png(9)), *labelled(4)])
    read = [data for _, data in iter_bytes(arena.images)]
    assert all(isinstance(data, ImageError) and "has changed" in data.reason for data in read)
    path.write_bytes(b"short")
    assert all(isinstance(data, ImageError) for _, data in iter_bytes(arena.images))
    path.unlink()
    assert all(isinstance(data, ImageError) for _, data in iter_bytes(arena.images))
    with pytest.raises(ImageError):
        read_image_bytes(arena.images.to_pylist()[0])


# ---------------------------------------------------------------- which shards


def test_patterns_are_those_of_the_shell() -> None:
    assert [str(path) for path in expand("d/{008..010}.tar")] == [
        "d/008.tar", "d/009.tar", "d/010.tar"
    ]  # fmt: skip
    assert [str(path) for path in expand("{9..11}")] == ["9", "10", "11"]
    assert [str(path) for path in expand("{a,b}-{0..1}.tar")] == [
        "a-0.tar", "a-1.tar", "b-0.tar", "b-1.tar"
    ]  # fmt: skip
    assert [str(path) for path in expand("{2..0}")] == ["2", "1", "0"]
    assert expand("{x}/a{}.tar") == [Path("{x}/a{}.tar")]
    with pytest.raises(UsageError, match="more than 100,000"):
        expand("{0..9999999}-{0..9999999}.tar")


@given(st.integers(0, 400), st.integers(0, 12), st.integers(1, 5))
def test_ranges_count_with_as_many_digits_as_are_written(first: int, more: int, width: int) -> None:
    text = f"s-{{{first:0{width}}..{first + more:0{width}}}}.tar"
    assert [str(path) for path in expand(text)] == [
        f"s-{number:0{width}}.tar" for number in range(first, first + more + 1)
    ]


def test_ways_to_name_shards(tmp_path: Path) -> None:
    for shard in range(3):
        pack(tmp_path / "d" / f"{shard:03}.tar", labelled(4, shard * 4))
    (tmp_path / "d" / "models.csv").write_text("model,family\nm0,f\nm1,f\n")
    for name in ("d", "d/{000..002}.tar", "d/*.tar", "d/{000,001,002}.tar", "*/00[0-2].tar"):
        arena = read_arena(f"{tmp_path}/{name}")
        assert (name, arena.bad, values(arena)) == (name, (), list(range(12)))
        assert column(arena, "item")[4].endswith("001.tar::000004.png")
        assert arena.families == {"m0": "f", "m1": "f"}
    arena = read_arena(f"{tmp_path}/d/{{001..004}}.tar")
    assert values(arena) == list(range(4, 12))
    assert [Path(item).name for item in reasons(arena)] == ["003.tar", "004.tar"]
    for name in ("d/{5..9}.tar", "e/*.tar"):
        with pytest.raises(InputError, match="matches no file"):
            read_arena(f"{tmp_path}/{name}")
    with pytest.raises(InputError, match="of one kind"):
        read_arena(f"{tmp_path}/d/*")


def test_shards_beside_another_manifest_are_not_guessed_at(tmp_path: Path) -> None:
    pack(tmp_path / "a.tar", labelled(1))
    (tmp_path / "list.csv").write_text("path,prompt_id\nx.png,p\n")
    with pytest.raises(InputError, match="more than one manifest"):
        read_arena(tmp_path)


def test_gaps_in_numbered_parts() -> None:
    names = [f"train-{at:05}-of-00004.tar" for at in (0, 3)]
    assert [item.item for item in missing_parts(names)] == [
        "train-00001-of-00004.tar", "train-00002-of-00004.tar"
    ]  # fmt: skip
    assert missing_parts(["a-0-of-9999999.tar", "b.tar"]) == []


# ---------------------------------------------------------------- what is read and held


def test_listing_reads_no_image_and_reading_reads_each_once(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    big = os.urandom(200_000)
    members = []
    for at in range(50):  # 10 MB of images
        members += [(f"{at}.png", big), (f"{at}.json", b'{"prompt": "p", "model": "m"}')]
    path = pack(tmp_path / "a.tar", members)
    reads: list[int] = []
    read = Archive.read

    def counted(self: Archive, offset: int, size: int) -> bytes:
        data = read(self, offset, size)
        reads.append(len(data))
        return data

    monkeypatch.setattr(tar_module.Archive, "read", counted)
    arena = read_arena(path)
    assert len(arena) == 50
    assert sum(reads) < 100 * 512 + 50 * 30 + 20_000
    reads.clear()
    for at, (_, data) in enumerate(iter_bytes(arena.images), 1):
        assert len(data) == len(big)  # type: ignore[arg-type]
        assert sum(reads) == at * (512 + len(big))  # the next one is not read ahead
    assert max(reads) == len(big)
    reads.clear()
    chosen = [31, 4]
    assert [at for at, _ in iter_bytes(arena.take(chosen).images)] == [1, 0]  # storage order
    assert sum(reads) == 2 * (512 + len(big))
    reads.clear()
    (only,) = iter_bytes(arena.images.slice(7, 1), Limits(max_bytes=10))
    assert isinstance(only[1], ImageError)
    assert sum(reads) == 512


def test_shares_of_shards_are_disjoint_and_whole(tmp_path: Path) -> None:
    for shard in range(2):
        pack(tmp_path / f"{shard}.tar", labelled(10, shard * 10))
    images = read_arena(tmp_path).images
    shares = partition(images, 4)
    assert [len(share) for share in shares] == [4, 4, 2, 4, 4, 2]
    assert sorted(at for share in shares for at in share) == list(range(20))


def test_images_by_the_name_they_are_stored_under(tmp_path: Path) -> None:
    path = pack(tmp_path / "a.tar", labelled(4))
    arena = read_arena(path)
    names = ["item", "path", "container", "column", "row"]
    rows = arena.images.select(names).to_pylist()
    stored = [stored_path(*(row[name] for name in names)) for row in rows]
    assert stored[3] == f"{path}::000003.png"
    assert [value_of(read_stored(name)) for name in stored] == [0, 1, 2, 3]
    pack(path, labelled(2))
    os.utime(path, ns=(1, 1))
    with pytest.raises(ImageError, match="no such member"):
        read_stored(stored[3])
    with pytest.raises(ImageError):
        read_stored(str(tmp_path / "none.tar::x.png"))


# ---------------------------------------------------------------- from end to end


def figures(result: dict[str, Any]) -> dict[str, Any]:
    """What an audit found, without where the images lie and how long it took."""
    kept = {name: result[name] for name in ("attacks", "variation", "similarity", "headline")}
    kept["prompts"] = result["prompts"]
    kept["arena"] = {
        name: value
        for name, value in result["arena"].items()
        if name not in ("bad", "duplicates", "near_duplicates", "source", "layout")
    }
    return kept


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def test_an_audit_of_shards_is_that_of_the_folders_they_were_packed_from(
    tmp_path: Path, run: Shell
) -> None:
    root = draw(tmp_path / "arena", MODELS[:3], PROMPTS[:4], 2)
    from_folders(root, tmp_path / "shards", 9)
    options = ("--identifier", "nearest-centroid", "--no-curves", "--quiet", "--json", "-")
    wanted = run("audit", root, "--out", tmp_path / "one", *options)
    found = run(
        "audit", f"{tmp_path}/shards/{{00000..00002}}.tar", "--out", tmp_path / "two", *options
    )
    assert (wanted.code, found.code) == (0, 0)
    assert figures(found.json) == figures(wanted.json)
    assert found.json["arena"]["images"] == 24


def test_embedding_shards_reads_nothing_twice_and_notices_a_change(
    tmp_path: Path, run: Shell
) -> None:
    shards = from_folders(draw(tmp_path / "arena", generations=1), tmp_path / "shards", 10)
    pattern = f"{tmp_path}/shards/*.tar"
    first = run("embed", pattern, "--store", tmp_path / "store", "--json", "-")
    assert (first.code, first.json["encoded"], first.json["reused"]) == (0, 24, 0)
    again = run("embed", pattern, "--store", tmp_path / "store", "--json", "-")
    assert (again.json["encoded"], again.json["reused"]) == (0, 24)
    paths = open_store(tmp_path / "store").table(["path"])["path"].to_pylist()
    assert f"{shards[0]}::000003.png" in paths
    members = []
    with tarfile.open(shards[2]) as archive:
        for info in archive:
            source = archive.extractfile(info)
            assert source is not None
            members.append((info.name, source.read()))
    at = [name for name, _ in members].index("000021.png")
    members[at] = ("000021.png", b"spoilt")
    pack(shards[2], members)
    changed = run("embed", pattern, "--store", tmp_path / "store", "--json", "-")
    assert (changed.code, changed.json["encoded"]) == (1, 0)  # same bytes are known
    assert [item["item"] for item in changed.json["bad"]] == ["00002.tar::000021.png"]
    shutil.rmtree(tmp_path / "shards")
    refused = run.refused("embed", pattern, "--store", tmp_path / "store")
    assert "matches no file" in refused


def test_shards_without_models_can_be_embedded_but_not_audited(tmp_path: Path, run: Shell) -> None:
    members = [part for at in range(4) for part in ((f"{at}.png", png(at)), (f"{at}.txt", b"p"))]
    path = pack(tmp_path / "a.tar", members)
    done = run("embed", path, "--store", tmp_path / "store")
    assert done.code == 0
    assert "every image is anonymous" in done.err
    assert json.dumps(run.refused("audit", path, "--out", tmp_path / "out"))


def test_embed_from_python_takes_a_pattern(tmp_path: Path) -> None:
    pack(tmp_path / "0.tar", labelled(2))
    result = embed(f"{tmp_path}/{{0..0}}.tar", "fingerprint", tmp_path / "store")
    assert (result.images, result.encoded, result.bad) == (2, 2, ())
