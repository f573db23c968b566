"""The Dockerfile and the Kubernetes example against the command line and the endpoints."""

from __future__ import annotations

import json
import re
import tomllib
from pathlib import Path
from typing import Any

import click
import pytest
import typer.main
import yaml

from albert.cli.app import app
from albert.serve.core.limits import Limits
from albert.serve.http.routes import router
from conftest import ROOT

DOCKERFILE = (ROOT / "deploy" / "Dockerfile").read_text(encoding="utf-8")
DOCUMENTS = list(yaml.safe_load_all((ROOT / "deploy" / "kubernetes.yaml").read_text(encoding="utf-8")))
PATHS = {route.path for route in router.routes}  # type: ignore[attr-defined]


def parsed(arguments: list[str]) -> dict[str, Any]:
    """What `albert serve` makes of them; it complains about those that it does not know."""
    command = typer.main.get_command(app).commands["serve"]  # type: ignore[attr-defined]
    context: click.Context = command.make_context("serve", list(arguments))
    return context.params


def instruction(name: str) -> str:
    return re.findall(rf"^{name} (.*)", DOCKERFILE.replace("\\\n", " "), re.MULTILINE)[-1]


def container() -> dict[str, Any]:
    (deployment,) = [document for document in DOCUMENTS if document["kind"] == "Deployment"]
    (found,) = deployment["spec"]["template"]["spec"]["containers"]
    return dict(found)


def test_the_image_serves_as_the_command_line_wants() -> None:
    assert json.loads(instruction("ENTRYPOINT")) == ["albert", "serve"]
    params = parsed(json.loads(instruction("CMD")))
    assert params["host"] == "0.0.0.0"
    assert params["api_key_file"] is not None
    assert str(params["port"]) == instruction("EXPOSE")
    health = re.search(r"http://127.0.0.1:(\d+)(/\w+)", instruction("HEALTHCHECK"))
    assert health is not None
    assert (health[1], health[2]) == (str(params["port"]), "/health")


def test_the_image_is_not_run_by_root_and_installs_what_there_is() -> None:
    assert int(instruction("USER")) > 0
    extras = re.findall(r"\"\.\[(\w+)\]\"", DOCKERFILE)
    known = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))["project"]["optional-dependencies"]
    assert extras
    assert set(extras) <= set(known)
    for source in re.findall(r"^COPY (?!--from)(.*) \S+$", DOCKERFILE, re.MULTILINE):
        assert all((ROOT / Path(name)).exists() for name in source.split())


def test_the_deployment_asks_what_the_server_answers() -> None:
    found = container()
    params = parsed(found["args"])
    (port,) = found["ports"]
    assert params["port"] == port["containerPort"]
    for probe, path in (("startupProbe", "/live"), ("readinessProbe", "/health"), ("livenessProbe", "/live")):
        assert found[probe]["httpGet"] == {"path": path, "port": port["name"]}
        assert path in PATHS
    assert found["readinessProbe"]["timeoutSeconds"] > Limits().health_timeout
    (service,) = [document for document in DOCUMENTS if document["kind"] == "Service"]
    assert service["spec"]["ports"][0]["targetPort"] == port["name"]


def test_the_deployment_leaves_time_to_drain_and_mounts_what_it_names() -> None:
    (deployment,) = [document for document in DOCUMENTS if document["kind"] == "Deployment"]
    pod = deployment["spec"]["template"]["spec"]
    params = parsed(container()["args"])
    assert pod["terminationGracePeriodSeconds"] > params["drain"] + 5
    assert pod["securityContext"]["runAsUser"] == int(instruction("USER"))
    assert pod["securityContext"]["runAsNonRoot"] is True
    mounts = {mount["mountPath"]: mount["name"] for mount in container()["volumeMounts"]}
    assert params["models"] == ["/model"]
    assert mounts["/model"]
    assert mounts[str(params["api_key_file"].parent)]
    assert set(mounts.values()) == {volume["name"] for volume in pod["volumes"]}
    labels = deployment["spec"]["template"]["metadata"]["labels"]
    assert deployment["spec"]["selector"]["matchLabels"] == labels == DOCUMENTS[-1]["spec"]["selector"]


def test_an_option_that_is_none_would_be_found() -> None:
    with pytest.raises(Exception, match="No such option"):
        parsed(["/model", "--prot", "3000"])
