"""Everything of Flower that is private and that the robot needs, in one place.

Flower's own executor installs the app bundle that the server sent and runs it. Flower 1.39 offers
no public way to run something else: what a task consists of is read here through the classes that
its own executor uses. Nothing of Flower is replaced; the watch over the SuperNode's loop is the one
exception. Written against flwr 1.39.0; ``tests/agent/federation/test_flower_runtime.py`` fails when
another release is installed.

=====================================  =========================================================
private part                           what for
=====================================  =========================================================
``RuntimeHttpClient``, 3 interceptors  calls to the SuperNode's Runtime API, with their headers
``make_simple_http_retry_invoker``     a call that meets a SuperNode on its way down is repeated
``pull_task_input``, ``push_message``  the message and its arrays, chunk by chunk, both ways
``push_task_output``                   the end of a task
``HeartbeatSender`` and its function   a task without a heartbeat is given up by the SuperNode
``add_exit_handler``                   to be asked before Flower ends the SuperNode's process
2 functions of the SuperNode's loop    wrapped, to know whether it still comes round, to send
                                       answers that it would keep until the next question
``RunNotRunningException``             passes by what ends a task; wrapped so that it doesn't
=====================================  =========================================================
"""

from __future__ import annotations

import importlib
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
from flwr.app import Error, Message
from flwr.clientapp import ClientApp
from flwr.common.constant import ErrorCode, SubStatus
from flwr.proto.runtime_pb2 import AcquireTaskRequest
from flwr.supercore.auth import load_superexec_auth_secret
from flwr.supercore.constant import TaskType
from flwr.supercore.exit import add_exit_handler
from flwr.supercore.heartbeat import HeartbeatSender, make_task_heartbeat_fn_http
from flwr.supercore.interceptors import (
    RuntimeTokenHttpInterceptor,
    RuntimeVersionHttpInterceptor,
    SuperExecAuthHttpInterceptor,
)
from flwr.supercore.retry import make_simple_http_retry_invoker
from flwr.supercore.run import RunNotRunningException
from flwr.supercore.runtime import RuntimeHttpClient
from flwr.supernode.runtime.run_clientapp import pull_task_input, push_message, push_task_output

from robots.errors import FederationError

WRITTEN_FOR = "1.39.0"

_RETRY_S = 30.0
"""How long a task looks for its SuperNode: one that was started anew knows nothing of the task."""

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class RuntimeAddress:
    """Where a SuperNode takes its executor's calls.

    Args:
        address: host:port, on loopback, plain HTTP.
        secret: File with what executor and SuperNode share.
    """

    address: str
    secret: Path


class TaskQueue:
    """The tasks of one SuperNode, for its executor.

    Args:
        runtime: The SuperNode.

    Raises:
        FederationError: the secret can't be read.
    """

    def __init__(self, runtime: RuntimeAddress) -> None:
        try:
            secret = load_superexec_auth_secret(secret_file=str(runtime.secret))
        except (OSError, ValueError) as error:
            raise FederationError(
                f"can't be read: {error}", field="secret", value=runtime.secret
            ) from error
        self._client = RuntimeHttpClient.from_server_address(
            server_address=runtime.address,
            insecure=True,
            root_certificates=None,
            interceptors=[
                RuntimeVersionHttpInterceptor(component_name="SuperExec"),
                SuperExecAuthHttpInterceptor(
                    master_secret=secret, protected_methods={"/flwr.proto.Runtime/AcquireTask"}
                ),
            ],
        )

    def close(self) -> None:
        self._client.close()

    def next(self) -> str | None:
        """The token of the next task, which is this executor's from now on; ``None``: none waits.

        Raises:
            FederationError: the SuperNode doesn't answer.
        """
        request = AcquireTaskRequest(supported_task_types=[TaskType.CLIENT_APP])
        try:
            response = self._client.AcquireTask(request)
        except httpx.HTTPError as error:
            raise FederationError(f"the SuperNode does not answer ({error!r})") from error
        return str(response.token) if response.HasField("task") and response.token else None


def load_app(reference: str) -> ClientApp:
    """The ClientApp that is installed here.

    Args:
        reference: ``module:attribute``.
    """
    module, _, attribute = reference.partition(":")
    app = getattr(importlib.import_module(module), attribute)
    assert isinstance(app, ClientApp), reference
    return app


def run_task(address: str, token: str, app: ClientApp) -> None:
    """Answer one message with ``app``. The bundle that came with it is dropped unopened, and so is
    its configuration: ``app`` finds an empty ``run_config``.

    Args:
        address: Of the SuperNode's Runtime API.
        token: Of the task.
        app: The installed ClientApp.
    """
    retries = make_simple_http_retry_invoker()
    retries.max_time = _RETRY_S
    client = RuntimeHttpClient.from_server_address(
        server_address=address,
        insecure=True,
        root_certificates=None,
        interceptors=[
            RuntimeVersionHttpInterceptor(component_name="flwr-clientapp"),
            RuntimeTokenHttpInterceptor(token),
        ],
        retry_invoker=retries,
    )
    heartbeat = HeartbeatSender(make_task_heartbeat_fn_http(client))
    heartbeat.start()
    message, context, _, _ = pull_task_input(client)
    context.run_config = {}
    status, details = SubStatus.COMPLETED, ""
    try:
        reply = app(message=message, context=context)
    except Exception as error:  # whatever an app raises is its answer
        log.exception("the ClientApp raised")
        status, details = SubStatus.FAILED, f"{type(error).__name__}: {error}"
        code = ErrorCode.CLIENT_APP_RAISED_EXCEPTION
        reply = Message(Error(code=code, reason=details), reply_to=message)
    push_message(client, reply, context)
    push_task_output(client, context, status, details)
    if heartbeat.is_running:
        heartbeat.stop()
    client.close()


def before_exit(act: Callable[[], None]) -> None:
    """Have ``act`` called when Flower decides to end this process, before it does."""
    add_exit_handler(act, run_before_force_exit=True)


class _Ready:
    """A SuperNode's state whose answers were taken out of it already."""

    def __init__(self, state: Any, answers: Sequence[Message]) -> None:
        self._state = state
        self._answers = answers

    def get_messages(self, *, is_reply: bool) -> Sequence[Message]:
        return self._answers

    def __getattr__(self, name: str) -> Any:
        return getattr(self._state, name)


def watch_loop(alive: Callable[[], None], waits: Callable[[], None]) -> None:
    """Be told how the loop of the SuperNode in this process gets on, and keep it from lagging.

    A message whose run ends while it is being received is dropped by the loop, but its task isn't:
    its executor waits two hours for arrays that never come, and answers nothing meanwhile. Here
    that is a message that could not be received, of which the loop ends the task. An answer of such
    a run would be sent in place of the next one, which then waits for another question, and so on;
    here what is ready is sent whenever there is nothing to receive.

    Args:
        alive: Called after each answer of the SuperLink.
        waits: Called when the loop begins to wait for the ClientApp: however long that takes.
    """
    from flwr.supernode import start_client_internal as loop

    pull, push = loop._pull_and_store_message, loop._push_messages
    sending: dict[str, Any] = {}
    """How answers are sent; known with the first."""

    def told(call: Callable[..., Any]) -> Callable[..., Any]:
        def then(*args: Any, **named: Any) -> Any:
            result = call(*args, **named)
            alive()
            return result

        return then

    def plainly(call: Callable[..., Any]) -> Callable[..., Any]:
        def then(*args: Any, **named: Any) -> Any:
            try:
                return call(*args, **named)
            except RunNotRunningException as error:
                raise FederationError("the run ended while its message was received") from error

        return then

    def pulls(**named: Any) -> int | None:
        for name in ("pull_object", "confirm_message_received"):
            named[name] = plainly(named[name])
        run: int | None = told(pull)(**named)
        if run is None and sending and (ready := named["state"].get_messages(is_reply=True)):
            push(**{**sending, "state": _Ready(named["state"], ready)})
        return run

    def pushes(**named: Any) -> None:
        sending.update(
            {**named, "send": told(named["send"]), "push_object": told(named["push_object"])}
        )
        waits()
        push(**sending)
        alive()

    loop._pull_and_store_message = pulls
    loop._push_messages = pushes
