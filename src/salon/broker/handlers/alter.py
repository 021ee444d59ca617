"""AlterConfigs (33) and IncrementalAlterConfigs (44): settings of topics.

Settings of the broker are given when it starts, and say so when somebody tries.
"""

from collections.abc import Callable, Mapping
from typing import Any

from salon.broker.channel import Request
from salon.broker.errors import ApiError, Code
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.protocol.cold import make

_TOPIC = 2
_SET, _DELETE, _APPEND, _SUBTRACT = range(4)
_LISTS = ("cleanup.policy",)

Settings = Mapping[str, str]


async def alter_configs(context: Context, request: Request) -> None:
    """Replace all settings of each topic by those that are sent."""

    def replaced(_: Settings, configs: Any) -> Settings:
        return {c.name: c.value for c in configs if c.value is not None}

    await _alter(context, request, replaced)


async def incremental_alter_configs(context: Context, request: Request) -> None:
    """Set, remove, extend or shorten single settings (KIP-339)."""
    await _alter(context, request, _changed)


def _changed(settings: Settings, configs: Any) -> Settings:
    """``settings`` after the operations.

    Raises:
        ApiError: theirs; an unknown operation, or a list operation on no list.
    """
    new = dict(settings)
    for config in configs:
        name, value = config.name, config.value
        if config.config_operation == _DELETE:
            new.pop(name, None)
        elif value is None or not _SET <= config.config_operation <= _SUBTRACT:
            raise ApiError(Code.INVALID_REQUEST, f"{name}: no such operation")
        elif config.config_operation == _SET:
            new[name] = value
        elif name not in _LISTS:
            raise ApiError(Code.INVALID_CONFIG, f"{name} is no list")
        else:
            have = [v for v in new.get(name, "delete").split(",") if v != value]
            if config.config_operation == _APPEND:
                have.append(value)
            new[name] = ",".join(have)
    return new


async def _alter(
    context: Context, request: Request, change: Callable[[Settings, Any], Settings]
) -> None:
    asked = answers.decode(request)
    schema = answers.schema(request)
    results = []
    for resource in asked.resources:
        code, message = Code.NONE, None
        try:
            if resource.resource_type != _TOPIC:
                raise ApiError(
                    Code.INVALID_REQUEST,
                    "only topics are changed while the broker runs",
                )

            def changed(
                settings: Settings, configs: Any = resource.configs
            ) -> Settings:
                return change(settings, configs)

            await context.admin.configure(
                resource.resource_name, changed, validate_only=asked.validate_only
            )
        except ApiError as error:
            code, message = error.code, error.message
        results.append(
            make(
                schema.AlterConfigsResourceResponse,
                error_code=code,
                error_message=message,
                resource_type=resource.resource_type,
                resource_name=resource.resource_name,
            )
        )
    request.failed = any(r.error_code for r in results)
    answers.respond(request, responses=results)
