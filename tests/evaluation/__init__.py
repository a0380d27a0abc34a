"""What becomes of the ways in which models misbehave: every source of `sources.jsonl` with each of them."""
