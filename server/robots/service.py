"""The part of the fleet service that tells of robots."""

from __future__ import annotations

import json

import grpc

from agent.proto import fleet_pb2 as pb
from server.fitting import fitting
from server.robots.decisions import Decisions
from server.robots.roster import Roster

_SENT = 1000
"""Decisions in an answer: the newest, fewer if they are long."""

_LONGEST_LAST = 100
"""Characters of a robot's last decision; ListDecisions has the whole."""


class RobotsService:
    """``ListRobots`` and ``ListDecisions``.

    Args:
        roster, decisions: What is known.
    """

    def __init__(self, roster: Roster, decisions: Decisions) -> None:
        self._roster = roster
        self._decisions = decisions

    def ListRobots(
        self, request: pb.ListRobotsRequest, context: grpc.ServicerContext
    ) -> pb.ListRobotsResponse:
        robots = (
            pb.Robot(
                name=robot.name,
                state=robot.state,
                heard=robot.heard,
                episodes=robot.episodes,
                new_episodes=robot.new_episodes,
                release=robot.release,
                last_decision=self._last(robot.name),
            )
            for robot in self._roster.all()
        )
        return pb.ListRobotsResponse(robots=fitting(robots))

    def ListDecisions(
        self, request: pb.ListDecisionsRequest, context: grpc.ServicerContext
    ) -> pb.ListDecisionsResponse:
        found = self._decisions.find(robot=request.robot, version=request.version)
        newest = fitting(
            pb.Decision(
                robot=event.robot,
                time=event.time,
                event=event.event,
                cause=event.cause,
                data_json=json.dumps(event.data),
            )
            for event in reversed(found[-_SENT:])
        )
        return pb.ListDecisionsResponse(decisions=reversed(newest))

    def _last(self, robot: str) -> str:
        last = self._decisions.last(robot)
        if last is None:
            return ""
        text = f"{last.event}: {last.cause}"
        return text if len(text) <= _LONGEST_LAST else f"{text[: _LONGEST_LAST - 1]}…"
