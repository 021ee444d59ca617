"""Consumer groups: joining, syncing, being alive, leaving, and what admins ask.

JoinGroup (11), Heartbeat (12), LeaveGroup (13), SyncGroup (14), DescribeGroups (15),
ListGroups (16), DeleteGroups (42).
"""

from functools import partial
from typing import Any

from salon.broker.channel import Request
from salon.broker.errors import Code
from salon.broker.groups.coordinator import Join, JoinResult, SyncResult
from salon.broker.groups.group import Group
from salon.broker.handlers import answers
from salon.broker.handlers.context import Context
from salon.broker.protocol.cold import make, milliseconds

_NO_OPERATIONS = -(2**31)


def join_group(context: Context, request: Request) -> None:
    asked = answers.decode(request)
    version = request.header.api_version
    session = milliseconds(asked.session_timeout)
    rebalance = getattr(asked, "rebalance_timeout", None)
    join = Join(
        group_id=asked.group_id,
        member_id=asked.member_id,
        instance_id=getattr(asked, "group_instance_id", None),
        client_id=request.header.client_id or "",
        host=f"/{request.connection.host}",
        session_timeout_ms=session,
        rebalance_timeout_ms=session if rebalance is None else milliseconds(rebalance),
        protocol_type=asked.protocol_type,
        protocols=[(p.name, bytes(p.metadata)) for p in asked.protocols],
        requires_member_id=version >= 4,
        may_skip_assignment=version >= 9,
    )

    def answer(result: JoinResult) -> None:
        schema = answers.schema(request)
        request.failed = bool(result.error)
        members = [
            make(
                schema.JoinGroupResponseMember,
                member_id=member_id,
                group_instance_id=instance_id,
                metadata=metadata,
            )
            for member_id, instance_id, metadata in result.members
        ]
        # Before v7 the protocol could not be null.
        protocol = result.protocol if version >= 7 else result.protocol or ""
        answers.respond(
            request,
            error_code=result.error,
            generation_id=result.generation,
            protocol_type=result.protocol_type,
            protocol_name=protocol,
            leader=result.leader,
            skip_assignment=result.skip_assignment,
            member_id=result.member_id,
            members=members,
        )

    context.groups.join(join, answer)


def sync_group(context: Context, request: Request) -> None:
    asked = answers.decode(request)

    def answer(result: SyncResult) -> None:
        request.failed = bool(result.error)
        answers.respond(
            request,
            error_code=result.error,
            protocol_type=result.protocol_type,
            protocol_name=result.protocol,
            assignment=result.assignment,
        )

    context.groups.sync(
        asked.group_id,
        asked.generation_id,
        asked.member_id,
        getattr(asked, "group_instance_id", None),
        [(a.member_id, bytes(a.assignment)) for a in asked.assignments],
        answer,
    )


def heartbeat(context: Context, request: Request) -> None:
    asked = answers.decode(request)
    code = context.groups.heartbeat(
        asked.group_id,
        asked.generation_id,
        asked.member_id,
        getattr(asked, "group_instance_id", None),
    )
    answers.respond(request, error_code=code)


def leave_group(context: Context, request: Request) -> None:
    asked = answers.decode(request)
    if request.header.api_version < 3:
        code = context.groups.leave(asked.group_id, asked.member_id, None)
        answers.respond(request, error_code=code)
        return
    schema = answers.schema(request)
    members = [
        make(
            schema.MemberResponse,
            member_id=member.member_id,
            group_instance_id=member.group_instance_id,
            error_code=context.groups.leave(
                asked.group_id, member.member_id, member.group_instance_id
            ),
        )
        for member in asked.members
    ]
    answers.respond(request, error_code=Code.NONE, members=members)


def describe_groups(context: Context, request: Request) -> None:
    asked = answers.decode(request)
    schema = answers.schema(request)

    def one(group_id: str) -> Any:
        group = context.groups.get(group_id)
        # Since v6 an unknown group is an error; before it was shown as dead.
        unknown = group is None and request.header.api_version >= 6
        shown = Group(group_id) if group is None else group
        fields = shown.snapshot()
        if group is None:
            fields["group_state"] = "Dead"
        return make(
            schema.DescribedGroup,
            error_code=Code.GROUP_ID_NOT_FOUND if unknown else Code.NONE,
            error_message=f"no group {group_id!r}" if unknown else None,
            group_id=group_id,
            members=[
                make(schema.DescribedGroupMember, **member)
                for member in context.groups.describe(shown)
            ],
            authorized_operations=_NO_OPERATIONS,
            **fields,
        )

    answers.respond(request, groups=[one(group_id) for group_id in asked.groups])


def list_groups(context: Context, request: Request) -> None:
    asked = answers.decode(request)
    schema = answers.schema(request)
    states = {state.lower() for state in getattr(asked, "states_filter", ())}
    types = {kind.lower() for kind in getattr(asked, "types_filter", ())}
    groups = [
        make(
            schema.ListedGroup,
            group_id=group.id,
            protocol_type=group.protocol_type or "",
            group_state=group.state.value,
            group_type="classic",
        )
        for group in context.groups.all()
        if (not states or group.state.value.lower() in states)
        and (not types or "classic" in types)
    ]
    answers.respond(request, error_code=Code.NONE, groups=groups)


def delete_groups(context: Context, request: Request) -> None:
    asked = answers.decode(request)
    schema = answers.schema(request)
    names = list(asked.groups_names)
    results: dict[str, Code] = {}

    def done(name: str, code: Code) -> None:
        results[name] = code
        if len(results) == len(set(names)):
            answers.respond(
                request,
                results=[
                    make(
                        schema.DeletableGroupResult,
                        group_id=name,
                        error_code=results[name],
                    )
                    for name in names
                ],
            )

    if not names:
        answers.respond(request, results=[])
    for name in dict.fromkeys(names):
        context.groups.delete(name, partial(done, name))
