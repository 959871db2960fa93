"""The walls between modules, checked by reading the source: nothing of it is run.

Only what can be told for certain is reported: a name that cannot be resolved is left to the run-time check.
"""

from __future__ import annotations

import ast
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any, Literal

from msgspec import Struct

from headwater.model.app import App
from headwater.model.contract import Contract
from headwater.model.module import Handler, Module
from headwater.model.page import page

__all__ = ["Finding", "Source", "check_boundaries", "handlers_of", "messages_named", "sources_of"]

_SHARED = {"headwater", "msgspec", "pydantic", "annotated_types", "typing_extensions"} | set(sys.stdlib_module_names)
_SQL_AT = {"execute": 0, "fetch_one": 1, "fetch_all": 1}
_UNREPLAYABLE = {
    "time.time": "ctx.now()", "time.monotonic": "ctx.remaining", "time.sleep": "await ctx.sleep()",
    "datetime.datetime.now": "ctx.now()", "datetime.datetime.utcnow": "ctx.now()",
    "datetime.date.today": "ctx.now().date()", "uuid.uuid4": "ctx.new_id()", "uuid.uuid1": "ctx.new_id()",
    "asyncio.tasks.sleep": "await ctx.sleep()", "asyncio.sleep": "await ctx.sleep()",
    "socket.socket": "a provider: Annotated[T, Use(...)]", "socket.create_connection": "a provider: Use(...)",
}
Function = ast.FunctionDef | ast.AsyncFunctionDef


class Finding(Struct, frozen=True, kw_only=True):
    """One thing that is wrong: where (`file:line`), which rule it breaks, what to do."""

    code: str
    severity: Literal["error", "warning"]
    where: str
    message: str
    fix: str


class Source:
    """A file of a module, parsed. `package` is its dotted name; `modules` all that live in it."""

    def __init__(self, path: Path, package: str, modules: tuple[Module, ...]) -> None:
        self.path = path
        self.package = package
        self.modules = modules
        self.tree = ast.parse(path.read_bytes(), str(path))
        self.names: Mapping[str, Any] = vars(sys.modules[package]) if package in sys.modules else {}
        self.functions = [n for n in ast.walk(self.tree) if isinstance(n, Function)]

    def at(self, node: ast.AST) -> str:
        """`file:line` of a node."""
        return f"{self.path}:{getattr(node, 'lineno', 1)}"

    def function_of(self, handler: Handler) -> Function | None:
        """The syntax of a handler, when it stands in this file."""
        code = getattr(handler.function, "__code__", None)
        if code is None or Path(code.co_filename) != self.path:
            return None
        line = code.co_firstlineno
        starts = {min([f.lineno, *(d.lineno for d in f.decorator_list)]): f for f in self.functions}
        return starts.get(line)


def check_boundaries(app: App) -> list[Finding]:
    """Return everything that crosses a wall, in the order of modules and lines."""
    found = [*_uses(app)]
    for source in sources_of(app):
        found += _imports(app, source)
        for module, function, names in _bodies(source):
            found += _calls(app, module, source, function, names)
            found += _sql(source, function, names)
        for function, names in _reached(source):
            found += _unreplayable(source, function, names)
    found += _contract_files(app)
    return list(dict.fromkeys(found))


def handlers_of(module: Module) -> list[Handler]:
    """Every handler of a module, those of subscriptions included."""
    return [*module.handlers.values(), *(h for s in module.subscriptions.values() for h in s.handlers.values())]


def sources_of(app: App) -> list[Source]:
    """Every file that belongs to a module, once."""
    owners: dict[Path, list[Module]] = {}
    packages: dict[Path, str] = {}
    roots = {m.file.parent for m in app.modules if m.file.name == "__init__.py"}
    for module in app.modules:
        for path, package in _files(module, roots):
            owners.setdefault(path, []).append(module)
            packages[path] = package
    return [Source(path, packages[path], tuple(owners[path])) for path in owners if path.is_file()]


def _files(module: Module, roots: set[Path]) -> Iterator[tuple[Path, str]]:
    folder = module.file.parent
    if module.file.name != "__init__.py":
        yield module.file, module.package
        return
    deeper = [root for root in roots if root != folder and root.is_relative_to(folder)]
    for path in sorted(folder.rglob("*.py")):
        if not any(path.is_relative_to(root) for root in deeper):
            parts = path.relative_to(folder).with_suffix("").parts
            yield path, ".".join([module.package, *(p for p in parts if p != "__init__")])


# --- uses -------------------------------------------------------------------------------------


def _uses(app: App) -> Iterator[Finding]:
    by_name = {m.name: m for m in app.modules}
    for module in app.modules:
        for used in module.uses:
            if used not in by_name:
                yield Finding(
                    code="unknown-module", severity="error", where=module.where,
                    message=f"module {module.name} uses {used!r}, which the application does not have",
                    fix=f"remove it, or add it to App(modules=[...]); there are {', '.join(by_name)}",
                )
        circle = _circle(module.name, by_name)
        if circle and module.name == min(circle):
            yield Finding(
                code="cycle", severity="error", where=module.where,
                message=f"modules use each other in a circle: {' -> '.join([*circle, circle[0]])}",
                fix="turn one of the calls into an event, or merge the modules",
            )


def _circle(start: str, modules: Mapping[str, Module]) -> list[str] | None:
    """The shortest way from a module back to itself."""
    ways, seen = [[start]], {start}
    for way in ways:
        for used in modules[way[-1]].uses if way[-1] in modules else ():
            if used == start:
                return way
            if used not in seen:
                seen.add(used)
                ways.append([*way, used])
    return None


# --- imports ----------------------------------------------------------------------------------


def _imported(tree: ast.AST, package: str, *, is_init: bool) -> Iterator[tuple[ast.stmt, str]]:
    """Every dotted name that a file may import; for `from a import b` both `a` and `a.b`."""
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            for alias in node.names:
                yield node, alias.name
        elif isinstance(node, ast.ImportFrom):
            base = package.split(".")
            base = base[: len(base) - node.level + is_init] if node.level else []
            root = ".".join([*base, *([node.module] if node.module else [])])
            yield node, root
            for alias in node.names:
                yield node, f"{root}.{alias.name}"


def _imports(app: App, source: Source) -> Iterator[Finding]:
    if len(source.modules) != 1:
        return
    own = next(iter(source.modules))
    said: set[int] = set()
    for node, name in _imported(source.tree, source.package, is_init=source.path.name == "__init__.py"):
        other = _owner(app, name)
        if other is None or other.file == own.file or other.name == own.name or node.lineno in said:
            continue
        said.add(node.lineno)
        yield Finding(
            code="foreign-import", severity="error", where=source.at(node),
            message=f"module {own.name} imports code of module {other.name} ({name})",
            fix=f"import the contract it needs, and call or ask module {other.name}",
        )


def _owner(app: App, name: str) -> Module | None:
    inside = [m for m in app.modules if name == m.package or name.startswith(m.package + ".")]
    return max(inside, key=lambda m: len(m.package), default=None)


def _contract_files(app: App) -> Iterator[Finding]:
    classes = [c.message for c in messages_named(app)]
    waiting = list(dict.fromkeys(c.__module__ for c in classes if _owner(app, c.__module__) is None))
    for package in waiting:  # grows: a file that a contracts file imports obeys the same rule
        file = getattr(sys.modules.get(package), "__file__", None)
        if file is None or package == "__main__":
            continue
        path = Path(file)
        tree = ast.parse(path.read_bytes(), file)
        said: set[int] = set()
        for node, name in _imported(tree, package, is_init=path.name == "__init__.py"):
            root = name.partition(".")[0]
            owner = _owner(app, name)
            if owner is None and (root in _SHARED or root == package.partition(".")[0]):
                if root not in _SHARED and name in sys.modules and name not in waiting and _has_code(name):
                    waiting.append(name)
            elif node.lineno not in said:
                said.add(node.lineno)
                what = f"{name}" if owner is None else f"code of module {owner.name} ({name})"
                yield Finding(
                    code="contract-import", severity="error", where=f"{path}:{node.lineno}",
                    message=f"a contracts file imports {what}",
                    fix="contracts import the standard library, headwater and other contracts only",
                )


def _has_code(package: str) -> bool:
    return Path(getattr(sys.modules[package], "__file__", None) or "").name not in ("", "__init__.py")


def messages_named(app: App) -> list[Contract]:
    """Every contract that the application's tables, handlers and contracts packages name, once."""
    named = [h.contract for m in app.modules for h in handlers_of(m)] + [r.contract for a in app.apis for r in a.routes]
    for module in app.modules:
        for upcasts in (module.upcasts, module.event_upcasts):
            named += [contract for upcast in upcasts.values() for contract in (upcast.old, upcast.new)]
    packages = dict.fromkeys(c.message.__module__ for c in named)
    for package in packages:
        for value in vars(sys.modules.get(package, object)).values():
            found = getattr(value, "__dict__", {}).get("__contract__") if isinstance(value, type) else None
            if isinstance(found, Contract):
                named.append(found)
    return list(dict.fromkeys(named))


# --- bodies -----------------------------------------------------------------------------------


def _bodies(source: Source) -> Iterator[tuple[Module, Function, Mapping[str, Any]]]:
    """Functions with the module they belong to; in a shared file only handlers can be told apart."""
    handlers = [(m, h) for m in source.modules for h in handlers_of(m)]
    named = {id(f): h.names for _, h in handlers if (f := source.function_of(h)) is not None}
    if len(source.modules) == 1:
        for function in source.functions:
            yield source.modules[0], function, {**source.names, **named.get(id(function), {})}
        return
    for module, handler in handlers:
        function_node = source.function_of(handler)
        if function_node is not None:
            yield module, function_node, {**handler.function.__globals__, **handler.names}


def _reached(source: Source) -> Iterator[tuple[Function, Mapping[str, Any]]]:
    """Handlers, and the functions of the same file that they call by name."""
    by_name = {f.name: f for f in source.functions}
    waiting: list[tuple[Function, Mapping[str, Any]]] = [
        (node, {**h.function.__globals__, **h.names})
        for m in source.modules for h in handlers_of(m) if (node := source.function_of(h)) is not None
    ]
    seen = {id(node) for node, _ in waiting}
    for node, names in waiting:
        yield node, names
        for call in _calls_in(node):
            callee = by_name.get(call.func.id) if isinstance(call.func, ast.Name) else None
            if callee is not None and id(callee) not in seen:
                seen.add(id(callee))
                waiting.append((callee, names))


def _calls_in(function: Function) -> Iterator[ast.Call]:
    return (n for n in ast.walk(function) if isinstance(n, ast.Call))


def _assigned(function: Function, name: str, line: int) -> ast.expr | None:
    """What a local name was last given before a line."""
    values: list[tuple[int, ast.expr]] = []
    for node in ast.walk(function):
        if isinstance(node, ast.Assign) and any(isinstance(t, ast.Name) and t.id == name for t in node.targets):
            values.append((node.lineno, node.value))
        elif isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.target.id == name:
            values += [(node.lineno, node.value)] if node.value else []
    return max((v for v in values if v[0] <= line), key=lambda v: v[0], default=(0, None))[1]


def resolve_name(node: ast.expr, names: Mapping[str, Any]) -> Any:
    """The object behind `a` or `a.b.c`, or None."""
    if isinstance(node, ast.Name):
        return names.get(node.id)
    if isinstance(node, ast.Attribute):
        return getattr(resolve_name(node.value, names), node.attr, None)
    return None


def contract_made(node: ast.expr, function: Function, names: Mapping[str, Any]) -> Contract | None:
    """The contract of `Name(...)`, `module.Name(...)`, or of a local name that was given one."""
    if isinstance(node, ast.Name):
        given = _assigned(function, node.id, node.lineno)
        return contract_made(given, function, names) if isinstance(given, ast.Call) else None
    if not isinstance(node, ast.Call):
        return None
    made = resolve_name(node.func, names)
    found = made.__dict__.get("__contract__") if isinstance(made, type) else None
    return found if isinstance(found, Contract) else None


def messages_sent(
    function: Function, names: Mapping[str, Any], verbs: tuple[str, ...]
) -> Iterator[tuple[ast.Call, Contract]]:
    """Every `x.verb(Message(...))` of a function whose message can be told."""
    for call in _calls_in(function):
        if isinstance(call.func, ast.Attribute) and call.func.attr in verbs and call.args:
            found = contract_made(call.args[0], function, names)
            if found is not None:
                yield call, found


def _calls(
    app: App, module: Module, source: Source, function: Function, names: Mapping[str, Any]
) -> Iterator[Finding]:
    known = {m.name for m in app.modules}
    for call, contract in messages_sent(function, names, ("call", "ask", "send")):
        owner = contract.module
        if owner != module.name and owner not in module.uses:
            there = "" if owner in known else ", and the application has no such module"
            yield Finding(
                code="undeclared-use", severity="error", where=source.at(call),
                message=f"module {module.name} sends {contract.wire_name}, and does not list {owner!r} in uses{there}",
                fix=f"write Module({module.name!r}, uses=[..., {owner!r}])",
            )


def _sql(source: Source, function: Function, names: Mapping[str, Any]) -> Iterator[Finding]:
    for call in _calls_in(function):
        if isinstance(call.func, ast.Name) and names.get(call.func.id) is page:
            verb, at = "page", 2
        elif isinstance(call.func, ast.Attribute) and call.func.attr in _SQL_AT and _is_rows(call.func, function):
            verb, at = call.func.attr, _SQL_AT[call.func.attr]
        else:
            continue
        if len(call.args) > at and _is_built(call.args[at], function, names):
            yield Finding(
                code="built-sql", severity="error", where=source.at(call),
                message=f"{verb}: this SQL is put together from values",
                fix="write the values as named parameters: execute('... where id = :id', id=...)",
            )


def _is_rows(func: ast.Attribute, function: Function) -> bool:
    if not isinstance(func.value, ast.Name):
        return False
    said = {a.arg: ast.unparse(a.annotation) for a in function.args.args if a.annotation is not None}
    words = said.get(func.value.id, "").replace("|", " ").replace(".", " ").replace('"', " ").replace("'", " ").split()
    return func.value.id in ("tx", "view") or bool({"Tx", "View"} & set(words))


def _is_built(node: ast.expr, function: Function, names: Mapping[str, Any], depth: int = 0) -> bool:
    """Whether text is made from anything but constants of the file."""
    if isinstance(node, ast.Name):
        given = _assigned(function, node.id, node.lineno)
        return given is not None and depth < 4 and _is_built(given, function, names, depth + 1)
    if isinstance(node, ast.JoinedStr):
        return any(not _is_fixed(v.value, function, names) for v in node.values if isinstance(v, ast.FormattedValue))
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Add | ast.Mod):
        return not (_is_fixed(node.left, function, names) and _is_fixed(node.right, function, names))
    if isinstance(node, ast.Call) and isinstance(node.func, ast.Attribute) and node.func.attr in ("format", "join"):
        return not all(_is_fixed(a, function, names) for a in (*node.args, *(k.value for k in node.keywords)))
    return False


def _is_fixed(node: ast.expr, function: Function, names: Mapping[str, Any]) -> bool:
    if isinstance(node, ast.Name):
        local = {a.arg for a in (*function.args.args, *function.args.kwonlyargs)}
        if node.id in local:
            return False
        given = _assigned(function, node.id, node.lineno)
        return isinstance(given, ast.Constant) if given is not None else isinstance(names.get(node.id), str)
    if isinstance(node, ast.BinOp):
        return _is_fixed(node.left, function, names) and _is_fixed(node.right, function, names)
    return isinstance(node, ast.Constant)


def _unreplayable(source: Source, function: Function, names: Mapping[str, Any]) -> Iterator[Finding]:
    for call in _calls_in(function):
        name = _full_name(call.func, names)
        instead = "a provider: Annotated[T, Use(...)]" if name.startswith("random.") else _UNREPLAYABLE.get(name)
        if instead:
            yield Finding(
                code="not-replayable", severity="warning", where=source.at(call),
                message=f"{function.name} calls {name}, which a test or a replay cannot turn", fix=f"use {instead}",
            )


def _full_name(node: ast.expr, names: Mapping[str, Any]) -> str:
    if isinstance(node, ast.Attribute):
        root = _full_name(node.value, names)
        return f"{root}.{node.attr}" if root else ""
    found = names.get(node.id) if isinstance(node, ast.Name) else None
    if isinstance(found, ModuleType):
        return found.__name__
    owner = getattr(found, "__module__", None) or type(getattr(found, "__self__", None)).__module__
    name = getattr(found, "__qualname__", None)
    return f"{owner}.{name.rpartition('.')[2]}" if isinstance(owner, str) and isinstance(name, str) else ""
