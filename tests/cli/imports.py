"""Files that a producer gives to `blogworker enqueue`."""

import json
from collections.abc import Callable
from typing import Any

WIX_EXPORT = """handleId,fieldType,name,description,price,visible
mug,Product,Low Water Mug,A mug.,26.00,true
bowl,Product,Tide Bowl,A bowl.,31.00,true
hidden,Product,Kiln Brick,A brick.,1.00,false
"""
SHOPIFY_EXPORT = """Handle,Title,Body (HTML),Vendor,Tags,Variant Price,Image Src,Status
mug,Low Water Mug,<p>A mug.</p>,Tidewrack,"mug, tea",26.00,https://shop.example/mug.jpg,active
mug,,,,,28.00,https://shop.example/mug-2.jpg,active
bowl,Tide Bowl,<p>A bowl.</p>,Tidewrack,bowl,31.00,,active
"""
ROWS = [
    {"instance_id": "a", "source_type": "keyword", "source_id": "mugs", "priority": 5},
    {"instanceId": "b", "sourceType": "product", "sourceData": {"name": "Low Water Mug"}},
    {"instance_id": "c", "source_type": "text", "source_data": {"text": "Write about kilns."}, "max_attempts": 2},
]
Sql = Callable[..., list[tuple[Any, ...]]]


def jsonl(rows: list[dict[str, Any]]) -> str:
    return "".join(f"{json.dumps(row)}\n" for row in rows)


def enqueued(sql: Sql) -> list[tuple[Any, ...]]:
    return sql("select instance_id, source_type, source_id, source_data from blog_generations order by id")
