"""The format and size of a picture, read from its bytes."""

import io

import pytest
from PIL import Image

from blogworker.providers.picture import jpeg_size, picture_type


def drawn(form: str, size: tuple[int, int], **options: object) -> bytes:
    file = io.BytesIO()
    Image.new("RGB", size, "teal").save(file, form, **options)
    return file.getvalue()


@pytest.mark.parametrize("options", [{}, {"progressive": True}, {"comment": b"x" * 60_000}, {"dpi": (300, 300)}])
@pytest.mark.parametrize("size", [(1344, 768), (1, 1), (300, 5_000)])
def test_the_size_of_a_jpeg_is_read_from_its_header(size, options):
    assert jpeg_size(drawn("JPEG", size, **options)) == size


@pytest.mark.parametrize("data", [b"", b"\xff\xd8\xff", b"\xff\xd8\xff\xe0", b"<svg/>", b"\xff\xd8\xff" + bytes(99)])
def test_a_truncated_or_other_file_has_no_size(data):
    assert jpeg_size(data) is None
    assert jpeg_size(drawn("PNG", (64, 36))) is None


def test_a_jpeg_cut_anywhere_is_never_an_error():
    data = drawn("JPEG", (64, 36))

    assert {jpeg_size(data[:length]) for length in range(len(data))} <= {None, (64, 36)}


def test_pictures_are_known_by_their_first_bytes():
    assert picture_type(drawn("JPEG", (8, 8))) == "image/jpeg"
    assert picture_type(drawn("PNG", (8, 8))) == "image/png"
    assert picture_type(b"<svg/>") is None
    assert picture_type(drawn("WEBP", (8, 8))) == "image/webp"
