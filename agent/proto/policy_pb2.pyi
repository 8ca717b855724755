from google.protobuf.internal import containers as _containers
from google.protobuf import descriptor as _descriptor
from google.protobuf import message as _message
from collections.abc import Iterable as _Iterable, Mapping as _Mapping
from typing import ClassVar as _ClassVar, Optional as _Optional, Union as _Union

DESCRIPTOR: _descriptor.FileDescriptor

class Camera(_message.Message):
    __slots__ = ("key", "height", "width")
    KEY_FIELD_NUMBER: _ClassVar[int]
    HEIGHT_FIELD_NUMBER: _ClassVar[int]
    WIDTH_FIELD_NUMBER: _ClassVar[int]
    key: str
    height: int
    width: int
    def __init__(self, key: _Optional[str] = ..., height: _Optional[int] = ..., width: _Optional[int] = ...) -> None: ...

class Guidance(_message.Message):
    __slots__ = ("exact", "max_weight")
    EXACT_FIELD_NUMBER: _ClassVar[int]
    MAX_WEIGHT_FIELD_NUMBER: _ClassVar[int]
    exact: bool
    max_weight: float
    def __init__(self, exact: _Optional[bool] = ..., max_weight: _Optional[float] = ...) -> None: ...

class OpenRequest(_message.Message):
    __slots__ = ("protocol", "robot", "state_names", "action_names", "cameras", "rename_map", "guidance")
    class RenameMapEntry(_message.Message):
        __slots__ = ("key", "value")
        KEY_FIELD_NUMBER: _ClassVar[int]
        VALUE_FIELD_NUMBER: _ClassVar[int]
        key: str
        value: str
        def __init__(self, key: _Optional[str] = ..., value: _Optional[str] = ...) -> None: ...
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    ROBOT_FIELD_NUMBER: _ClassVar[int]
    STATE_NAMES_FIELD_NUMBER: _ClassVar[int]
    ACTION_NAMES_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    RENAME_MAP_FIELD_NUMBER: _ClassVar[int]
    GUIDANCE_FIELD_NUMBER: _ClassVar[int]
    protocol: int
    robot: str
    state_names: _containers.RepeatedScalarFieldContainer[str]
    action_names: _containers.RepeatedScalarFieldContainer[str]
    cameras: _containers.RepeatedCompositeFieldContainer[Camera]
    rename_map: _containers.ScalarMap[str, str]
    guidance: Guidance
    def __init__(self, protocol: _Optional[int] = ..., robot: _Optional[str] = ..., state_names: _Optional[_Iterable[str]] = ..., action_names: _Optional[_Iterable[str]] = ..., cameras: _Optional[_Iterable[_Union[Camera, _Mapping]]] = ..., rename_map: _Optional[_Mapping[str, str]] = ..., guidance: _Optional[_Union[Guidance, _Mapping]] = ...) -> None: ...

class OpenReply(_message.Message):
    __slots__ = ("session", "digest", "chunk_size", "cameras", "idle_s", "max_batch", "pass_s")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    CHUNK_SIZE_FIELD_NUMBER: _ClassVar[int]
    CAMERAS_FIELD_NUMBER: _ClassVar[int]
    IDLE_S_FIELD_NUMBER: _ClassVar[int]
    MAX_BATCH_FIELD_NUMBER: _ClassVar[int]
    PASS_S_FIELD_NUMBER: _ClassVar[int]
    session: str
    digest: str
    chunk_size: int
    cameras: _containers.RepeatedCompositeFieldContainer[Camera]
    idle_s: float
    max_batch: int
    pass_s: float
    def __init__(self, session: _Optional[str] = ..., digest: _Optional[str] = ..., chunk_size: _Optional[int] = ..., cameras: _Optional[_Iterable[_Union[Camera, _Mapping]]] = ..., idle_s: _Optional[float] = ..., max_batch: _Optional[int] = ..., pass_s: _Optional[float] = ...) -> None: ...

class Image(_message.Message):
    __slots__ = ("key", "jpeg")
    KEY_FIELD_NUMBER: _ClassVar[int]
    JPEG_FIELD_NUMBER: _ClassVar[int]
    key: str
    jpeg: bytes
    def __init__(self, key: _Optional[str] = ..., jpeg: _Optional[bytes] = ...) -> None: ...

class PredictRequest(_message.Message):
    __slots__ = ("session", "request", "tick", "epoch", "state", "images", "task", "plan", "frozen", "seed")
    SESSION_FIELD_NUMBER: _ClassVar[int]
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    STATE_FIELD_NUMBER: _ClassVar[int]
    IMAGES_FIELD_NUMBER: _ClassVar[int]
    TASK_FIELD_NUMBER: _ClassVar[int]
    PLAN_FIELD_NUMBER: _ClassVar[int]
    FROZEN_FIELD_NUMBER: _ClassVar[int]
    SEED_FIELD_NUMBER: _ClassVar[int]
    session: str
    request: int
    tick: int
    epoch: int
    state: bytes
    images: _containers.RepeatedCompositeFieldContainer[Image]
    task: str
    plan: bytes
    frozen: int
    seed: int
    def __init__(self, session: _Optional[str] = ..., request: _Optional[int] = ..., tick: _Optional[int] = ..., epoch: _Optional[int] = ..., state: _Optional[bytes] = ..., images: _Optional[_Iterable[_Union[Image, _Mapping]]] = ..., task: _Optional[str] = ..., plan: _Optional[bytes] = ..., frozen: _Optional[int] = ..., seed: _Optional[int] = ...) -> None: ...

class PredictReply(_message.Message):
    __slots__ = ("request", "tick", "epoch", "digest", "actions", "rows", "queue_s", "decode_s", "pre_s", "infer_s", "post_s", "batch")
    REQUEST_FIELD_NUMBER: _ClassVar[int]
    TICK_FIELD_NUMBER: _ClassVar[int]
    EPOCH_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    ACTIONS_FIELD_NUMBER: _ClassVar[int]
    ROWS_FIELD_NUMBER: _ClassVar[int]
    QUEUE_S_FIELD_NUMBER: _ClassVar[int]
    DECODE_S_FIELD_NUMBER: _ClassVar[int]
    PRE_S_FIELD_NUMBER: _ClassVar[int]
    INFER_S_FIELD_NUMBER: _ClassVar[int]
    POST_S_FIELD_NUMBER: _ClassVar[int]
    BATCH_FIELD_NUMBER: _ClassVar[int]
    request: int
    tick: int
    epoch: int
    digest: str
    actions: bytes
    rows: int
    queue_s: float
    decode_s: float
    pre_s: float
    infer_s: float
    post_s: float
    batch: int
    def __init__(self, request: _Optional[int] = ..., tick: _Optional[int] = ..., epoch: _Optional[int] = ..., digest: _Optional[str] = ..., actions: _Optional[bytes] = ..., rows: _Optional[int] = ..., queue_s: _Optional[float] = ..., decode_s: _Optional[float] = ..., pre_s: _Optional[float] = ..., infer_s: _Optional[float] = ..., post_s: _Optional[float] = ..., batch: _Optional[int] = ...) -> None: ...

class CloseRequest(_message.Message):
    __slots__ = ("session",)
    SESSION_FIELD_NUMBER: _ClassVar[int]
    session: str
    def __init__(self, session: _Optional[str] = ...) -> None: ...

class CloseReply(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusRequest(_message.Message):
    __slots__ = ()
    def __init__(self) -> None: ...

class StatusReply(_message.Message):
    __slots__ = ("version", "protocol", "policy", "digest", "uptime_s", "chunks", "sheds", "expired", "failed", "refused", "swaps", "received_bytes", "sent_bytes", "stages", "batches", "robots", "superseded")
    VERSION_FIELD_NUMBER: _ClassVar[int]
    PROTOCOL_FIELD_NUMBER: _ClassVar[int]
    POLICY_FIELD_NUMBER: _ClassVar[int]
    DIGEST_FIELD_NUMBER: _ClassVar[int]
    UPTIME_S_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    SHEDS_FIELD_NUMBER: _ClassVar[int]
    EXPIRED_FIELD_NUMBER: _ClassVar[int]
    FAILED_FIELD_NUMBER: _ClassVar[int]
    REFUSED_FIELD_NUMBER: _ClassVar[int]
    SWAPS_FIELD_NUMBER: _ClassVar[int]
    RECEIVED_BYTES_FIELD_NUMBER: _ClassVar[int]
    SENT_BYTES_FIELD_NUMBER: _ClassVar[int]
    STAGES_FIELD_NUMBER: _ClassVar[int]
    BATCHES_FIELD_NUMBER: _ClassVar[int]
    ROBOTS_FIELD_NUMBER: _ClassVar[int]
    SUPERSEDED_FIELD_NUMBER: _ClassVar[int]
    version: str
    protocol: int
    policy: str
    digest: str
    uptime_s: float
    chunks: int
    sheds: int
    expired: int
    failed: int
    refused: int
    swaps: int
    received_bytes: int
    sent_bytes: int
    stages: _containers.RepeatedCompositeFieldContainer[Stage]
    batches: _containers.RepeatedCompositeFieldContainer[BatchSize]
    robots: _containers.RepeatedCompositeFieldContainer[Robot]
    superseded: int
    def __init__(self, version: _Optional[str] = ..., protocol: _Optional[int] = ..., policy: _Optional[str] = ..., digest: _Optional[str] = ..., uptime_s: _Optional[float] = ..., chunks: _Optional[int] = ..., sheds: _Optional[int] = ..., expired: _Optional[int] = ..., failed: _Optional[int] = ..., refused: _Optional[int] = ..., swaps: _Optional[int] = ..., received_bytes: _Optional[int] = ..., sent_bytes: _Optional[int] = ..., stages: _Optional[_Iterable[_Union[Stage, _Mapping]]] = ..., batches: _Optional[_Iterable[_Union[BatchSize, _Mapping]]] = ..., robots: _Optional[_Iterable[_Union[Robot, _Mapping]]] = ..., superseded: _Optional[int] = ...) -> None: ...

class Stage(_message.Message):
    __slots__ = ("name", "p50_s", "p95_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    P50_S_FIELD_NUMBER: _ClassVar[int]
    P95_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    p50_s: float
    p95_s: float
    def __init__(self, name: _Optional[str] = ..., p50_s: _Optional[float] = ..., p95_s: _Optional[float] = ...) -> None: ...

class BatchSize(_message.Message):
    __slots__ = ("size", "passes")
    SIZE_FIELD_NUMBER: _ClassVar[int]
    PASSES_FIELD_NUMBER: _ClassVar[int]
    size: int
    passes: int
    def __init__(self, size: _Optional[int] = ..., passes: _Optional[int] = ...) -> None: ...

class Robot(_message.Message):
    __slots__ = ("name", "chunks", "idle_s")
    NAME_FIELD_NUMBER: _ClassVar[int]
    CHUNKS_FIELD_NUMBER: _ClassVar[int]
    IDLE_S_FIELD_NUMBER: _ClassVar[int]
    name: str
    chunks: int
    idle_s: float
    def __init__(self, name: _Optional[str] = ..., chunks: _Optional[int] = ..., idle_s: _Optional[float] = ...) -> None: ...
