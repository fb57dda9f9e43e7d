"""What stands in config/: every example loads, manifests fit their schemas, paths are there."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import kubernetes_validate  # type: ignore[import-untyped]  # as it comes
import pytest
import yaml

from gateway.config import Settings, load

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "config"
EXAMPLES = sorted((CONFIG / "examples").glob("*.yaml"))
MANIFESTS = sorted((CONFIG / "kubernetes").glob("*.yaml"))
OLDEST_KUBERNETES = "1.31"
SECRETS = re.compile(r"/run/secrets/([\w/]+)")


@pytest.fixture(autouse=True)
def _clean_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """No configuration of the machine reaches these tests."""
    for name in [name for name in os.environ if name.startswith("MAILQUAY_")]:
        monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


def loaded(text: str, folder: Path) -> Settings:
    """A configuration with the secrets it names lying in a folder of ours."""
    for name in SECRETS.findall(text):
        secret = folder / "secrets" / name
        secret.parent.mkdir(parents=True, exist_ok=True)
        secret.write_text("dummy\n")
    path = folder / "gateway.yaml"
    path.write_text(text.replace("/run/secrets/", f"{folder}/secrets/"))
    return load(path)


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.stem)
def test_examples_load(path: Path, tmp_path: Path) -> None:
    """What is copied to start from works, its secrets once put where it says."""
    settings = loaded(path.read_text(), tmp_path)
    assert settings.providers
    assert settings.effective_routes()


def test_a_sidecar_needs_the_environment_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The file of variables is a whole configuration."""
    secret = tmp_path / "smarthost"
    secret.write_text("dummy\n")
    for line in (CONFIG / "examples" / "sidecar.env").read_text().splitlines():
        if line and not line.startswith("#"):
            name, _, value = line.partition("=")
            monkeypatch.setenv(name, value.replace("/run/secrets/smarthost", str(secret)))
    settings = load()
    assert settings.hostname == "gateway.example.com"
    assert list(settings.providers) == ["main"]
    assert settings.log.format == "json"


def documents(path: Path) -> Iterator[dict[str, Any]]:
    """The resources of a manifest."""
    yield from yaml.safe_load_all(path.read_text())


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_manifests_fit_their_schemas(path: Path) -> None:
    """Every resource, strictly: a field that Kubernetes does not know is an error."""
    for document in documents(path):
        kubernetes_validate.validate(document, OLDEST_KUBERNETES, strict=True)


@pytest.mark.parametrize("path", MANIFESTS, ids=lambda path: path.stem)
def test_the_configuration_in_a_manifest_loads(path: Path, tmp_path: Path) -> None:
    """Each secret that it names is mounted there, and the ports are those that are probed."""
    resources = {document["kind"]: document for document in documents(path)}
    text = resources["ConfigMap"]["data"]["gateway.yaml"]
    settings = loaded(text, tmp_path)
    assert settings.http.port == 8025
    assert settings.smtp.listeners[0].port == 2525
    workload = resources.get("StatefulSet") or resources["Deployment"]
    pod = workload["spec"]["template"]["spec"]
    gateway = next(
        container
        for container in (*pod.get("initContainers", ()), *pod["containers"])
        if container["name"] == "mailquay"
    )
    mounted = {mount["mountPath"] for mount in gateway["volumeMounts"]}
    assert {"/var/lib/mailquay", "/etc/mailquay"} & mounted
    for name in SECRETS.findall(text):
        folder, _, key = name.partition("/")
        assert f"/run/secrets/{folder}" in mounted
        assert key in resources["Secret"]["stringData"]
    assert gateway["securityContext"]["readOnlyRootFilesystem"] is True
    assert pod["securityContext"]["runAsNonRoot"] is True


class TestCompose:
    def compose(self) -> dict[str, Any]:
        """The file."""
        return dict(yaml.safe_load((CONFIG / "compose.yaml").read_text()))

    def test_what_it_mounts_is_there(self) -> None:
        """A bind mount of a file that is missing makes a folder of that name."""
        compose = self.compose()
        for name, service in compose["services"].items():
            for mount in service.get("volumes", ()):
                source = mount.split(":")[0]
                if source.startswith("."):
                    assert (CONFIG / source).exists(), f"{name}: {source}"
                else:
                    assert source in compose["volumes"], f"{name}: {source}"
            for secret in service.get("secrets", ()):
                assert secret in compose["secrets"]
            for network in service["networks"]:
                assert network in compose["networks"]

    def test_the_gateway_lets_in_whom_the_network_holds(self, tmp_path: Path) -> None:
        """The subnet and the gateway's networks are one; what is mounted loads."""
        (subnet,) = (c["subnet"] for c in self.compose()["networks"]["mail"]["ipam"]["config"])
        settings = loaded((CONFIG / "compose" / "gateway.yaml").read_text(), tmp_path)
        assert subnet in settings.smtp.networks
        application = load(CONFIG / "compose" / "application.yaml")
        assert application.smtp.listeners[0].host in self.compose()["services"]

    def test_only_loopback_is_published(self) -> None:
        """Nobody finds the metrics or the boards of a machine because its operator tried this."""
        published = [
            port
            for service in self.compose()["services"].values()
            for port in service.get("ports", ())
        ]
        assert published
        assert all(port.startswith("127.0.0.1:") for port in published)


def run(*words: str) -> subprocess.CompletedProcess[str]:
    """Run a checker, or skip where it is not installed."""
    if shutil.which(words[0]) is None:
        pytest.skip(f"not installed: {words[0]}")
    return subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)


def test_the_systemd_unit_is_one_that_systemd_understands(tmp_path: Path) -> None:
    """Checked by systemd's own tools, with the program where the unit says."""
    program = tmp_path / "mailquay"
    program.write_text("#!/bin/sh\n")
    program.chmod(0o755)
    text = (CONFIG / "systemd" / "mailquay.service").read_text()
    unit = tmp_path / "mailquay.service"
    unit.write_text(text.replace("/opt/mailquay/bin/mailquay", str(program)))
    done = run("systemd-analyze", "verify", "--man=no", str(unit))
    assert (done.returncode, done.stderr) == (0, "")
    done = run("systemd-analyze", "security", "--offline=yes", "--threshold=25", str(unit))
    assert done.returncode == 0, done.stdout[-1000:]


def test_prometheus_understands_its_files() -> None:
    """Scraping, rules and routing, by the programs that read them."""
    done = run("promtool", "check", "config", str(CONFIG / "prometheus" / "prometheus.yaml"))
    assert done.returncode == 0, done.stderr
    done = run("amtool", "check-config", str(CONFIG / "prometheus" / "alertmanager.yaml"))
    assert done.returncode == 0, done.stderr
