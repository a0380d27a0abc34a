"""Pictures of broken or malicious servers."""

import pytest
from anyio import sleep

from blogworker.errors import Unsent
from blogworker.providers.replicate import UnusablePicture

from .every_call import CALLS, JPEG, SECRET, ends
from .hostile import Write, answer

pytestmark = [pytest.mark.anyio, pytest.mark.usefixtures("no_proxies")]


async def test_a_picture_of_another_origin_is_fetched_without_the_token(hostile, elsewhere):
    """Another port of the same host is another's server."""
    elsewhere.at["*"] = answer(JPEG)

    async with CALLS["replicate"].opened(hostile.url) as client:
        assert await client.download(f"{elsewhere.url}/a.jpg") == JPEG

    assert "authorization" not in elsewhere.heard[0].headers
    assert SECRET not in str(elsewhere.heard)


@pytest.mark.parametrize(("hops", "follows"), [(1, True), (3, True), (4, False)])
async def test_a_picture_is_followed_through_a_few_redirects_within_its_origin(hops, follows, hostile):
    for hop in range(hops):
        hostile.at[f"/{hop}"] = answer(b"", "302 Found", location=f"/{hop + 1}")
    hostile.at[f"/{hops}"] = answer(JPEG)

    async with CALLS["replicate"].opened(hostile.url) as client:
        if follows:
            assert await client.download(f"{hostile.url}/0") == JPEG
        else:
            with pytest.raises(UnusablePicture, match="redirects"):
                await client.download(f"{hostile.url}/0")


async def test_a_picture_is_not_followed_to_another_origin(hostile, elsewhere):
    hostile.at["*"] = answer(b"", "302 Found", location=elsewhere.url)

    async with CALLS["replicate"].opened(hostile.url) as client:
        with pytest.raises(UnusablePicture, match="not followed"):
            await client.download(f"{hostile.url}/a.jpg")

    assert not elsewhere.connections


async def test_a_picture_that_is_too_large_is_not_read_to_its_end():
    async def boasting(write: Write) -> None:
        await write(b"HTTP/1.1 200 OK\r\ncontent-length: 99999999999\r\n\r\n")
        await sleep(60)

    found = await ends(boasting, ["replicate file"], timeout=30)

    assert found.kinds() == {UnusablePicture}
    assert found.errors["replicate file"].code == "too_large"


@pytest.mark.parametrize("url", ["http://pictures.example/a.jpg", "https://10.0.0.7/a.jpg", "https://[fe80::1]/a.jpg",
    "https://metadata.internal/a.jpg", "https://u:p@pictures.example/a.jpg", "ftp://pictures.example/a.jpg",
    "https://", "https://[", "a.jpg"])  # fmt: skip
async def test_an_address_that_our_policy_refuses_is_an_unusable_picture(hostile, url):
    """The provider can be reached: its breaker must stay closed, and another picture can help."""
    async with CALLS["replicate"].opened(hostile.url) as client:
        with pytest.raises(UnusablePicture) as raised:
            await client.download(url)

    assert raised.value.code == "address"
    assert not hostile.connections


async def test_a_provider_that_cannot_be_reached_is_not_an_unusable_picture(hostile):
    async with CALLS["replicate"].opened(hostile.url) as client:
        with pytest.raises(Unsent):
            await client.download("http://127.0.0.1:9/a.jpg")
