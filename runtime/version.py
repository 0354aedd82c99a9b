"""The version of the installed service."""

from importlib.metadata import version

DISTRIBUTION = "richregime-service"
SERVICE_VERSION = version(DISTRIBUTION)
