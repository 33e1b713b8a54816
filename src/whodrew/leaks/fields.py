"""The fields of a container: what each is called, and how it is mended."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

CANONICAL: Final = "whodrew defend ARENA --defence 'canonical(size={size},quality=85)' --out DIR"
_WRITE: Final = "write every image anew in one form: " + CANONICAL
_STRIP: Final = "strip all metadata, as every defence does: " + CANONICAL
_NAME: Final = (
    "serve images under random names that are new for every battle; what a defence writes has "
    "names of one pattern: " + CANONICAL
)


@dataclass(frozen=True)
class Field:
    """One field of a container.

    Attributes:
        name: as it stands in the result.
        what: in words.
        mend: what an operator does about it; ``{size}`` stands for a side in pixels.
        within_format: whether it means something only among files of one format; its
            information then is what it adds to the format.
        in_container: whether it is of the container; watermarks are pixels.
        classified: whether a classifier of containers sees it: not where even being there
            depends on the pixels.
    """

    name: str
    what: str
    mend: str
    within_format: bool = False
    in_container: bool = True
    classified: bool = True


FIELDS: Final[tuple[Field, ...]] = (
    Field("format", "file format", _WRITE),
    Field("size", "width and height in pixels", _WRITE),
    Field("aspect", "aspect ratio", _WRITE),
    Field("bit_depth", "colours and bits a channel", _WRITE),
    Field("exif", "EXIF tags", _STRIP),
    Field("xmp", "XMP packet", _STRIP),
    Field("iptc", "IPTC data", _STRIP),
    Field("png_text", "PNG text chunks", _STRIP),
    Field("comment", "comment in the file", _STRIP),
    Field("c2pa", "C2PA manifest (Content Credentials)", _STRIP),
    Field("icc_profile", "ICC colour profile", _STRIP),
    Field("jpeg_tables", "JPEG quantisation tables (quality)", _WRITE, within_format=True),
    Field("jpeg_subsampling", "JPEG chroma subsampling", _WRITE, within_format=True),
    Field("jpeg_coding", "JPEG coding (progressive, Huffman tables)", _WRITE, within_format=True),
    Field("encoder_marks", "marks of the encoder", _WRITE, within_format=True),
    Field("png_pieces", "pieces of the PNG stream", _WRITE, within_format=True, classified=False),
    Field("file_extension", "spelling of the file's ending", _NAME, within_format=True),
    Field("file_name_length", "length of the file name", _NAME),
    Field("file_name_alphabet", "alphabet of the file name", _NAME),
    Field("file_name_ends", "first and last word of the file name", _NAME),
    Field(
        "duplicates",
        "files that are byte for byte the same as another",
        "leave repeated files out, or draw them again: a voter who has seen one knows the next",
    ),
    Field(
        "constant_regions",
        "pixels that stay the same across a model's images (watermarks, borders)",
        "have the provider leave the mark out, or crop it away before anything else: "
        "canonical(...) resizes what is there and does not remove it",
        in_container=False,
        classified=False,
    ),
)
BY_NAME: Final = {field.name: field for field in FIELDS}
BYTE_SIZE: Final = (
    "depends on the pixels as well as on the container, and stands apart for that: in neither "
    "the fields nor the accuracy. Mend: "
    "whodrew defend ARENA --defence 'canonical(size={size},quality=85,pad=65536)' --out DIR"
)
