"""The SAM template: fine by cfn-lint and by SAM's own translator, with the routes and no more rights than are needed."""

import json
import platform
import re
import subprocess
import sys
from importlib.metadata import distribution
from pathlib import Path
from typing import Any

import pytest

from kit.dynamodb import LINTERS

TEMPLATE = Path(__file__).parent.parent.parent / "deploy" / "aws" / "template.yaml"
TRANSLATE = """
import json, sys
from samtranslator.parser.parser import Parser
from samtranslator.translator.translator import Translator
from samtranslator.yaml_helper import yaml_parse
read = yaml_parse(open(sys.argv[1]).read())
read["Globals"]["Function"]["CodeUri"] = "s3://bucket/key"
class Session:
    region_name = "eu-central-1"
translator = Translator({}, Parser(), boto_session=Session())
json.dump(translator.translate(read, {}), sys.stdout)
"""


@pytest.fixture(scope="module")
def translated(linters: Path) -> dict[str, Any]:
    """As CloudFormation gets it, its resources by name."""
    done = subprocess.run(
        [str(linters / "python"), "-c", TRANSLATE, str(TEMPLATE)],
        capture_output=True,
        text=True,
        check=False,
        env={"AWS_DEFAULT_REGION": "eu-central-1"},
    )
    assert done.returncode == 0, done.stderr
    resources: dict[str, Any] = json.loads(done.stdout)["Resources"]
    return resources


@pytest.fixture(scope="module")
def linters() -> Path:
    if not (LINTERS / "stamp").exists():
        pytest.skip("no cfn-lint in .clients/linters: scripts/setup-clients makes it")
    return LINTERS / "bin"


def test_cfn_lint_has_nothing_to_say(linters: Path) -> None:
    done = subprocess.run([str(linters / "cfn-lint"), str(TEMPLATE)], capture_output=True, text=True, check=False)

    assert (done.returncode, done.stdout) == (0, "")


def test_messages_are_routed_by_their_action(translated: dict[str, Any]) -> None:
    apis = [each for each in translated.values() if each["Type"] == "AWS::ApiGatewayV2::Api"]
    (socket,) = (each["Properties"] for each in apis if each["Properties"].get("ProtocolType") == "WEBSOCKET")
    routes = {
        each["Properties"]["RouteKey"] for each in translated.values() if each["Type"] == "AWS::ApiGatewayV2::Route"
    }

    assert socket["RouteSelectionExpression"] == "$request.body.action"
    assert routes == {"$connect", "$disconnect", "$default", "sendmessage"}


def test_handlers_are_functions_of_ours(translated: dict[str, Any]) -> None:
    handlers = {
        each["Properties"]["Handler"] for each in translated.values() if each["Type"] == "AWS::Lambda::Function"
    }

    assert handlers == {f"tollkeeper.serverless.{name}.handler" for name in ("http", "websocket", "recovery")}
    source = TEMPLATE.parent.parent.parent / "src"
    for each in handlers:
        module, _, function = each.rpartition(".")
        assert f"def {function}(" in (source / f"{module.replace('.', '/')}.py").read_text("utf-8")


def test_rights_are_to_the_one_table_and_to_the_connections(translated: dict[str, Any]) -> None:
    statements = [
        statement
        for each in translated.values()
        if each["Type"] == "AWS::IAM::Role"
        for policy in each["Properties"]["Policies"]
        for statement in policy["PolicyDocument"]["Statement"]
    ]

    actions = {
        action
        for each in statements
        for action in ([each["Action"]] if isinstance(each["Action"], str) else each["Action"])
    }
    assert actions == {
        "execute-api:ManageConnections",
        *(f"dynamodb:{name}" for name in ("GetItem", "PutItem", "UpdateItem", "DeleteItem", "Query")),
    }
    assert all(each["Resource"] != "*" for each in statements)


@pytest.mark.skipif(platform.machine() != "x86_64" or sys.platform != "linux", reason="wheels of another platform here")
def test_the_page_asks_for_wheels_of_the_kinds_that_there_are() -> None:
    page = (TEMPLATE.parent.parent.parent / "docs" / "serverless.md").read_text("utf-8")
    asked = set(re.findall(r"--platform (\S+)", page))
    # What pip takes manylinux2014 for (PEP 600); the others stand for themselves.
    older = {f"manylinux{each}_x86_64" for each in ("_2_17", "_2_12", "2010", "_2_5", "1")}
    locked = re.findall(r"^([\w.-]+)==", (TEMPLATE.parent.parent.parent / "requirements" / "run.txt").read_text(), re.M)
    others = {}
    for name in locked:
        wheel = distribution(name).read_text("WHEEL") or ""
        kinds = {each for tag in re.findall(r"^Tag: (\S+)$", wheel, re.M) for each in tag.rpartition("-")[2].split(".")}
        if not kinds & (asked | older | {"any"}):
            others[name] = kinds

    assert "manylinux2014_x86_64" in asked
    assert others == {}
