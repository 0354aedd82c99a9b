"""Compose and Kubernetes files: least privileges, probes, existing settings, one GPU per pod."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path
from typing import Any

import pytest
import yaml

from ops.doctor.local_checks import check_variables

DOCKER = Path(__file__).parents[2] / "docker"
COMPOSE = yaml.safe_load((DOCKER / "compose.yaml").read_text(encoding="utf-8"))
RESOURCES = [
    resource
    for path in sorted((DOCKER / "kubernetes").glob("*.yaml"))
    for resource in yaml.safe_load_all(path.read_text(encoding="utf-8"))
]
PODS = {
    r["metadata"]["name"]: r["spec"]["template"]["spec"]
    for r in RESOURCES
    if "template" in r.get("spec", {})
}
OUR_SERVICES = {
    name: service for name, service in COMPOSE["services"].items() if "build" in service
}


@pytest.mark.parametrize("name", OUR_SERVICES)
def test_each_of_our_services_has_a_read_only_root_and_no_privileges(name: str) -> None:
    service = OUR_SERVICES[name]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert service["tmpfs"]
    assert service["volumes"] == ["home:/data"]


def test_the_port_is_published_on_this_machine_only() -> None:
    published = [
        port for service in COMPOSE["services"].values() for port in service.get("ports", ())
    ]
    assert published == ["127.0.0.1:8000:8000"]


def test_the_compose_file_holds_no_password() -> None:
    text = (DOCKER / "compose.yaml").read_text(encoding="utf-8")
    lines = [line for line in text.splitlines() if "PASSWORD" in line or "SECRET" in line]
    assert lines
    assert all("${" in line or line.startswith("#") for line in lines)


def test_all_settings_in_the_files_exist() -> None:
    settings: dict[str, Any] = {}
    for service in OUR_SERVICES.values():
        settings |= service["environment"]
    for resource in RESOURCES:
        settings |= resource.get("data", {}) | resource.get("stringData", {})
    assert "RICHREGIME_BLOB_URL" in settings
    assert list(check_variables(settings)) == []


@pytest.mark.parametrize("name", PODS)
def test_each_pod_has_least_privileges_and_limits(name: str) -> None:
    pod = PODS[name]
    assert pod["securityContext"]["runAsNonRoot"] is True
    assert pod["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert pod["automountServiceAccountToken"] is False
    for container in pod["containers"]:
        security = container["securityContext"]
        assert security["readOnlyRootFilesystem"] is True
        assert security["allowPrivilegeEscalation"] is False
        assert security["capabilities"] == {"drop": ["ALL"]}
        assert container["resources"]["limits"]["memory"]
        if container["image"].startswith("richregime"):
            assert container["image"].endswith(f":{version('richregime')}")
        if name != "richregime-upgrade":
            assert container["livenessProbe"]


def test_a_worker_pod_has_one_gpu_and_time_to_release_its_run() -> None:
    pod = PODS["richregime-worker-gpu"]
    assert pod["containers"][0]["resources"]["limits"]["nvidia.com/gpu"] == 1
    assert pod["terminationGracePeriodSeconds"] > 35


def test_secret_values_are_only_in_the_secret() -> None:
    (plain,) = [resource["data"] for resource in RESOURCES if resource["kind"] == "ConfigMap"]
    assert not [name for name in plain if "SECRET" in name or "DATABASE" in name]
