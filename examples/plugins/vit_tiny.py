"""A small vision transformer for small images."""

from torch import nn
from torchvision.models import VisionTransformer


def vit_tiny(
    shape, num_classes, *, patch: int = 7, depth: int = 4, width: int = 64, heads: int = 4
):
    """A vision transformer of `depth` blocks on patches of `patch` x `patch` pixels."""
    channels, height, _ = shape
    net = VisionTransformer(height, patch, depth, heads, width, 2 * width, num_classes=num_classes)
    net.conv_proj = nn.Conv2d(channels, width, patch, stride=patch)
    return net


MODELS = {"vit_tiny": vit_tiny}
