"""A cover whose file the site no longer has: its owner may delete it, and imports end after their time."""

import pytest

from .conftest import SITE
from .what_goes_wrong import CREATE, shown

pytestmark = pytest.mark.anyio

REFUSALS = [
    {"message": "File not found"},
    {"message": "draftPost.media.wixMedia.image.id: no such image"},
    {"message": "no", "details": {"applicationError": {"code": "MEDIA_NOT_FOUND"}}},
    {"message": "bad", "details": {"validationError": {"fieldViolations": [{"field": "draftPost.heroImage.id"}]}}},
]


@pytest.fixture
async def made(harness):
    """A blog whose cover is on the site, but whose draft is not."""
    await harness.room.fault(vendor="wix", operation=CREATE, kind="status", status=503, times=1)
    assert (await harness.attempt())["status"] == "PENDING"
    assert "publish.media" in await harness.checkpoints()
    return harness


async def test_the_file_of_an_earlier_attempt_is_used_and_not_imported_again(made):
    """What was stored when the file was created is enough to find it: that it became READY is read again."""
    before = (await made.checkpoints())["publish.media"]["id"]

    assert (await made.attempt())["status"] == "DONE"

    assert await made.calls("wix", "media.import") == 1
    assert (await made.checkpoints())["publish.draft"]["media_id"] == before
    assert (await made.room.posts(SITE))[0]["coverVisible"]


async def test_a_pending_file_that_was_deleted_is_imported_again(made):
    await made.run(
        'update generation_stages set output = output || \'{"id": "gone", "status": "PENDING"}\' '
        "where stage = 'publish.media'"
    )

    assert (await made.attempt())["status"] == "DONE"

    assert await made.calls("wix", "media.import") == 2
    assert (await made.room.posts(SITE))[0]["coverVisible"]


@pytest.mark.parametrize("body", REFUSALS, ids=str)
@pytest.mark.parametrize("status", [400, 404])
async def test_a_post_whose_cover_is_refused_gets_another_file(made, body, status, capsys):
    await made.room.fault(vendor="wix", operation=CREATE, kind="status", status=status, body=body, times=1)
    before = (await made.checkpoints())["publish.media"]["id"]

    job = await made.attempt()

    assert (job["status"], await shown(made)) == ("DONE", 1)
    [post] = await made.room.posts(SITE)
    saved = await made.checkpoints()
    assert post["coverVisible"]
    assert post["cover"] == saved["publish.media"]["id"] == saved["publish.draft"]["media_id"] != before
    assert "cover_replaced" in capsys.readouterr().out


async def test_a_post_whose_new_cover_is_refused_too_is_published_without(made):
    """The text is paid for, and a retry would be refused for ever."""
    await made.room.fault(vendor="wix", operation=CREATE, kind="status", status=400, body=REFUSALS[0], times=2)

    assert (await made.attempt())["status"] == "DONE"

    [post] = await made.room.posts(SITE)
    assert post["cover"] is None
    assert (await made.checkpoints())["publish.draft"].get("media_id") is None


async def test_a_post_that_is_refused_without_a_cover_too_fails(made):
    await made.room.fault(vendor="wix", operation=CREATE, kind="status", status=400, body=REFUSALS[0])

    assert (await made.attempt())["status"] == "FAILED"
    assert await made.calls("wix", CREATE) == 4  # with the old, the new and no cover, after the first attempt
