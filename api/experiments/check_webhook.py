"""Checks the webhook of a submission, and whether an address is public."""

from __future__ import annotations

from ipaddress import IPv4Address, IPv6Address, ip_address, ip_network

from engine.errors import FieldError
from runtime.settings import Settings
from schemas.webhooks import Webhook, WebhookFormat, read_key

ALLOW_PRIVATE = "the setting RICHREGIME_WEBHOOK_ALLOW_PRIVATE=true allows it"
NEVER_ALLOWED = "is the address of a cloud's metadata service; no setting allows it"
METADATA = tuple(
    ip_network(network)
    for network in (
        "169.254.0.0/16",  # link-local: AWS, Azure, Google Cloud, Oracle, OpenStack and others
        "168.63.129.16/32",  # Azure
        "192.0.0.192/32",  # Oracle
        "100.100.100.200/32",  # Alibaba
        "fd00:ec2::/32",  # AWS
        "fd20:ce::254/128",  # Google Cloud
        "fe80::a9fe:a9fe/128",  # OpenStack
    )
)
WITH_IPV4_LAST = tuple(
    ip_network(network)
    for network in (
        "::/96",  # IPv4-compatible
        "::ffff:0:0:0/96",  # IPv4-translated
        "64:ff9b::/96",  # NAT64
        "64:ff9b:1::/48",  # NAT64 of a network of its own
    )
)
"""Networks of IPv6 addresses that end in an IPv4 address."""


def check_webhook(webhook: Webhook, settings: Settings) -> list[FieldError]:
    """Every error in the webhook. Host names are resolved only when a delivery is sent."""
    errors = []
    host = webhook.url.host or ""
    if webhook.url.username or webhook.url.password:
        detail = (
            "credentials in a URL are not sent; deliveries are authenticated by their signature"
        )
        errors.append(FieldError("#/webhook/url", "credentials", detail))
    refused = _refuse_literal(host, settings)
    if refused is not None:
        errors.append(FieldError("#/webhook/url", "address-refused", refused))
    if webhook.secret is not None:
        try:
            read_key(webhook.secret.get_secret_value())
        except ValueError as error:
            errors.append(FieldError("#/webhook/secret", "secret-invalid", str(error)))
    elif settings.webhook_secret is None and webhook.format is not WebhookFormat.SLACK:
        detail = (
            "the deliveries need a secret that signs them: give one here (`whsec_` and 32 random "
            "bytes in base64), or set RICHREGIME_WEBHOOK_SECRET for the service"
        )
        errors.append(FieldError("#/webhook/secret", "secret-missing", detail))
    return errors


def _refuse_literal(host: str, settings: Settings) -> str | None:
    """Why the host is refused without resolving it: an address, or localhost."""
    name = host.rstrip(".")
    try:
        return refuse_address(name.strip("[]"), host, settings)
    except ValueError:
        is_local = name == "localhost" or name.endswith(".localhost")
        if is_local and not settings.webhook_allow_private:
            return f"{host} is not a public address; {ALLOW_PRIVATE}"
        return None


def refuse_address(address: str, host: str, settings: Settings) -> str | None:
    """Why nothing is sent to the address of this host; None where it is allowed.

    Raises ValueError for anything else than an IP address.
    """
    if is_metadata(address):
        return f"{host} {NEVER_ALLOWED}"
    if not settings.webhook_allow_private and not is_public(address):
        return f"{host} is not a public address; {ALLOW_PRIVATE}"
    return None


def is_public(address: str) -> bool:
    """Whether the IP address is globally reachable. Raises ValueError for anything else."""
    found = ip_address(address)
    if isinstance(found, IPv6Address):
        if found.is_site_local or found.sixtofour is not None:
            return False
        return all(map(_is_global, _embedded(found)))
    return _is_global(found)


def is_metadata(address: str) -> bool:
    """Whether the IP address, in any spelling, is a cloud's metadata service.

    These hand out credentials of the machine. Raises ValueError for anything else than an address.
    """
    found = ip_address(address)
    spelled = _embedded(found) if isinstance(found, IPv6Address) else (found,)
    return any(one in network for one in spelled for network in METADATA)


def _is_global(address: IPv4Address | IPv6Address) -> bool:
    return address.is_global and not address.is_multicast and not address.is_reserved


def _embedded(address: IPv6Address) -> tuple[IPv4Address | IPv6Address, ...]:
    """The address, or the IPv4 addresses that a packet to it may be sent to."""
    if address.ipv4_mapped is not None:
        return (address.ipv4_mapped,)
    last = IPv4Address(int(address) & 0xFFFFFFFF)
    if any(address in network for network in WITH_IPV4_LAST):
        return (last,)
    found: list[IPv4Address | IPv6Address] = [address]
    if address.sixtofour is not None:
        found.append(address.sixtofour)
    if address.teredo is not None:
        found += address.teredo
    return tuple(found)
