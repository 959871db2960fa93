"""One operation for people: what it takes, what it answers, and a form to try it."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import msgspec

from headwater.edge.openapi.refusals import PROBLEM_JSON
from headwater.ops.api_pages.fields import Schema, field_list, inline, kind_of, object_of, row, said
from headwater.ops.dashboard.html import Html, breakable, el, join

__all__ = ["Document", "operation", "shown_json"]

_JSON = "application/json"
_FAILED = 400


class Document:
    """An OpenAPI document, with its references followed."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self.tree = tree
        self.components: Mapping[str, Any] = tree["components"]
        self.schemas: Mapping[str, Schema] = self.components["schemas"]

    def follow(self, part: Mapping[str, Any]) -> Mapping[str, Any]:
        """Return what a part is, or what it refers to."""
        if "$ref" not in part:
            return part
        _, _, kind, name = part["$ref"].split("/", 3)
        found: Mapping[str, Any] = self.components[kind][name]
        return found


def shown_json(value: Any) -> str:
    """Return JSON as people read it."""
    return msgspec.json.format(msgspec.json.encode(value), indent=2).decode()


def operation(document: Document, method: str, path: str, told: Mapping[str, Any]) -> Html:
    """Return the whole operation, folded."""
    name = told["operationId"]
    parameters = [document.follow(one) for one in told.get("parameters", ())]
    return el(
        "details",
        el(
            "summary",
            el(
                "h3", el("span", method.upper(), class_=f"method {method}"), " ", el("code", breakable(path)),
                el("span", " deprecated", class_="deprecated") if told.get("deprecated") else None,
            ),
            el("span", *inline(told["summary"]), class_="line"),
        ),
        el(
            "div", said(told.get("description")), _parameters(parameters, name),
            _body(document, told.get("requestBody"), name), _answers(document, told["responses"], name),
            _headers(told), _form(method, path, parameters, told), class_="inside",
        ),
        class_="operation", id=f"op-{name}", data_text=f"{method} {path} {told['summary']} {name}".lower(),
    )


def _parameters(parameters: list[Mapping[str, Any]], name: str) -> Html | None:
    if not parameters:
        return None
    rows = [
        row(one["name"], one["schema"], required=one["required"], about=one.get("description"), place=f"in {one['in']}")
        for one in parameters
    ]
    return join([el("h4", "Parameters"), el("ul", *rows, class_="fields", aria_label=f"Parameters of {name}")])


def _body(document: Document, body: Mapping[str, Any] | None, name: str) -> Html | None:
    if body is None:
        return None
    content = body["content"].get(_JSON)
    need = "required" if body["required"] else "may be left out"
    if content is None:
        return join([el("h4", "Body"), el("p", f"A file of any type, as it is; {need}.")])
    example = content.get("example")
    return join([
        el("h4", "Body"), el("p", f"JSON or MessagePack; {need}.", class_="quiet"),
        field_list(object_of(content["schema"], document.schemas), label=f"Body of {name}"),
        join([el("h5", "Example"), _code(shown_json(example), f"Example body of {name}")]) if example else None,
    ])


def _code(text: str, label: str) -> Html:
    return el("pre", el("code", text), tabindex="0", role="region", aria_label=label)


# --- answers ------------------------------------------------------------------------------------


def _answers(document: Document, responses: Mapping[str, Any], name: str) -> Html:
    good = [_good(document, status, r, name) for status, r in responses.items() if int(status) < _FAILED]
    bad = {status: r for status, r in responses.items() if int(status) >= _FAILED}
    own = [_bad(document, status, r) for status, r in bad.items() if "$ref" not in r]
    general = [_bad(document, status, r) for status, r in bad.items() if "$ref" in r]
    return join([
        el("h4", "Answers"), *good, el("h4", "Refusals"),
        el("ul", *own, class_="refusals", aria_label=f"Refusals of {name}") if own else None,
        el(
            "details", el("summary", f"{len(general)} of the kind that any operation has"),
            el("ul", *general, class_="refusals", aria_label=f"General refusals of {name}"), class_="general",
        ),
    ])


def _good(document: Document, status: str, response: Mapping[str, Any], name: str) -> Html:
    content = response.get("content", {})
    schema = content.get(_JSON, {}).get("schema")
    return el(
        "div", el("p", el("strong", status, class_="status good"), " ", *inline(response["description"])),
        None if schema is None else el("p", kind_of(schema)) if "$ref" in schema else None,
        None if schema is None else field_list(object_of(schema, document.schemas), label=f"Answer {status} of {name}"),
        class_="answer",
    )


def _bad(document: Document, status: str, told: Mapping[str, Any]) -> Html:
    response = document.follow(told)
    schema = response.get("content", {}).get(PROBLEM_JSON, {}).get("schema")
    options = [] if schema is None else [object_of(one, document.schemas) for one in schema.get("anyOf", [schema])]
    return el(
        "li", el("strong", status, class_="status bad"), " ", response["description"],
        el("ul", *[_problem(document, one) for one in options], class_="codes") if options else None,
    )


def _problem(document: Document, problem: Schema) -> Html:
    own = problem["allOf"][1]["properties"]
    code = own["code"]
    if "const" not in code:
        codes = code.get("enum") or code.get("examples", ())
        return el("li", *[(", " if number else "", el("code", one)) for number, one in enumerate(codes)])
    fields = object_of(own["failure"], document.schemas).get("properties", {})
    carried = [(", " if number else " with ", el("code", name)) for number, name in enumerate(fields)]
    about = problem.get("description")
    return el("li", el("code", code["const"]), carried, (": ", *inline(about)) if about else None)


def _headers(told: Mapping[str, Any]) -> Html:
    names = told["x-headwater"]["headers"]
    links = [(", " if number else "", el("a", name, href=f"#header-{name}")) for number, name in enumerate(names)]
    return el("p", "Understands the headers ", *links, ".", class_="quiet")


# --- trying it ----------------------------------------------------------------------------------


def _form(method: str, path: str, parameters: list[Mapping[str, Any]], told: Mapping[str, Any]) -> Html:
    name = told["operationId"]
    content = told.get("requestBody", {}).get("content", {}).get(_JSON)
    inputs = [_input(name, one) for one in parameters]
    if content is not None:
        example = content.get("example")
        text = shown_json(example) if example is not None else ""
        field = f"{name}-body"
        inputs.append(el(
            "div", el("label", "Body", for_=field),
            el("textarea", text, id=field, data_in="body", rows=str(min(14, max(3, text.count("\n") + 1))),
               spellcheck="false"),
            class_="wide",
        ))
    return el(
        "form",
        el("h4", "Try it"), el("div", *inputs, class_="inputs") if inputs else None,
        el("div", el("button", "Send", type="submit"), class_="send"),
        el("div", el("h5", "The same with curl"), _code("", f"curl line of {name}"), class_="curl"),
        el("div", role="status", class_="result", aria_label=f"Answer to {name}"),
        class_="try", hidden=True, data_method=method.upper(), data_path=path, aria_label=f"Try {name}",
        novalidate=True,
    )


def _input(name: str, parameter: Mapping[str, Any]) -> Html:
    field = f"{name}-{parameter['in']}-{parameter['name']}"
    schema = parameter["schema"]
    example = parameter.get("example")
    many = schema.get("type") == "array"
    label = f"{parameter['name']}{', several with commas' if many else ''}"
    hint = schema.get("default")
    return el(
        "div",
        el("label", el("code", label), el("span", " required", class_="required") if parameter["required"] else None,
           for_=field),
        el("input", id=field, type="text", value=None if example is None else str(example), data_in=parameter["in"],
           data_name=parameter["name"], data_many=many, placeholder=None if hint is None else str(hint) or None,
           required=bool(parameter["required"]), autocomplete="off", spellcheck="false"),
    )
