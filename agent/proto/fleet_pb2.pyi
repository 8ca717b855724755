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
    __slots__ = ("rounds", "min_robots", "wait_s", "timeout_s", "evaluate", "train")
    ROUNDS_FIELD_NUMBER: _ClassVar[int]
    MIN_ROBOTS_FIELD_NUMBER: _ClassVar[int]
    WAIT_S_FIELD_NUMBER: _ClassVar[int]
    TIMEOUT_S_FIELD_NUMBER: _ClassVar[int]
    EVALUATE_FIELD_NUMBER: _ClassVar[int]
    TRAIN_FIELD_NUMBER: _ClassVar[int]
    rounds: int
    min_robots: int
    wait_s: float
    timeout_s: float
    evaluate: bool
    train: TrainConfig
    def __init__(self, rounds: _Optional[int] = ..., min_robots: _Optional[int] = ..., wait_s: _Optional[float] = ..., timeout_s: _Optional[float] = ..., evaluate: _Optional[bool] = ..., train: _Optional[_Union[TrainConfig, _Mapping]] = ...) -> None: ...

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

class ListReleasesRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class Release(_message.Message):
    __slots__ = ("version", "digest", "trainable_digest", "base_digest", "time", "round", "participants", "samples")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    TRAINABLE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    BASE_DIGEST_FIELD_NUMBER: _ClassVar[int]
    TIME_FIELD_NUMBER: _ClassVar[int]
    ROUND_FIELD_NUMBER: _ClassVar[int]
    PARTICIPANTS_FIELD_NUMBER: _ClassVar[int]
    SAMPLES_FIELD_NUMBER: _ClassVar[int]
    version: int
    digest: str
    trainable_digest: str
    base_digest: str
    time: float
    round: int
    participants: _containers.RepeatedScalarFieldContainer[str]
    samples: int
    def __init__(self, version: _Optional[int] = ..., digest: _Optional[str] = ..., trainable_digest: _Optional[str] = ..., base_digest: _Optional[str] = ..., time: _Optional[float] = ..., round: _Optional[int] = ..., participants: _Optional[_Iterable[str]] = ..., samples: _Optional[int] = ...) -> None: ...

class ListReleasesResponse(_message.Message):
    __slots__ = ("releases",)
    RELEASES_FIELD_NUMBER: _ClassVar[int]
    releases: _containers.RepeatedCompositeFieldContainer[Release]
    def __init__(self, releases: _Optional[_Iterable[_Union[Release, _Mapping]]] = ...) -> None: ...

class GetManifestRequest(_message.Message):
    __slots__ = ("version",)
    VERSION_FIELD_NUMBER: _ClassVar[int]
    version: int
    def __init__(self, version: _Optional[int] = ...) -> None: ...

class Manifest(_message.Message):
    __slots__ = ("json",)
    JSON_FIELD_NUMBER: _ClassVar[int]
    json: bytes
    def __init__(self, json: _Optional[bytes] = ...) -> None: ...

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
