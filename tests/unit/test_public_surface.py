"""What other teams import: names, documentation, type tokens and dependencies."""

from __future__ import annotations

import ast
import importlib
import importlib.util
import inspect
import pkgutil
import re
import sys
import tomllib
from collections.abc import Iterator
from types import ModuleType

import pulumi
import pytest
import rayfort
from packaging.requirements import Requirement
from pydantic import BaseModel
from rayfort.component import Component
from rayfort.model import Model

from tests.unit import samples
from tests.unit.recorder import record

LIBRARY = samples.ROOT / "components"
# The modules that a distribution of another name brings.
MODULES = {
    "lazy-loader": "lazy_loader",
    "pulumi-gcp": "pulumi_gcp",
    "pulumi-kubernetes": "pulumi_kubernetes",
    "pulumi-policy": "pulumi_policy",
    "pulumi-random": "pulumi_random",
    "PyYAML": "yaml",
}


def modules() -> Iterator[ModuleType]:
    yield rayfort
    for info in pkgutil.walk_packages(rayfort.__path__, "rayfort."):
        yield importlib.import_module(info.name)


def public(module: ModuleType) -> Iterator[tuple[str, object]]:
    """Classes and functions that a module defines for others."""
    for name, value in vars(module).items():
        defined_here = getattr(value, "__module__", None) == module.__name__
        if (
            defined_here
            and not name.startswith("_")
            and (inspect.isclass(value) or inspect.isfunction(value))
        ):
            yield f"{module.__name__}.{name}", value


def members(qualified: str, value: object) -> Iterator[tuple[str, object]]:
    """A class's own public methods and properties."""
    if inspect.isclass(value):
        for name, member in vars(value).items():
            if not name.startswith("_") and (inspect.isfunction(member) or isinstance(member, property)):
                yield f"{qualified}.{name}", member


PUBLIC = [item for module in modules() for item in public(module)]
EVERYTHING = [*PUBLIC, *(member for item in PUBLIC for member in members(*item))]
MODELS = [
    (name, value)
    for name, value in PUBLIC
    if inspect.isclass(value) and issubclass(value, BaseModel) and value is not Model
]
COMPONENTS = [
    (name, value)
    for name, value in PUBLIC
    if inspect.isclass(value) and issubclass(value, Component) and value is not Component
]


def section(docstring: str, title: str) -> dict[str, str]:
    """The entries of a docstring's section, by name: ``name: text`` or ``one, two: text``."""
    lines = inspect.cleandoc(docstring).splitlines()
    if f"{title}:" not in lines:
        return {}
    entries: dict[str, str] = {}
    for line in lines[lines.index(f"{title}:") + 1 :]:
        if line and not line.startswith(" "):
            break
        found = re.match(r"    ([a-z_]+(?:, [a-z_]+)*): (.+)", line)
        if found:
            entries.update(dict.fromkeys(found[1].split(", "), found[2]))
    return entries


def test_everything_that_is_promised_can_be_imported() -> None:
    """`from rayfort import *` must not fail."""
    for name in rayfort.__all__:
        assert getattr(rayfort, name)
    assert list(rayfort.__all__) == sorted(set(rayfort.__all__))


def test_every_component_and_its_arguments_are_promised() -> None:
    """A component that is not exported cannot be used without reaching inside."""
    for name, component in COMPONENTS:
        short = name.rpartition(".")[2]
        assert short in rayfort.__all__, name
        arguments = list(inspect.signature(component).parameters.values())[1].annotation
        assert issubclass(arguments, Model)
        assert arguments.__name__ in rayfort.__all__


def test_every_module_says_what_it_is() -> None:
    """The first line of a file is what a reader decides by."""
    for module in modules():
        assert module.__doc__, module.__name__


@pytest.mark.parametrize(("name", "value"), EVERYTHING, ids=[name for name, _ in EVERYTHING])
def test_everything_public_has_a_docstring(name: str, value: object) -> None:
    """A name alone does not say units, accepted values and errors."""
    text = value.__doc__
    assert text, name
    assert text.strip()[0].isupper() or text.startswith("`"), text
    first = inspect.cleandoc(text).partition("\n\n")[0]
    assert first.endswith((".", ":")), first


@pytest.mark.parametrize(("name", "model"), MODELS, ids=[name for name, _ in MODELS])
def test_every_field_of_a_model_is_documented(name: str, model: type[BaseModel]) -> None:
    """These texts are the reference of the settings, and what editors show."""
    documented: dict[str, str] = {}
    for base in model.__mro__:
        if issubclass(base, BaseModel):
            documented |= section(base.__dict__.get("__doc__") or "", "Args")
    assert set(model.model_fields) <= set(documented), set(model.model_fields) - set(documented)


@pytest.mark.parametrize(("name", "model"), MODELS, ids=[name for name, _ in MODELS])
def test_no_document_names_a_field_that_is_not_there(name: str, model: type[BaseModel]) -> None:
    """A renamed field leaves its text behind."""
    assert set(section(model.__dict__.get("__doc__") or "", "Args")) <= set(model.model_fields)


@pytest.mark.parametrize(("name", "component"), COMPONENTS, ids=[name for name, _ in COMPONENTS])
def test_every_output_of_a_component_is_documented(name: str, component: type[Component]) -> None:
    """Annotations of the class body are the component's outputs."""
    outputs = [field for field in inspect.get_annotations(component) if not field.startswith("_")]
    assert outputs
    assert set(outputs) == set(section(component.__doc__ or "", "Attributes"))


@pytest.mark.parametrize("name", samples.COMPONENTS)
def test_type_tokens_are_what_the_component_host_serves(name: str) -> None:
    """A changed token replaces the component and everything in it."""
    make = samples.COMPONENTS[name]
    run = record(lambda: make(samples.on_cluster()))
    assert len(run.all(f"rayfort:index:{name}")) == 1
    assert run.one("rayfort:index:ExistingCluster")


def test_every_component_is_among_those_that_are_tested() -> None:
    """A new one must not slip past the invariants."""
    names = {name.rpartition(".")[2] for name, _ in COMPONENTS}
    assert names == {*samples.COMPONENTS, "ExistingCluster", "GkeCluster", "KindCluster"}


def test_components_take_pulumis_usual_arguments() -> None:
    """Name, arguments, options, in this order: what a Pulumi user writes without looking."""
    for _, component in COMPONENTS:
        parameters = list(inspect.signature(component).parameters.values())
        assert [parameter.name for parameter in parameters[:3]] == ["name", "args", "opts"]
        assert parameters[2].default is None
        assert all(parameter.kind is parameter.KEYWORD_ONLY for parameter in parameters[3:])
        assert issubclass(component, pulumi.ComponentResource)


def declared() -> dict[str, Requirement]:
    """The dependencies of the distribution and of its extras, by the module that each brings."""
    project = tomllib.loads((LIBRARY / "pyproject.toml").read_text())["project"]
    extras = project.get("optional-dependencies", {}).values()
    texts = [*project["dependencies"], *(text for extra in extras for text in extra)]
    requirements = [Requirement(text) for text in texts]
    return {MODULES.get(requirement.name, requirement.name): requirement for requirement in requirements}


def imported() -> set[str]:
    """The modules outside the standard library that the library's sources import."""
    found: set[str] = set()
    for file in (LIBRARY / "rayfort").rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                found |= {alias.name.partition(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                found.add(node.module.partition(".")[0])
    return found - set(sys.stdlib_module_names) - {"rayfort"}


def test_declared_dependencies_can_be_imported() -> None:
    """A name that is misspelt there fails at a user's first import."""
    for module in declared():
        assert importlib.util.find_spec(module), module


def test_what_is_imported_is_declared_and_nothing_else() -> None:
    """What only comes along with another distribution is gone when that one drops it."""
    # pydantic and its core are released together.
    assert imported() - {"pydantic_core"} == set(declared())


def test_every_dependency_has_both_bounds() -> None:
    """A new major version of Pulumi must not arrive by itself."""
    for requirement in declared().values():
        operators = {specifier.operator for specifier in requirement.specifier}
        assert operators == {">=", "<"}, requirement


def test_the_library_is_typed() -> None:
    """Without the marker a type checker ignores all annotations."""
    assert (LIBRARY / "rayfort" / "py.typed").exists()


def test_the_library_knows_nothing_of_this_repositorys_program() -> None:
    """It is installed without `infra`, `sandbox` and `cli`."""
    assert not imported() & {"infra", "sandbox", "cli", "tests"}
