"""Every request that the pipeline makes, recorded over TCP, is as the provider's public description wants it."""

import pytest

from .conftest import SITE, ClosedBreakers
from .wire import REQUESTS, faults_of

pytestmark = pytest.mark.anyio

BASES = {"openai": "/openai", "replicate": "/replicate", "wix": "/wix"}
OLD_AND_NEW_SHOP = [f"{n}3333333-2222-3333-4444-555555555555" for n in range(4)]


async def until_done(harness) -> None:
    for _ in range(30):
        left = await harness.run("select status, error from blog_generations where status <> 'DONE'")
        if not left:
            return
        assert "FAILED" not in {row["status"] for row in left}, left
        await harness.attempt()
    raise AssertionError(left)


async def test_every_request_has_the_schema_of_its_provider(harness):
    """A pipeline that had to take all of its ways: lost answers, a failed import, both catalogs, a cold model."""
    harness.breakers = ClosedBreakers()
    await harness.room.configure(keep_bodies=True)
    painter = harness.clients.replicate
    painter._settings = painter._settings.model_copy(update={"deadline": 0.5})
    for site in OLD_AND_NEW_SHOP:
        [product, *_] = await harness.room.products(site)
        await harness.add(site, "product", product["id"])
    await harness.run("""update sites set settings = '{"language": "en"}' where instance_id = %s""", SITE)
    await harness.room.fault(vendor="replicate", operation="predictions.create", kind="stuck", times=1)
    await harness.room.fault(vendor="replicate", operation="predictions.create", kind="reset_before", times=1)
    await harness.room.fault(vendor="wix", operation="media.import", kind="import_failed", times=2)
    await harness.room.fault(vendor="wix", operation="drafts.create", kind="reset_before", times=1)

    await until_done(harness)

    seen = set()
    for vendor, shapes in REQUESTS.items():
        for entry in await harness.room.requests(vendor):
            operation, request = entry["operation"], entry.get("request")
            if request is None or (operation == "files.get" and not request["authorized"]):
                continue  # from before they were kept; or Wix fetches it
            seen.add((vendor, operation))
            assert faults_of(shapes[operation], request, base=BASES[vendor]) == [], operation
    assert seen == {(vendor, operation) for vendor, shapes in REQUESTS.items() for operation in shapes}
