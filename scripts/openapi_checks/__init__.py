"""How scripts/openapi makes its queries, and what it takes for an answer."""
