"""The part of the fleet service that tells of robots."""

from __future__ import annotations

import json

import grpc

from agent.proto import fleet_pb2 as pb
from server.robots.decisions import Decisions
from server.robots.roster import Roster

_SENT = 1000
"""Decisions in an answer: the newest; a message of gRPC has 4 MiB."""


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
        robots = []
        for robot in self._roster.all():
            last = self._decisions.last(robot.name)
            robots.append(
                pb.Robot(
                    name=robot.name,
                    state=robot.state,
                    heard=robot.heard,
                    episodes=robot.episodes,
                    new_episodes=robot.new_episodes,
                    release=robot.release,
                    last_decision="" if last is None else f"{last.event}: {last.cause}",
                )
            )
        return pb.ListRobotsResponse(robots=robots)

    def ListDecisions(
        self, request: pb.ListDecisionsRequest, context: grpc.ServicerContext
    ) -> pb.ListDecisionsResponse:
        found = self._decisions.find(robot=request.robot, version=request.version)
        return pb.ListDecisionsResponse(
            decisions=[
                pb.Decision(
                    robot=event.robot,
                    time=event.time,
                    event=event.event,
                    cause=event.cause,
                    data_json=json.dumps(event.data),
                )
                for event in found[-_SENT:]
            ]
        )
