"""Parts of HTTP that routes share: problems, JSON bodies, uploads, paging, OpenAPI."""
