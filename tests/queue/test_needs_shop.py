"""Which products are read from the shop: the claim and the stage must agree, or a job is claimed that cannot go on."""

import json
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from blogworker.stages.source import _has_product

pytestmark = pytest.mark.anyio

KEYS = st.sampled_from(["name", "Title", " NAME ", "product_name", "ProductName", "names", "handle", "description", ""])
VALUES = st.sampled_from([None, "", " ", "Mug", 0, 1, False, [], ["Mug"], {}, {"name": "Mug"}])


@settings(max_examples=60, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.dictionaries(KEYS, VALUES, max_size=4))
async def test_the_claim_and_the_stage_agree_on_what_needs_the_shop(passing_psql, data: dict[str, Any]) -> None:
    needs = await passing_psql.value(
        "select needs_shop(g) from jsonb_populate_record(null::blog_generations, %s::jsonb) as g",
        json.dumps({"source_type": "product", "source_data": data}),
    )

    assert needs == (not _has_product(data))
