"""Which mutants there are: every place of the judging modules that cosmic-ray's operators can change."""

from __future__ import annotations

import ast
import random
import re
from collections import defaultdict
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path

from cosmic_ray.ast import ast_nodes, get_ast
from cosmic_ray.mutating import mutate_code
from cosmic_ray.plugins import get_operator, operator_names

# `is` for `==` changes nothing for None and enum members, which is all that this code compares by `is`: not among them.
_ORDER = "Eq|NotEq|Lt|LtE|Gt|GtE"
_GROUPS = {
    "comparison": rf"ReplaceComparisonOperator_({_ORDER})_({_ORDER})|ReplaceComparisonOperator_Is_IsNot|"
    "ReplaceComparisonOperator_IsNot_Is",
    "arithmetic": "ReplaceBinaryOperator_.*|ReplaceUnaryOperator_(USub|UAdd|Invert).*",
    "boolean": "Replace(True|False|And|Or)With.*|AddNot|ReplaceUnaryOperator_.*Not",
    "constant": "NumberReplacer",
}


@dataclass(frozen=True, slots=True)
class Mutant:
    """One change of one module: what stands in `line` before and after."""

    module: str
    line: int
    group: str
    operator: str
    occurrence: int
    before: str
    after: str

    @property
    def name(self) -> str:
        """What identifies it while the line stays as it is, wherever it moves to."""
        return f"{self.module}: {self.before} -> {self.after}"


def draw(root: Path, modules: Sequence[str], count: int, seed: int) -> list[Mutant]:
    """`count` places at random, and one change at random of each.

    Whether a place is drawn depends on its line alone, so that a change elsewhere does not change the draw.
    """
    places: dict[tuple[str, int, int, str], list[tuple[str, int]]] = defaultdict(list)
    lots: dict[tuple[str, int, int, str], bytes] = {}
    for module in modules:
        source = (root / module).read_text()
        lines = source.splitlines()
        for group, operator, occurrence, (line, column) in _changes(source):
            key = module, line, column, group
            places[key].append((operator, occurrence))
            drawn = f"{seed}:{module}:{lines[line - 1]}:{column}:{group}"
            lots[key] = blake2b(drawn.encode(), digest_size=8).digest()
    found: list[Mutant] = []
    for key in sorted(places, key=lambda key: (lots[key], key)):
        if len(found) == count:
            break
        # Not for secrets: the same change must be drawn again.
        operator, occurrence = random.Random(lots[key]).choice(places[key])
        if mutant := _mutant(root, key, operator, occurrence):
            found.append(mutant)
    return found


def mutated(source: str, mutant: Mutant) -> str:
    """The text of the module with the change in it."""
    text = mutate_code(source, get_operator(f"core/{mutant.operator}")(), mutant.occurrence)
    if text is None:
        raise ValueError(f"nothing to change: {mutant}")
    return str(text)


def _changes(source: str) -> Iterator[tuple[str, str, int, tuple[int, int]]]:
    nodes = list(ast_nodes(get_ast(source)))
    for full_name in sorted(operator_names()):
        operator = full_name.removeprefix("core/")
        group = next((name for name, pattern in _GROUPS.items() if re.fullmatch(pattern, operator)), None)
        if group is None:
            continue
        made = get_operator(full_name)()
        places = (start for node in nodes for start, _ in made.mutation_positions(node))
        for occurrence, start in enumerate(places):
            yield group, operator, occurrence, start


def _mutant(root: Path, key: tuple[str, int, int, str], operator: str, occurrence: int) -> Mutant | None:
    """None if only an annotation, a docstring or nothing that Python reads is changed, or it is not valid Python."""
    module, line, _, group = key
    source = (root / module).read_text()
    drafted = Mutant(module, line, group, operator, occurrence, "", "")
    text = mutated(source, drafted)
    try:
        if _meaning(text) == _meaning(source):
            return None
    except SyntaxError:
        return None
    lines = zip(source.splitlines(), text.splitlines(), strict=False)
    before, after = next((old.strip(), new.strip()) for old, new in lines if old != new)
    return Mutant(module, line, group, operator, occurrence, before, after)


class _Bare(ast.NodeTransformer):
    """Takes away what judges nothing: annotations, decorators (frozen, slots), and the guard `strict` of zip."""

    def visit_arg(self, node: ast.arg) -> ast.arg:
        node.annotation = None
        return node

    def visit_AnnAssign(self, node: ast.AnnAssign) -> ast.AST:
        node.annotation = ast.Constant(None)
        self.generic_visit(node)
        return node

    def visit_ClassDef(self, node: ast.ClassDef) -> ast.AST:
        node.decorator_list = []
        self.generic_visit(node)
        return node

    def visit_Call(self, node: ast.Call) -> ast.AST:
        if isinstance(node.func, ast.Name) and node.func.id == "zip":
            node.keywords = []
        self.generic_visit(node)
        return node

    def visit_FunctionDef(self, node: ast.FunctionDef) -> ast.AST:
        node.returns, node.decorator_list = None, []
        self.generic_visit(node)
        return node


def _meaning(source: str) -> str:
    return ast.dump(_Bare().visit(ast.parse(source)))
