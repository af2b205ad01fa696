"""body-transformer at the gate's door."""

import base64
import json
from typing import Any

from kit.routed import Site


def request_side(template: str, format: str | None = None) -> dict[str, Any]:
    return {"body-transformer": {"request": {"template": template, **({"input_format": format} if format else {})}}}


def test_json_becomes_what_the_template_says(site: Site) -> None:
    template = '<user name="{{ name }}">{% for each in tags %}<tag>{* _escape_xml(each) *}</tag>{% endfor %}</user>'
    path = site.route(request_side(template))
    told = site.told(path, "POST", {"name": "A & B", "tags": ["<x>", "y"]})
    assert told["body"] == '<user name="A &amp; B"><tag>&lt;x&gt;</tag><tag>y</tag></user>'


def test_xml_becomes_json(site: Site) -> None:
    path = site.route(request_side('{"who": {* _escape_json(order.who) *}, "n": {{ order.item | length }}}', "xml"))
    body = b'<?xml version="1.0"?><order><who>"Ada"</who><item>1</item><item>2</item></order>'
    assert json.loads(site.told(path, "POST", body)["body"]) == {"who": '"Ada"', "n": 2}


def test_arguments_forms_text_and_variables(site: Site) -> None:
    assert site.told(site.route(request_side("{{ a }}", "args")) + "?a=1", "POST", {})["body"] == "1"
    assert site.told(site.route(request_side("{{ b }}", "encoded")), "POST", b"b=2")["body"] == "2"
    path = site.route(request_side("{* _body *} from {{ _ctx.var.remote_addr }}", "plain"))
    assert site.told(path, "POST", b"<c>")["body"] == "<c> from 127.0.0.1"
    form = b'--B\r\ncontent-disposition: form-data; name="d"\r\n\r\n4\r\n--B--\r\n'
    path = site.route(request_side("{{ d }}", "multipart"))
    assert site.told(path, "POST", form, content_type="multipart/form-data; boundary=B")["body"] == "4"


def test_an_answer_is_transformed(site: Site) -> None:
    encoded = base64.b64encode(b"{{ method }} {{ headers.host }}").decode()
    side = {"template": encoded, "template_is_base64": True, "input_format": "json"}
    path = site.route({"body-transformer": {"response": side}})
    assert site.ask(path, host="x.example")[2] == b"GET x.example"


def test_what_cannot_be_read_or_filled_is_said(site: Site) -> None:
    status, _, body = site.ask(site.route(request_side("x", "json")), "POST", b"{")
    assert status == 400
    assert json.loads(body)["message"].startswith("request body decode: ")
    bomb = b'<!DOCTYPE x [<!ENTITY a "aaaa">]><x>&a;</x>'
    assert site.ask(site.route(request_side("x", "xml")), "POST", bomb)[0] == 400
    assert site.ask(site.route(request_side("{{ 1 / 0 }}", "plain")), "POST", b"")[0] == 503
    assert "template parse" in site.refused(request_side("{% for %}"))


def test_xml_that_is_nested_too_deeply_is_refused(site: Site) -> None:
    path = site.route({"body-transformer": {"request": {"input_format": "xml", "template": "x"}}})
    assert site.ask(path, "POST", b"<a>" * 5000 + b"</a>" * 5000)[0] == 400


def test_a_template_reaches_nothing_but_its_values(site: Site) -> None:
    escape = "{{ ''.__class__.__mro__[1].__subclasses__() }}"
    assert site.ask(site.route(request_side(escape, "plain")), "POST", b"")[0] == 503
