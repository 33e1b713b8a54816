"""``whodrew leaks``, ``whodrew.leaks`` and the audit's part of it, from files to figures."""

from __future__ import annotations

import io
import json
import shutil
import subprocess
import sys
import tarfile
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from PIL import Image, PngImagePlugin

import whodrew
from drawn import MODELS, PROMPTS, Shell, draw, pixels, schema, schema_errors
from whodrew.arena import canonical_bytes, decode
from whodrew.arena.sample import BUILT_IN_LEAKS
from whodrew.errors import InputError, UsageError
from whodrew.leaks import Leaks

#: The fields in which each built-in leak of the sample arena shows.
SHOWS_IN = {
    "format WEBP": {"format"},
    "format PNG": {"format"},
    "size 384x272": {"size", "aspect"},
    "size 400x400": {"size"},
    "ICC profile sRGB": {"icc_profile"},
    "PNG text chunk 'parameters'": {"png_text"},
    "EXIF Software 'Lanternfish Studio 3.2'": {"exif"},
    "JPEG quality 85, subsampling 4:2:0": {"jpeg_tables", "jpeg_subsampling"},
}


@pytest.fixture
def shell(capsys: pytest.CaptureFixture[str]) -> Shell:
    return Shell(capsys)


def found_in(arena: Path | str, **more: Any) -> Leaks:
    result = whodrew.leaks(arena, **{"permutations": 999, **more})
    assert isinstance(result, Leaks)
    assert schema_errors("leaks-1", json.loads(json.dumps(result.to_dict()))) == []
    return result


def fields(result: Leaks) -> set[str]:
    return {one.field for one in result.fields}


def values(result: Leaks, field: str) -> dict[str, str]:
    (one,) = [one for one in result.fields if one.field == field]
    return dict(one.example)


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """An arena whose files differ in their pixels alone."""
    return draw(tmp_path_factory.mktemp("leaks") / "arena", prompts=PROMPTS, generations=3)


@pytest.fixture
def copy(plain: Path, tmp_path: Path) -> Path:
    return Path(shutil.copytree(plain, tmp_path / "arena"))


def rewrite(arena: Path, model: str, **options: Any) -> None:
    for file in sorted((arena / model).glob("*/*.png")):
        Image.open(file).save(file, **options)


# ---------------------------------------------------------------- the arenas that are known
def test_the_sample_leaks_exactly_what_was_built_in(sample_arena: Path) -> None:
    result = whodrew.leaks(sample_arena)
    built_in = {leak for leaks in BUILT_IN_LEAKS.values() for leak in leaks}
    assert built_in == set(SHOWS_IN)
    assert fields(result) == set().union(*SHOWS_IN.values())
    # and of each model exactly its own
    common = [model for model, leaks in BUILT_IN_LEAKS.items() if not leaks]
    for one in result.fields:
        usual = {one.example[model] for model in common}
        assert len(usual) == 1
        odd = {model for model, value in one.example.items() if value not in usual}
        wanted = {
            model
            for model, leaks in BUILT_IN_LEAKS.items()
            if any(one.field in SHOWS_IN[leak] for leak in leaks)
        }
        assert odd == wanted, one.field
    # four share a container, six have one of their own
    assert result.accuracy.value == pytest.approx(0.7)
    assert result.accuracy.chance == pytest.approx(0.1)
    assert result.identifies
    assert values(result, "exif")["lanternfish"] == "Software: Lanternfish Studio 3.2"
    assert values(result, "png_text")["cuttlebone"].endswith("parameters/Model: cuttlebone")


def test_modern24_gives_nothing_away(corpora: Path) -> None:
    result = whodrew.leaks(corpora / "modern24")
    assert result.fields == ()
    assert result.accuracy.value == pytest.approx(1 / 24)
    assert not result.identifies
    assert result.byte_size.p_value is not None
    assert result.byte_size.p_value < 0.01  # it depends on the pixels


def test_early3_gives_away_the_compression_level(corpora: Path) -> None:
    result = whodrew.leaks(corpora / "early3")
    assert fields(result) == {"encoder_marks"}
    marks = values(result, "encoder_marks")
    assert marks["glid-3-xl"] == "zlib 78da"
    assert marks["dalle-mini"] == marks["latent-diffusion"] == "zlib 789c"
    assert result.accuracy.value == pytest.approx(2 / 3)


# ---------------------------------------------------------------- one leak at a time
def test_equal_containers_leak_nothing(plain: Path) -> None:
    result = found_in(plain)
    assert result.fields == ()
    assert not result.identifies
    assert result.accuracy.value == pytest.approx(0.25)
    assert (result.images, result.models, result.prompts) == (72, MODELS, 6)
    assert result.exit_code == 0


def test_software_in_a_text_chunk(copy: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "Dunes 2")
    rewrite(copy, "dune", pnginfo=info)
    result = found_in(copy)
    assert fields(result) == {"png_text"}
    assert values(result, "png_text") == {
        "amber": "none",
        "birch": "none",
        "cedar": "none",
        "dune": "Software: Dunes 2",
    }
    assert result.accuracy.value == pytest.approx(0.5)
    (one,) = result.fields
    assert "whodrew defend" in one.mend
    assert "canonical(size=64,quality=85)" in one.mend
    assert "canonical(size=64,quality=85,pad=65536)" in result.byte_size.note


def test_dates_and_numbers_of_every_image_tell_nothing(copy: Path) -> None:
    for at, file in enumerate(sorted(copy.glob("*/*/*.png"))):
        exif = Image.Exif()
        exif[0x0132] = f"2026:01:01 00:{at:02d}:00"
        info = PngImagePlugin.PngInfo()
        info.add_text("id", f"{at * 7919:08x}")
        Image.open(file).save(file, exif=exif, pnginfo=info)
    result = found_in(copy)
    assert result.fields == ()
    assert result.accuracy.value == pytest.approx(0.25)


def test_a_name_of_its_own_is_a_leak_and_the_arenas_labels_are_none(copy: Path) -> None:
    for file in sorted((copy / "birch").glob("*/*.png")):
        file.rename(file.with_name(f"ComfyUI_0000{file.stem}_.png"))
    for file in sorted((copy / "amber").glob("*/*.png")):
        file.rename(file.with_name(f"{int(file.stem) + 1234567}.png"))
    for file in sorted((copy / "cedar").glob("*/*.png")):
        file.rename(file.with_name(f"cedar-{file.parent.name}-{file.stem}.png"))
    result = found_in(copy)
    assert fields(result) == {"file_name_length", "file_name_alphabet", "file_name_ends"}
    for one in result.fields:
        assert {model for model, value in one.example.items() if value != "none"} == {"birch"}


def test_an_odd_spelling_of_the_ending(tmp_path: Path) -> None:
    arena = draw(tmp_path / "a", generations=2, ending={"dune": "jpeg", "amber": "jpg"})
    for model in ("birch", "cedar"):
        shutil.rmtree(arena / model)
    draw(arena, ["birch", "cedar"], generations=2, ending="jpg")
    result = found_in(arena)
    assert fields(result) == {"file_extension"}
    assert values(result, "file_extension")["dune"] == ".jpeg"


def test_a_picture_that_comes_again_and_again(copy: Path) -> None:
    again = sorted((copy / "amber").glob("*/*.png"))
    for file in again[1:]:
        shutil.copy(again[0], file)
    result = found_in(copy)
    assert fields(result) == {"duplicates"}
    assert values(result, "duplicates")["amber"] == "the same file for other prompts"


def marked(arena: Path, model: str, *, blend: bool = False) -> Path:
    mark = np.random.default_rng(9).integers(0, 256, (16, 48, 3)).astype(np.uint8)
    for file in sorted((arena / model).glob("*/*.png")):
        image = np.array(Image.open(file))
        under = image[-16:, -48:]
        image[-16:, -48:] = (mark // 2 + under // 2) if blend else mark
        Image.fromarray(image).save(file)
    return arena


@pytest.fixture(scope="module")
def wide(tmp_path_factory: pytest.TempPathFactory) -> Path:
    prompts = [f"{one}-{turn}" for turn in range(3) for one in PROMPTS]
    return draw(
        tmp_path_factory.mktemp("wide") / "arena", MODELS[:3], prompts, 1, side=160, ending="png"
    )


def test_a_watermark_is_a_constant_region(wide: Path, tmp_path: Path) -> None:
    arena = marked(Path(shutil.copytree(wide, tmp_path / "a")), "cedar")
    result = found_in(arena)
    assert fields(result) == {"constant_regions"}
    shown = values(result, "constant_regions")
    assert shown["amber"] == shown["birch"] == "none"
    assert "bottom right" in shown["cedar"]
    assert "cedar" in shown["cedar"]
    assert result.looked_at == 48
    # it is of the pixels: the container still gives nothing away
    assert not result.identifies
    assert result.accuracy.value == pytest.approx(1 / 3)


def test_a_watermark_survives_jpeg_and_other_sizes_of_the_image(wide: Path, tmp_path: Path) -> None:
    arena = marked(Path(shutil.copytree(wide, tmp_path / "a")), "cedar")
    for file in sorted(arena.glob("*/*/*.png")):
        Image.open(file).save(file.with_suffix(".jpg"), quality=85)
        file.unlink()
    assert fields(found_in(arena)) == {"constant_regions"}


def test_no_watermark_is_no_region_and_one_that_all_share_tells_nothing(
    wide: Path, tmp_path: Path
) -> None:
    assert found_in(wide).fields == ()
    arena = Path(shutil.copytree(wide, tmp_path / "a"))
    for model in MODELS[:3]:
        marked(arena, model)
    assert found_in(arena).fields == ()


def test_few_prompts_are_not_searched_for_regions_and_that_is_said(plain: Path) -> None:
    result = found_in(plain)
    assert result.looked_at == 0
    assert any("constant regions were not looked for" in note for note in result.notes)


def test_nothing_is_left_of_the_canonical_form(tmp_path: Path) -> None:
    ending = {"dune": "webp", "birch": "jpg"}
    arena = draw(tmp_path / "a", generations=2, side={"amber": 96}, ending=ending)
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "Cedars")
    rewrite(arena, "cedar", pnginfo=info)
    before = found_in(arena)
    assert {"format", "size", "png_text"} <= fields(before)
    assert before.accuracy.value == pytest.approx(1.0)
    for file in sorted(arena.glob("*/*/*.*")):
        data = canonical_bytes(decode(file.read_bytes()), 64)
        file.unlink()
        file.with_suffix(".jpg").write_bytes(data)
    after = found_in(arena)
    assert after.fields == ()
    assert after.accuracy.value == pytest.approx(0.25)


# ---------------------------------------------------------------- layouts
def test_parquet_and_shards_say_the_same_as_the_folder(copy: Path, tmp_path: Path) -> None:
    info = PngImagePlugin.PngInfo()
    info.add_text("Software", "Dunes 2")
    rewrite(copy, "dune", pnginfo=info)
    wanted = found_in(copy).to_dict()
    files = sorted(copy.glob("*/*/*.png"))
    rows = [
        {
            "model": file.parts[-3],
            "prompt_id": file.parts[-2],
            "seed": file.stem,
            "image": {"bytes": file.read_bytes(), "path": None},
        }
        for file in files
    ]
    table = tmp_path / "arena.parquet"
    pq.write_table(pa.Table.from_pylist(rows), table, row_group_size=10)
    shard = tmp_path / "00000.tar"
    with tarfile.open(shard, "w") as archive:
        for at, file in enumerate(files):
            label = {"model": file.parts[-3], "prompt_id": file.parts[-2]}
            for name, data in (
                (f"{at:06d}.png", file.read_bytes()),
                (f"{at:06d}.json", json.dumps(label).encode()),
            ):
                member = tarfile.TarInfo(name)
                member.size = len(data)
                archive.addfile(member, io.BytesIO(data))
    manifest = copy / "metadata.csv"
    lines = [f"{file.relative_to(copy)},{file.parts[-3]},{file.parts[-2]}" for file in files]
    manifest.write_text("\n".join(["file_name,model,prompt_id", *lines]) + "\n")
    for arena in (table, shard, manifest):
        found = found_in(arena).to_dict()
        for name in ("accuracy_from_container", "fields", "byte_size", "images", "models"):
            assert found[name] == wanted[name], (arena.name, name)


def test_threads_and_order_change_nothing(copy: Path) -> None:
    rewrite(copy, "dune", compress_level=9)
    assert found_in(copy, workers=1).to_dict() == found_in(copy, workers=4).to_dict()


def test_images_without_a_model_take_no_part(tmp_path: Path) -> None:
    lines = ["file_name,model,prompt_id"]
    for model in MODELS[:2]:
        for prompt in PROMPTS:
            for seed in range(3):
                name = f"{model}-{prompt}-{seed}.png"
                Image.fromarray(pixels(model, prompt, seed)).save(tmp_path / name)
                lines.append(f"{name},{model if seed else ''},{prompt}")
    (tmp_path / "metadata.csv").write_text("\n".join(lines) + "\n")
    result = found_in(tmp_path / "metadata.csv")
    assert (result.images, result.anonymous) == (24, 12)


# ---------------------------------------------------------------- what cannot be had
def test_bad_files_are_named_and_counted(shell: Shell, copy: Path) -> None:
    (copy / "amber" / "cat" / "0.png").write_bytes(b"<html>")
    (copy / "amber" / "cat" / "1.png").write_bytes(b"")
    ran = shell("leaks", copy, "--json", "-", "--permutations", 199)
    assert ran.code == 1
    assert len(ran.json["bad"]) == 2
    assert ran.json["images"] == 70
    assert "bad: amber/cat/0.png: an HTML page" in ran.err


def test_one_prompt_has_no_accuracy_and_says_why(tmp_path: Path) -> None:
    arena = draw(tmp_path / "a", prompts=PROMPTS[:1], generations=6, ending={"dune": "webp"})
    result = found_in(arena)
    values = result.to_dict()
    assert values["accuracy_from_container"] is None
    assert "prompt" in values["accuracy_from_container_reason"]
    # a cell is one proof, and these few cannot be significant
    assert fields(result) == set()
    assert any("ways, too few" in note for note in result.notes)


def test_too_few_orders_are_said(tmp_path: Path) -> None:
    arena = draw(tmp_path / "a", MODELS[:2], PROMPTS[:3], 1, ending={"birch": "webp"})
    result = found_in(arena)
    assert result.fields == ()
    assert any("only 8 ways" in note for note in result.notes)


def test_a_store_is_refused_with_the_mend(shell: Shell, plain: Path, tmp_path: Path) -> None:
    assert shell("embed", plain, "--store", tmp_path / "store", "--quiet").code == 0
    ran = shell("leaks", tmp_path / "store")
    assert ran.code == 2
    assert "embedding store" in ran.error
    assert "give the arena" in ran.error


@pytest.mark.parametrize(
    ("more", "kind"),
    [({"permutations": 10}, UsageError), ({"seed": -1}, UsageError), ({"layout": "x"}, UsageError)],
)
def test_arguments_out_of_range(plain: Path, more: dict[str, Any], kind: type[Exception]) -> None:
    with pytest.raises(kind):
        whodrew.leaks(plain, **more)


def test_one_model_or_nothing_readable_is_refused(tmp_path: Path) -> None:
    arena = draw(tmp_path / "a", MODELS[:1], PROMPTS[:2], 1)
    with pytest.raises(InputError, match="at least 2"):
        whodrew.leaks(arena)
    other = draw(tmp_path / "b", MODELS[:2], PROMPTS[:2], 1)
    for file in (other / "birch").glob("*/*.png"):
        file.write_bytes(b"GIF89a")
    with pytest.raises(InputError, match=r"2 .*first of 2.*GIF"):
        whodrew.leaks(other)


# ---------------------------------------------------------------- the command
def test_what_people_and_programs_get(shell: Shell, copy: Path) -> None:
    rewrite(copy, "dune", compress_level=9)
    ran = shell("leaks", copy, "--json", "-")
    assert ran.code == 0
    assert schema_errors("leaks-1", ran.json) == []
    assert [one["field"] for one in ran.json["fields"]] == ["encoder_marks"]
    for words in ("marks of the encoder", "zlib 78da (dune)", "names the model of", "mend: "):
        assert words in ran.err
    quiet = shell("leaks", copy, "--quiet", "--json", "-")
    assert quiet.err == ""
    assert quiet.json == ran.json


def test_the_table_has_a_row_a_model_and_field(copy: Path) -> None:
    rewrite(copy, "dune", compress_level=9)
    table = found_in(copy).to_table()
    assert table.num_rows == 4
    assert set(table["field"].to_pylist()) == {"encoder_marks"}
    assert found_in(copy / ".." / "arena").to_table().schema == table.schema


def test_hostile_names_and_values_stay_text(shell: Shell, tmp_path: Path) -> None:
    arena = draw(tmp_path / "a", MODELS[:2], PROMPTS, 2)
    info = PngImagePlugin.PngInfo()
    info.add_text("x", "\x1b[31m[bold]</script><script>alert(1)</script>")
    rewrite(arena, "birch", pnginfo=info)
    ran = shell("leaks", arena, "--json", "-", "--permutations", 999)
    assert "\x1b" not in ran.err
    assert "\x1b" not in ran.out


def test_calling_the_package_and_importing_it() -> None:
    code = "import whodrew; from whodrew.leaks import leaks; print(callable(whodrew.leaks))"
    ran = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert ran.stdout.strip() == "True"


# ---------------------------------------------------------------- in the audit
WORDS = ("--no-curves", "--json", "-", "--knowledge", "other", "--shown", "any", "--quiet")


def test_an_audit_says_first_that_files_tell(shell: Shell, copy: Path, tmp_path: Path) -> None:
    rewrite(copy, "dune", compress_level=9)  # size and format are the same
    found = shell("audit", copy, "--out", tmp_path / "out", *WORDS).json
    assert schema_errors("audit-1", found) == []
    assert [one["field"] for one in found["leaks"]["fields"]] == ["encoder_marks"]
    assert found["container"]["differs"] is False
    assert found["canonical"] == 64
    assert [one["canonical"] for one in found["attacks"]] == [64] * 3 + [None] * 3
    sentence = found["headline"]["sentence"]
    assert sentence.startswith("Files differ between models (marks of the encoder): without a")
    assert {"container_alone", "as_served", "shown_any"} <= set(found["headline"]["figures"])
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "What the files give away" in page
    assert "zlib 78da" in page
    alone = shell("leaks", copy, "--json", "-", "--quiet").json
    assert {**alone, "source": ""} == {**found["leaks"], "source": ""}


def test_an_audit_of_equal_files_says_so_in_one_line(
    shell: Shell, plain: Path, tmp_path: Path
) -> None:
    found = shell("audit", plain, "--out", tmp_path / "out", *WORDS).json
    assert found["canonical"] is None
    assert found["leaks"]["fields"] == []
    assert "names of the files tell models apart nowhere" in found["headline"]["sentence"]
    page = (tmp_path / "out" / "report.html").read_text("utf-8")
    assert "No field of the files tells models apart" in page
    stored = shell("audit", tmp_path / "out" / "store", "--out", tmp_path / "b", *WORDS)
    assert stored.code == 2  # a folder of stores is none
    store = tmp_path / "out" / "store" / "fingerprint"
    found = shell("audit", store, "--out", tmp_path / "b", *WORDS).json
    assert schema_errors("audit-1", found) == []
    assert found["leaks"] is None
    assert "embeddings" in found["leaks_reason"]


def test_the_schema_of_the_audit_holds_that_of_leaks() -> None:
    for name, definition in schema("leaks-1")["$defs"].items():
        assert schema("audit-1")["$defs"][name] == definition


def test_a_sibling_of_early3_shows_the_canonical_figures_first(
    shell: Shell, corpora: Path, tmp_path: Path
) -> None:
    arena = tmp_path / "early"
    for model in sorted(one for one in (corpora / "early3").iterdir() if one.is_dir()):
        for prompt in sorted(model.iterdir())[:6]:
            shutil.copytree(prompt, arena / model.name / prompt.name)
    found = shell("audit", arena, "--out", tmp_path / "out", *WORDS).json
    assert found["canonical"] == 256
    assert found["headline"]["sentence"].startswith("Files differ between models")
