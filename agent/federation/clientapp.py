"""The ClientApp: what a SuperNode runs when the server wants something of this robot.

It lives for the time of a message. An order (:mod:`agent.federation.wire`) is written to the disk
and answered at once; the trainer, a process of the agent, does the work. A message of a plain
Flower strategy, arrays and a configuration without an order, is trained or measured here and
answered when that is done.

It trusts nothing in a message: the work is bounded by :class:`TrainConfig`, the frozen part that
the server means must be the robot's own, and each tensor is checked before it is used. What its
owner allows holds for plain messages too.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from flwr.app import ConfigRecord, Context, Message, MetricRecord, RecordDict
from flwr.clientapp import ClientApp

from agent.federation import plain
from agent.federation.conditions import Conditions
from agent.federation.orders import Orders, Reply, refused
from agent.federation.query import statistics
from agent.federation.simulation import PARTITION, PARTITIONS
from agent.federation.wire import ANSWER, ARRAYS, METRICS, OPTED_OUT, ORDER, REPORT, Order
from agent.training.home import Home
from robots.errors import ArmadaError, FederationError

if TYPE_CHECKING:
    from agent.federation.jobs.job import Job

app = ClientApp()


@app.train()  # type: ignore[untyped-decorator]
def train(message: Message, context: Context) -> Message:
    """Take an order to train, or train at once."""
    home = _home(context)
    if ORDER in message.content:
        return _ordered(message, home)
    # A client of a simulation has a share, and no owner.
    if home.share is None and (reason := Conditions(home).why_not()):
        return plain.decline(message, home, FederationError(reason))
    return plain.train(message, home)


@app.evaluate()  # type: ignore[untyped-decorator]
def evaluate(message: Message, context: Context) -> Message:
    """Take an order to measure, or measure at once."""
    home = _home(context)
    if ORDER in message.content:
        return _ordered(message, home)
    if home.training.opt_out:
        return plain.decline(message, home, FederationError(f"{OPTED_OUT}: --training.opt_out"))
    return plain.evaluate(message, home)


@app.query("about")  # type: ignore[untyped-decorator]
def about(message: Message, context: Context) -> Message:
    """Say which client of a simulation this is."""
    return plain.about(message, _home(context), int(context.node_config.get(PARTITIONS, 1)))


def _home(context: Context) -> Home:
    """The robot's own, or that of a client of Flower's simulation."""
    if PARTITION in context.node_config:
        # Imported here: a robot needs none of it, and it takes seconds.
        from agent.federation.simulation.setting import Setting

        return Setting.of(context.run_config, context.run_id).home(context.node_config)
    return Home.of(context.node_config)


@app.query()  # type: ignore[untyped-decorator]
def query(message: Message, context: Context) -> Message:
    """Say what the robot's episodes add up to."""
    home = Home.of(context.node_config)
    return Message(content=statistics(home), reply_to=message)


def _ordered(message: Message, home: Home) -> Message:
    try:
        reply = Orders(home).take(Order.from_record(message.content[ORDER]))
        content = _content(reply)
    except ArmadaError as error:
        content = RecordDict({ANSWER: refused(home, error).to_record()})
    return Message(content=content, reply_to=message)


def _content(reply: Reply) -> RecordDict:
    content = RecordDict({ANSWER: reply.answer.to_record()})
    if reply.job is not None:
        _add_result(content, reply.job)
    return content


def _add_result(content: RecordDict, job: Job) -> None:
    """What a finished job has to say, and its update."""
    result = job.result or {}
    content[METRICS] = MetricRecord(result["metrics"])
    content[REPORT] = ConfigRecord(result["report"])
    if job.update.is_file():
        from agent.policy import weights
        from agent.training.arrays import to_record

        content[ARRAYS] = to_record(weights.load(job.update))
