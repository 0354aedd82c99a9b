"""Checks the webhook of a submission, and whether an address is public."""

from __future__ import annotations

from ipaddress import IPv6Address, ip_address

from engine.errors import FieldError
from runtime.settings import Settings
from schemas.webhooks import Webhook, read_key

ALLOW_PRIVATE = "the setting RICHREGIME_WEBHOOK_ALLOW_PRIVATE=true allows it"


def check_webhook(webhook: Webhook, settings: Settings) -> list[FieldError]:
    """Every error in the webhook. Host names are resolved only when a delivery is sent."""
    errors = []
    host = webhook.url.host or ""
    if webhook.url.username or webhook.url.password:
        detail = (
            "credentials in a URL are not sent; deliveries are authenticated by their signature"
        )
        errors.append(FieldError("#/webhook/url", "credentials", detail))
    if not settings.webhook_allow_private and _is_private_literal(host):
        detail = f"{host} is not a public address; {ALLOW_PRIVATE}"
        errors.append(FieldError("#/webhook/url", "address-refused", detail))
    if webhook.secret is not None:
        try:
            read_key(webhook.secret.get_secret_value())
        except ValueError as error:
            errors.append(FieldError("#/webhook/secret", "secret-invalid", str(error)))
    elif settings.webhook_secret is None:
        detail = (
            "the deliveries need a secret that signs them: give one here (`whsec_` and 32 random "
            "bytes in base64), or set RICHREGIME_WEBHOOK_SECRET for the service"
        )
        errors.append(FieldError("#/webhook/secret", "secret-missing", detail))
    return errors


def _is_private_literal(host: str) -> bool:
    """Whether the host is private without resolving it: a private address, or localhost."""
    name = host.rstrip(".")
    try:
        return not is_public(name.strip("[]"))
    except ValueError:
        return name == "localhost" or name.endswith(".localhost")


def is_public(address: str) -> bool:
    """Whether the IP address is globally reachable. Raises ValueError for anything else."""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        if found.ipv4_mapped is not None:
            found = found.ipv4_mapped
        elif found.is_site_local or found.sixtofour is not None:
            return False
    return found.is_global and not found.is_multicast and not found.is_reserved
