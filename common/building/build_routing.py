"""From the `routing` of a spec to routing functions: finds the function, makes it, binds its options."""

from __future__ import annotations

import inspect
from collections.abc import Callable, Mapping, Sequence
from dataclasses import replace
from inspect import Parameter
from typing import Any

from common.errors import Loc, SpecFault, UnknownType, UsageError, describe
from common.naming.catalogue import paths
from common.naming.registry import resolve_function
from common.routing import RoutingBatchFunction, is_factory
from common.spec.spec import PipelineSpec, RoutingSpec
from common.words.faults import hint, shown


def build_routing(spec: PipelineSpec, *, allow: Sequence[str] = ()) -> dict[str, RoutingBatchFunction]:
    """The routing functions of a pipeline, by routing step; see `build_routing_function`."""
    return {name: build_routing_function(name, routing, allow=allow) for name, routing in spec.routing.items()}


def build_routing_function(name: str, routing: RoutingSpec, *, allow: Sequence[str] = ()) -> RoutingBatchFunction:
    """The routing function of step `name`, with its options.

    `module:function` is a routing batch function; or a factory, annotated to return one and called with the
    options; or a function without the decorator, which takes the names of the successors, then options.

    Args:
        allow: modules that it may be imported from; see `registry.resolve_function`.

    Raises:
        SpecFault: the function does not exist or cannot be imported, or an option is invalid; `loc` is below
            ("routing", name).
    """
    loc: Loc = ("routing", name)
    built_in = paths("routing function")
    if ":" not in routing.function and routing.function not in built_in:
        raise SpecFault(
            f"routing of '{name}': there is no function '{routing.function}'"
            f"{hint(routing.function, built_in, 'there is')} (write your own as module:function)",
            (*loc, "function"),
        )
    try:
        found: Any = resolve_function(routing.function, allow)
        if isinstance(found, RoutingBatchFunction):
            made = found.bind(**routing.params)
        elif is_factory(found):
            made = _call_factory(found, routing.params)
        else:
            made = RoutingBatchFunction(found).bind(**routing.params)
        return replace(made, found_as=routing.function)
    except UnknownType as error:
        raise SpecFault(f"routing of '{name}': {error}", (*loc, "function")) from error
    except UsageError as error:
        raise SpecFault(f"routing of '{name}': {error}", loc) from error
    except Exception as error:  # any error in the user's own factory
        raise SpecFault(f"routing of '{name}': {routing.function} raised {describe(error)}", loc) from error


def _call_factory(factory: Callable[..., Any], options: Mapping[str, Any]) -> RoutingBatchFunction:
    name = getattr(factory, "__qualname__", repr(factory))
    parameters = inspect.signature(factory).parameters
    if not any(one.kind is Parameter.VAR_KEYWORD for one in parameters.values()):
        for option in options:
            if option not in parameters:
                raise UsageError(f"'{name}' has no option '{option}'{hint(option, parameters, 'it has')}")
    for one in parameters.values():
        named = one.kind in (Parameter.POSITIONAL_OR_KEYWORD, Parameter.KEYWORD_ONLY)
        if named and one.default is Parameter.empty and one.name not in options:
            raise UsageError(f"'{name}' needs its option '{one.name}'")
    made = factory(**options)
    if not isinstance(made, RoutingBatchFunction):
        raise UsageError(f"'{name}' returns {shown(made)}, not a RoutingBatchFunction as it says")
    return made if made.factory is not None else replace(made, factory=factory, options=dict(options))
