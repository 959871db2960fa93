"""The page of one API."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from headwater.ops.api_pages.fields import anchor, field_list, row, said
from headwater.ops.api_pages.operations import Document, operation
from headwater.ops.dashboard.html import Html, breakable, el, join, void

__all__ = ["page"]


def page(tree: Mapping[str, Any], *, name: str, base: str) -> str:
    """Return the HTML of an API's page. name: the API's. base: where it is served, "" for where the page is."""
    document = Document(tree)
    title = tree["info"]["title"]
    return "<!doctype html>\n" + el(
        "html",
        el(
            "head", void("meta", charset="utf-8"), el("title", title),
            void("meta", name="viewport", content="width=device-width, initial-scale=1"),
            void("meta", name="color-scheme", content="light dark"),
            void("link", rel="icon", href="data:,"), void("link", rel="stylesheet", href="/api/docs.css"),
            el("script", src="/api/docs.js", defer=True),
        ),
        el(
            "body", el("a", "To the operations", class_="skip", href="#operations"),
            _head(tree, title, name), _contents(document),
            el("main", *_groups(document), _headers(document), _schemas(document), id="operations"),
            data_base=base,
        ),
        lang="en",
    )


def _head(tree: Mapping[str, Any], title: str, name: str) -> Html:
    return el(
        "header", el("h1", title),
        el("p", el("a", "openapi.json", href=f"/api/{name}/openapi.json"), class_="quiet"),
        el("div", said(tree["info"]["description"]), class_="about-all"),
        el("p", id="elsewhere", class_="elsewhere", hidden=True),
        el(
            "div",
            el("div", el("label", "Find an operation", for_="find"), el("input", id="find", type="search",
                                                                        autocomplete="off")),
            el("div", el("label", "Authorization, for trying", for_="credential"),
               el("input", id="credential", type="password", autocomplete="off", placeholder="Bearer TOKEN")),
            el("div", el("button", "Unfold all", id="unfold", type="button", aria_pressed="false"), class_="unfold"),
            class_="controls", hidden=True,
        ),
        el("p", id="found", role="status", class_="unseen"),
    )


def _by_tag(document: Document) -> dict[str, list[tuple[str, str, Mapping[str, Any]]]]:
    groups: dict[str, list[tuple[str, str, Mapping[str, Any]]]] = {
        tag["name"]: [] for tag in document.tree["tags"]
    }
    for path, item in document.tree["paths"].items():
        for method, told in item.items():
            groups[told["tags"][0]].append((method, path, told))
    return groups


def _contents(document: Document) -> Html:
    groups = [
        el("li", el("strong", tag), el("ul", *[
            el("li", el(
                "a", el("span", method.upper(), class_=f"method {method}"), " ", el("code", breakable(path)),
                href=f"#op-{told['operationId']}",
            ), data_text=f"{method} {path} {told['summary']} {told['operationId']}".lower())
            for method, path, told in members
        ]))
        for tag, members in _by_tag(document).items()
    ]
    more = el("li", el("a", "Headers", href="#headers"), ", ", el("a", "Schemas", href="#schemas"))
    return el("nav", el("ul", *groups, more), aria_label="Operations")


def _groups(document: Document) -> list[Html]:
    return [
        el("section", el("h2", tag, id=f"tag-{tag}"), *[operation(document, *member) for member in members],
           class_="group", aria_labelledby=f"tag-{tag}")
        for tag, members in _by_tag(document).items()
    ]


def _headers(document: Document) -> Html:
    asked = [
        row(one["name"], one["schema"], required=False, about=one["description"], mark=f"header-{name}")
        for name, one in document.components["parameters"].items()
    ]
    told = [
        row(name, one["schema"], required=False, about=one["description"])
        for name, one in document.components["headers"].items()
    ]
    return el(
        "section", el("h2", "Headers", id="headers"),
        el("h3", "In requests"), el("ul", *asked, class_="fields"),
        el("h3", "In answers"), el("ul", *told, class_="fields"), class_="card", aria_labelledby="headers",
    )


def _schemas(document: Document) -> Html:
    shown = [
        el(
            "section", el("h3", name, id=anchor(name)), said(schema.get("description")),
            field_list(schema, label=name), class_="schema", aria_labelledby=anchor(name),
        )
        for name, schema in document.schemas.items()
        if "allOf" not in schema
    ]
    return el("section", el("h2", "Schemas", id="schemas"), join(shown), class_="card", aria_labelledby="schemas")
