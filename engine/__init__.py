"""The engine: the paper's experiments on PyTorch. It knows nothing of the service."""
