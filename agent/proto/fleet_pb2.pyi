from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class TrainConfig(_message.Message):
    __slots__ = ("steps", "batch_size", "lr", "seed", "proximal_mu")
    STEPS_FIELD_NUMBER: _ClassVar[int]
    BATCH_SIZE_FIELD_NUMBER: _ClassVar[int]
    LR_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    PROXIMAL_MU_FIELD_NUMBER: _ClassVar[int]
    steps: int
    batch_size: int
    lr: float
    seed: int
    proximal_mu: float
    def __init__(self, steps: _Optional[int] = ..., batch_size: _Optional[int] = ..., lr: _Optional[float] = ..., seed: _Optional[int] = ..., proximal_mu: _Optional[float] = ...) -> None: ...

class StartRoundRequest(_message.Message):
    __slots__ = ("rounds", "min_robots", "wait_s", "timeout_s", "evaluate", "train", "encoding", "fraction", "min_new_episodes", "late", "normaliser", "aggregation", "queue", "by")
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    MIN_ROBOTS_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    FRACTION_FIELD_NUMBER: _ClassVar[int]
    MIN_NEW_EPISODES_FIELD_NUMBER: _ClassVar[int]
    LATE_FIELD_NUMBER: _ClassVar[int]
    NORMALISER_FIELD_NUMBER: _ClassVar[int]
    AGGREGATION_FIELD_NUMBER: _ClassVar[int]
    QUEUE_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    rounds: int
    min_robots: int
    wait_s: float
    timeout_s: float
    evaluate: bool
    train: TrainConfig
    encoding: str
    fraction: float
    min_new_episodes: int
    late: str
    normaliser: str
    aggregation: Aggregation
    queue: bool
    by: str
    def __init__(self, rounds: _Optional[int] = ..., min_robots: _Optional[int] = ..., wait_s: _Optional[float] = ..., timeout_s: _Optional[float] = ..., evaluate: _Optional[bool] = ..., train: _Optional[_Union[TrainConfig, _Mapping]] = ..., encoding: _Optional[str] = ..., fraction: _Optional[float] = ..., min_new_episodes: _Optional[int] = ..., late: _Optional[str] = ..., normaliser: _Optional[str] = ..., aggregation: _Optional[_Union[Aggregation, _Mapping]] = ..., queue: _Optional[bool] = ..., by: _Optional[str] = ...) -> None: ...

class Aggregation(_message.Message):
    __slots__ = ("strategy", "parameters_json", "max_norm", "too_long", "dp_noise", "dp_clip")
    STRATEGY_FIELD_NUMBER: _ClassVar[int]
    PARAMETERS_JSON_FIELD_NUMBER: _ClassVar[int]
    MAX_NORM_FIELD_NUMBER: _ClassVar[int]
    TOO_LONG_FIELD_NUMBER: _ClassVar[int]
    DP_NOISE_FIELD_NUMBER: _ClassVar[int]
    DP_CLIP_FIELD_NUMBER: _ClassVar[int]
    strategy: str
    parameters_json: str
    max_norm: float
    too_long: str
    dp_noise: float
    dp_clip: float
    def __init__(self, strategy: _Optional[str] = ..., parameters_json: _Optional[str] = ..., max_norm: _Optional[float] = ..., too_long: _Optional[str] = ..., dp_noise: _Optional[float] = ..., dp_clip: _Optional[float] = ...) -> None: ...

class CancelRoundRequest(_message.Message):
    __slots__ = ("id", "by")
    ID_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    id: int
    by: str
    def __init__(self, id: _Optional[int] = ..., by: _Optional[str] = ...) -> None: ...

class Round(_message.Message):
    __slots__ = ("id", "run_id", "started", "status", "reason", "request", "releases")
    ID_FIELD_NUMBER: _ClassVar[int]
    RUN_ID_FIELD_NUMBER: _ClassVar[int]
    STARTED_FIELD_NUMBER: _ClassVar[int]
    STATUS_FIELD_NUMBER: _ClassVar[int]
    REASON_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    id: int
    run_id: int
    started: float
    status: str
    reason: str
    request: StartRoundRequest
    releases: _containers.RepeatedScalarFieldContainer[int]
    def __init__(self, id: _Optional[int] = ..., run_id: _Optional[int] = ..., started: _Optional[float] = ..., status: _Optional[str] = ..., reason: _Optional[str] = ..., request: _Optional[_Union[StartRoundRequest, _Mapping]] = ..., releases: _Optional[_Iterable[int]] = ...) -> None: ...

class WatchRoundRequest(_message.Message):
    __slots__ = ("id", "after")
    ID_FIELD_NUMBER: _ClassVar[int]
    AFTER_FIELD_NUMBER: _ClassVar[int]
    id: int
    after: int
    def __init__(self, id: _Optional[int] = ..., after: _Optional[int] = ...) -> None: ...

class RoundEvent(_message.Message):
    __slots__ = ("sequence", "time", "kind", "data_json")
    SEQUENCE_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    KIND_FIELD_NUMBER: _ClassVar[int]
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    sequence: int
    time: float
    kind: str
    data_json: str
    def __init__(self, sequence: _Optional[int] = ..., time: _Optional[float] = ..., kind: _Optional[str] = ..., data_json: _Optional[str] = ...) -> None: ...

class ListRoundsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRoundsResponse(_message.Message):
    __slots__ = ("rounds",)
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    rounds: _containers.RepeatedCompositeFieldContainer[Round]
    def __init__(self, rounds: _Optional[_Iterable[_Union[Round, _Mapping]]] = ...) -> None: ...

class Schedule(_message.Message):
    __slots__ = ("name", "cron", "timezone", "robots", "new_episodes", "missed", "paused", "request", "last", "next", "last_outcome", "by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CRON_FIELD_NUMBER: _ClassVar[int]
    TIMEZONE_FIELD_NUMBER: _ClassVar[int]
    ROBOTS_FIELD_NUMBER: _ClassVar[int]
    NEW_EPISODES_FIELD_NUMBER: _ClassVar[int]
    MISSED_FIELD_NUMBER: _ClassVar[int]
    PAUSED_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    LAST_FIELD_NUMBER: _ClassVar[int]
    NEXT_FIELD_NUMBER: _ClassVar[int]
    LAST_OUTCOME_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    cron: str
    timezone: str
    robots: int
    new_episodes: int
    missed: str
    paused: bool
    request: StartRoundRequest
    last: float
    next: float
    last_outcome: str
    by: str
    def __init__(self, name: _Optional[str] = ..., cron: _Optional[str] = ..., timezone: _Optional[str] = ..., robots: _Optional[int] = ..., new_episodes: _Optional[int] = ..., missed: _Optional[str] = ..., paused: _Optional[bool] = ..., request: _Optional[_Union[StartRoundRequest, _Mapping]] = ..., last: _Optional[float] = ..., next: _Optional[float] = ..., last_outcome: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class ListSchedulesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListSchedulesResponse(_message.Message):
    __slots__ = ("schedules",)
    SCHEDULES_FIELD_NUMBER: _ClassVar[int]
    schedules: _containers.RepeatedCompositeFieldContainer[Schedule]
    def __init__(self, schedules: _Optional[_Iterable[_Union[Schedule, _Mapping]]] = ...) -> None: ...

class RemoveScheduleRequest(_message.Message):
    __slots__ = ("name", "by")
    NAME_FIELD_NUMBER: _ClassVar[int]
    BY_FIELD_NUMBER: _ClassVar[int]
    name: str
    by: str
    def __init__(self, name: _Optional[str] = ..., by: _Optional[str] = ...) -> None: ...

class RemoveScheduleResponse(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListRobotsRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Robot(_message.Message):
    __slots__ = ("name", "state", "heard", "episodes", "new_episodes", "release", "last_decision")
    NAME_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    HEARD_FIELD_NUMBER: _ClassVar[int]
    EPISODES_FIELD_NUMBER: _ClassVar[int]
    NEW_EPISODES_FIELD_NUMBER: _ClassVar[int]
    RELEASE_FIELD_NUMBER: _ClassVar[int]
    LAST_DECISION_FIELD_NUMBER: _ClassVar[int]
    name: str
    state: str
    heard: float
    episodes: int
    new_episodes: int
    release: int
    last_decision: str
    def __init__(self, name: _Optional[str] = ..., state: _Optional[str] = ..., heard: _Optional[float] = ..., episodes: _Optional[int] = ..., new_episodes: _Optional[int] = ..., release: _Optional[int] = ..., last_decision: _Optional[str] = ...) -> None: ...

class ListRobotsResponse(_message.Message):
    __slots__ = ("robots",)
    ROBOTS_FIELD_NUMBER: _ClassVar[int]
    robots: _containers.RepeatedCompositeFieldContainer[Robot]
    def __init__(self, robots: _Optional[_Iterable[_Union[Robot, _Mapping]]] = ...) -> None: ...

class ListDecisionsRequest(_message.Message):
    __slots__ = ("version", "robot")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    ROBOT_FIELD_NUMBER: _ClassVar[int]
    version: int
    robot: str
    def __init__(self, version: _Optional[int] = ..., robot: _Optional[str] = ...) -> None: ...

class Decision(_message.Message):
    __slots__ = ("robot", "time", "event", "cause", "data_json")
    ROBOT_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    EVENT_FIELD_NUMBER: _ClassVar[int]
    CAUSE_FIELD_NUMBER: _ClassVar[int]
    DATA_JSON_FIELD_NUMBER: _ClassVar[int]
    robot: str
    time: float
    event: str
    cause: str
    data_json: str
    def __init__(self, robot: _Optional[str] = ..., time: _Optional[float] = ..., event: _Optional[str] = ..., cause: _Optional[str] = ..., data_json: _Optional[str] = ...) -> None: ...

class ListDecisionsResponse(_message.Message):
    __slots__ = ("decisions",)
    DECISIONS_FIELD_NUMBER: _ClassVar[int]
    decisions: _containers.RepeatedCompositeFieldContainer[Decision]
    def __init__(self, decisions: _Optional[_Iterable[_Union[Decision, _Mapping]]] = ...) -> None: ...

class GetBaseRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class ListReleasesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Release(_message.Message):
    __slots__ = ("version", "digest", "trainable_digest", "base_digest", "time", "round", "participants", "samples", "bytes", "delta_bytes", "encoding")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TRAINABLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BASE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    BYTES_FIELD_NUMBER: _ClassVar[int]
    DELTA_BYTES_FIELD_NUMBER: _ClassVar[int]
    ENCODING_FIELD_NUMBER: _ClassVar[int]
    version: int
    digest: str
    trainable_digest: str
    base_digest: str
    time: float
    round: int
    participants: _containers.RepeatedScalarFieldContainer[str]
    samples: int
    bytes: int
    delta_bytes: int
    encoding: str
    def __init__(self, version: _Optional[int] = ..., digest: _Optional[str] = ..., trainable_digest: _Optional[str] = ..., base_digest: _Optional[str] = ..., time: _Optional[float] = ..., round: _Optional[int] = ..., participants: _Optional[_Iterable[str]] = ..., samples: _Optional[int] = ..., bytes: _Optional[int] = ..., delta_bytes: _Optional[int] = ..., encoding: _Optional[str] = ...) -> None: ...

class ListReleasesResponse(_message.Message):
    __slots__ = ("releases", "release_key")
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    RELEASE_KEY_FIELD_NUMBER: _ClassVar[int]
    releases: _containers.RepeatedCompositeFieldContainer[Release]
    release_key: str
    def __init__(self, releases: _Optional[_Iterable[_Union[Release, _Mapping]]] = ..., release_key: _Optional[str] = ...) -> None: ...

class GetManifestRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("json", "signature")
    JSON_FIELD_NUMBER: _ClassVar[int]
    SIGNATURE_FIELD_NUMBER: _ClassVar[int]
    json: bytes
    signature: bytes
    def __init__(self, json: _Optional[bytes] = ..., signature: _Optional[bytes] = ...) -> None: ...

class FetchReleaseRequest(_message.Message):
    __slots__ = ("version", "file", "offset")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    FILE_FIELD_NUMBER: _ClassVar[int]
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    version: int
    file: str
    offset: int
    def __init__(self, version: _Optional[int] = ..., file: _Optional[str] = ..., offset: _Optional[int] = ...) -> None: ...

class Chunk(_message.Message):
    __slots__ = ("offset", "data", "total")
    OFFSET_FIELD_NUMBER: _ClassVar[int]
    DATA_FIELD_NUMBER: _ClassVar[int]
    TOTAL_FIELD_NUMBER: _ClassVar[int]
    offset: int
    data: bytes
    total: int
    def __init__(self, offset: _Optional[int] = ..., data: _Optional[bytes] = ..., total: _Optional[int] = ...) -> None: ...
