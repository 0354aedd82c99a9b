"""The laboratory: the paper's experiments on PyTorch, with no knowledge of any service."""
