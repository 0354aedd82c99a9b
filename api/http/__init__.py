"""HTTP itself: problems, JSON bodies, uploads, paging, OpenAPI."""
