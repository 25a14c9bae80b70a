"""Every wrong or unusual picture: one line of error, or an upright RGB image."""

from __future__ import annotations

import io
import struct
import zlib
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from commands import fault
from openmova.errors import UserError
from openmova.images.opening import ImageLimits, load_image

RED, GREEN, BLUE, WHITE = (255, 0, 0), (0, 255, 0), (0, 0, 255), (255, 255, 255)


def picture(size: tuple[int, int] = (12, 8)) -> Image.Image:
    """Four flat quarters, so that any turn or flip shows: red, green / blue, white."""
    image = Image.new("RGB", size, RED)
    width, height = size
    image.paste(GREEN, (width // 2, 0, width, height // 2))
    image.paste(BLUE, (0, height // 2, width // 2, height))
    image.paste(WHITE, (width // 2, height // 2, width, height))
    return image


def encoded(image: Image.Image, format: str = "PNG", **options: object) -> bytes:
    file = io.BytesIO()
    image.save(file, format=format, **options)
    return file.getvalue()


def png_header(width: int, height: int) -> bytes:
    """A PNG that only claims its size: what a decompression bomb looks like before decoding."""

    def chunk(kind: bytes, data: bytes) -> bytes:
        check = struct.pack(">I", zlib.crc32(kind + data))
        return struct.pack(">I", len(data)) + kind + data + check

    header = struct.pack(">IIBBBBB", width, height, 8, 2, 0, 0, 0)
    rows = zlib.compress(bytes(1000))
    parts = (chunk(b"IHDR", header), chunk(b"IDAT", rows), chunk(b"IEND", b""))
    return b"\x89PNG\r\n\x1a\n" + b"".join(parts)


def told(source: object, *limits: ImageLimits) -> str:
    """The one line that the user reads."""
    message = fault(load_image, source, *limits)
    assert len(message) < 300
    return message


@pytest.mark.parametrize("kind", ["path", "str", "bytes", "file", "image", "array", "planes"])
def test_every_kind_of_source_gives_the_same_picture(tmp_path: Path, kind: str) -> None:
    data = encoded(picture())
    path = tmp_path / "picture.png"
    path.write_bytes(data)
    source = {
        "path": path,
        "str": str(path),
        "bytes": data,
        "file": io.BytesIO(data),
        "image": Image.open(path),
        "array": np.asarray(picture()),
        "planes": np.asarray(picture()).transpose(2, 0, 1),
    }[kind]
    image = load_image(source)
    assert image.mode == "RGB"
    assert image.tobytes() == picture().tobytes()


def test_the_given_image_is_left_as_it_is() -> None:
    given_image = picture()
    load_image(given_image).paste(BLUE, (0, 0, 12, 8))
    assert given_image.tobytes() == picture().tobytes()


def closed_file() -> io.BytesIO:
    file = io.BytesIO(encoded(picture()))
    file.close()
    return file


@pytest.mark.parametrize(
    ("source", "words"),
    [
        ("no/such.png", "there is no file 'no/such.png'"),
        ("", "there is no file ''"),
        (".", "is a folder"),
        (b"", "is empty"),
        ("https://example.org/a", "is a URL: download it"),
        ("FILE:///a.png", "is a URL: download it"),
        ("data:image/png", "is a URL: download it"),
        ("a\0b.png", "cannot read"),
        ("x" * 5000, "cannot read"),
        ("two\nlines.png", "there is no file"),
        (b"%!PS-Adobe-3.0 EPSF-3.0\n%%BoundingBox: 0 0 9 9\nshowpage\n", "known format"),
        (io.StringIO("text"), "mode 'rb'"),
        (closed_file(), "open it again"),
        (7, "not int"),
        *(
            (array, "is no picture: give uint8 [height, width, 3]")
            for array in (
                np.zeros((4, 5, 3)),
                np.zeros((5, 5, 6), np.uint8),
                np.zeros((1, 4, 5, 3), np.uint8),
                np.zeros((), np.uint8),
                np.array([["a"]]),
            )
        ),
        (encoded(Image.new("L", (50_000, 1))), "too large (50000x1)"),
        *((png_header(side, side), "is too large") for side in (10_000, 60_000, 2**31 - 1)),
        (Image.new("RGB", (0, 5)), "no pixels"),
    ],
    ids=lambda value: repr(value)[:30].split(" object at")[0],
)
def test_what_is_no_picture_or_too_large_a_one(source: object, words: str) -> None:
    assert words in told(source)


def test_files_that_are_only_called_so(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "notes.png"
    for content, words in (("not a picture\n", "in a known format"), ("", "is empty")):
        path.write_text(content)
        assert words in told(path)

    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr("builtins.open", refuse)
    assert "no permission to read 'secret.png'" in told("secret.png")


def test_limits_of_who_asks(tmp_path: Path) -> None:
    path = tmp_path / "big.bmp"
    path.write_bytes(encoded(picture((100, 100)), "BMP"))
    assert "is over 0.01 MB" in told(path, ImageLimits(file_bytes=10_000))
    assert "is over" in told("/dev/zero", ImageLimits(file_bytes=1000))
    assert "too large (12x8)" in told(picture(), ImageLimits(side=10))


@pytest.mark.parametrize("format", ["PNG", "JPEG", "GIF", "WEBP", "BMP", "TIFF"])
@pytest.mark.parametrize("share", [0.1, 0.5, 0.8])
def test_a_file_that_is_cut_off_says_so(format: str, share: float) -> None:
    noise = np.random.default_rng(0).integers(0, 256, (64, 64, 3), dtype=np.uint8)
    data = encoded(Image.fromarray(noise), format)
    words = told(data[: int(len(data) * share)])
    assert "is damaged or cut off" in words or "known format" in words


class TestUnusualButFine:
    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            (np.array([0, 257, 32896, 65535], np.uint16), [0, 1, 128, 255]),
            (np.array([0, 257, 65535], np.int32), [0, 1, 255]),
            (np.array([0.0, 0.5, 1.0], np.float32), [0, 128, 255]),
            (np.array([-1.0, 0.0, 1.0], np.float32), [0, 128, 255]),
            (np.array([10.0, 10.0], np.float32), [0, 0]),
            (np.array([float("nan"), 0.0, 1.0], np.float32), [0, 0, 255]),
            (np.array([7], np.uint8), [7]),
        ],
    )
    def test_greys_of_any_depth_are_scaled(self, values: np.ndarray, expected: list[int]) -> None:
        image = Image.fromarray(values[None])
        files = ("PNG", "TIFF") if values.dtype == np.uint16 else ()
        for source in (image, values[None], *(encoded(image, format) for format in files)):
            loaded = load_image(source)
            assert loaded.size == (len(values), 1)
            found = [loaded.getpixel((x, 0)) for x in range(len(values))]
            assert found == [(grey,) * 3 for grey in expected]

    def test_16_bit_pgm(self) -> None:
        image = load_image(b"P5 2 1 65535\n" + struct.pack(">HH", 65535, 257))
        assert [image.getpixel((x, 0)) for x in range(2)] == [(255,) * 3, (1,) * 3]

    @pytest.mark.parametrize("format", ["GIF", "WEBP", "PNG", "TIFF", "AVIF"])
    def test_animation_gives_its_first_frame(self, format: str) -> None:
        frames = [Image.new("RGB", (16, 16), color) for color in (RED, GREEN, BLUE)]
        lossless = {"lossless": True} if format == "WEBP" else {}
        data = encoded(frames[0], format, save_all=True, append_images=frames[1:], **lossless)
        color = np.array(load_image(data).getpixel((8, 8)))
        assert np.abs(color - RED).max() <= 3

    def test_cmyk_and_one_bit(self) -> None:
        data = encoded(picture((64, 64)).convert("CMYK"), "JPEG", quality=100)
        assert np.abs(np.array(load_image(data).getpixel((8, 8))) - RED).max() <= 3
        image = Image.new("1", (2, 1))
        image.putpixel((1, 0), 1)
        loaded = load_image(encoded(image))
        assert (loaded.getpixel((0, 0)), loaded.getpixel((1, 0))) == ((0, 0, 0), WHITE)

    @pytest.mark.parametrize("mode", ["RGBA", "LA", "P"])
    def test_transparency_is_laid_on_white(self, mode: str) -> None:
        clear = Image.new("RGBA", (8, 8), (0, 0, 0, 0))
        clear.paste((0, 0, 0, 255), (4, 0, 8, 8))
        image = load_image(encoded(clear.quantize() if mode == "P" else clear.convert(mode)))
        assert image.getpixel((0, 0)) == WHITE
        assert image.getpixel((7, 0)) == (0, 0, 0)

    def test_transparent_and_half_transparent_colors_are_mixed_with_white(self) -> None:
        image = Image.new("P", (4, 4), 0)
        image.putpalette([0, 0, 0, 255, 0, 0])
        image.putpixel((3, 3), 1)
        loaded = load_image(encoded(image, "GIF", transparency=0))
        assert (loaded.getpixel((0, 0)), loaded.getpixel((3, 3))) == (WHITE, RED)
        half = load_image(encoded(Image.new("RGBA", (2, 2), (255, 0, 0, 128))))
        assert half.getpixel((0, 0)) == (255, 127, 127)

    @pytest.mark.parametrize("mode", ["YCbCr", "HSV", "LAB", "RGBX", "I;16B", "RGBa", "PA"])
    def test_every_other_mode(self, mode: str) -> None:
        assert load_image(Image.new(mode, (3, 2))).mode == "RGB"

    @pytest.mark.parametrize("format", ["JPEG", "PNG", "WEBP", "TIFF"])
    @pytest.mark.parametrize("orientation", range(1, 9))
    def test_exif_orientation_is_honoured(self, format: str, orientation: int) -> None:
        stored_as = {  # EXIF's definition, written the other way round: how a camera stores it
            1: None,
            2: Image.Transpose.FLIP_LEFT_RIGHT,
            3: Image.Transpose.ROTATE_180,
            4: Image.Transpose.FLIP_TOP_BOTTOM,
            5: Image.Transpose.TRANSPOSE,
            6: Image.Transpose.ROTATE_90,
            7: Image.Transpose.TRANSVERSE,
            8: Image.Transpose.ROTATE_270,
        }[orientation]
        upright = picture((48, 32))
        stored = upright if stored_as is None else upright.transpose(stored_as)
        exif = Image.Exif()
        exif[0x0112] = orientation
        options = {"JPEG": {"quality": 100, "subsampling": 0}, "WEBP": {"lossless": True}}
        data = encoded(stored, format, exif=exif, **options.get(format, {}))
        loaded = load_image(data)
        assert loaded.size == upright.size
        difference = np.asarray(loaded).astype(int) - np.asarray(upright)
        assert np.abs(difference).max() <= 4

    @pytest.mark.parametrize("exif", [b"Exif\0\0garbage", b"Exif\0\0II*\0\x08\0\0\0\xff\xff"])
    def test_broken_metadata_does_not_spoil_the_picture(self, exif: bytes) -> None:
        assert load_image(encoded(picture(), "JPEG", exif=exif)).size == (12, 8)


SMALL = ImageLimits(file_bytes=100_000, pixels=250_000, side=1000)
SEEDS = [encoded(picture((24, 16)), format) for format in ("PNG", "JPEG", "GIF", "WEBP", "TIFF")]
SEEDS += [encoded(picture((24, 16)).quantize()), png_header(9, 9), b"P5 2 1 65535\n\1\2\3\4"]


@st.composite
def mutated(draw: st.DrawFn) -> bytes:
    """A real picture's bytes with some overwritten, cut out, repeated or put in."""
    data = bytearray(draw(st.sampled_from(SEEDS)))
    for _ in range(draw(st.integers(1, 8))):
        at = draw(st.integers(0, len(data)))
        length = draw(st.integers(0, 12))
        data[at : at + length] = draw(st.binary(max_size=12))
    return bytes(data)


@settings(deadline=None, max_examples=400)
@given(st.one_of(st.binary(max_size=200), mutated()))
def test_no_bytes_raise_anything_but_a_user_error(data: bytes) -> None:
    try:
        image = load_image(data, SMALL)
    except UserError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert image.mode == "RGB"
