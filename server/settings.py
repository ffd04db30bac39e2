"""Every setting, defined once: a flag, a DEEPFAKE_ variable and a key of the config file each."""

import math
from pathlib import Path
from typing import Literal, Self

from pydantic import Field, SecretStr, field_validator, model_validator

from server.aws import Aws, check_bucket
from server.configuration import Configured
from server.detect.media_bytes import MESSAGE_COPIES
from server.media.limits import LARGEST_PIXELS, MediaLimits
from server.sources import hosts

LONGEST_SILENCE = 86_400.0
"""Seconds; well below what the system takes for a time-out of a socket."""

_MIB = 2**20
_LARGEST_PORT = 65535
# Of gRPC, which takes one more for no limit at all.
_GRPC_LARGEST = 2**31 - 2
# Of the numbers in which callers are told the limits.
_LARGEST_COUNT = 2**32 - 1
# Well below what the system takes for a limit of memory, as a decoder's own is added.
_LARGEST_MEMORY = 2**60


class Settings(Configured):
    """Serves the deepfake detector over gRPC."""

    host: str = Field(
        "127.0.0.1", description="Address to listen on; 0.0.0.0 for every IPv4 interface of the machine."
    )
    port: int = Field(50051, ge=0, le=_LARGEST_PORT, description="Port to listen on; 0 picks a free one.")

    processes: int = Field(
        1,
        ge=1,
        le=256,
        description="Servers that share the port, so that more than one core answers; Linux only. Each has "
        "its own engine, cache and limits, its share of the cores, the next metrics_port and log_dir/NUMBER.",
    )
    shared_port: bool = Field(
        False, description="Let other servers listen on the same port: the system spreads connections."
    )
    cores: int = Field(
        0,
        ge=0,
        le=1024,
        description="Cores to divide among decoders and runs of the graph; 0: all that there are.",
    )

    tls_certificate: Path | None = Field(
        None, description="PEM chain of the server's certificate; read anew when it changes. None: no TLS."
    )
    tls_key: Path | None = Field(None, description="PEM of its private key, without a passphrase.")
    tls_client_ca: Path | None = Field(
        None, description="PEM of the CA that signs clients' certificates; with it each client must show one."
    )
    tokens: Path | None = Field(
        None,
        description="File of bearer tokens, NAME TOKEN a line; read anew when it changes. With it every call "
        "but health checks needs one.",
    )
    max_calls_per_token: int = Field(
        256, ge=1, description="Calls of one token's name at once; a DetectStream is one call."
    )
    max_queue_bytes_per_token: int | None = Field(
        None,
        ge=1024,
        description="How much of max_queue_bytes calls of one token's name may hold together. Default: all.",
    )
    max_calls_per_second_per_token: float = Field(
        0, ge=0, description="Calls a second of one token's name; streams are slowed down to it. 0: no limit."
    )
    receive_timeout_seconds: float = Field(
        60.0, gt=0, description="With tokens: how long the message of a call may take to arrive."
    )
    open_receive_timeout_seconds: float = Field(
        5.0, gt=0, description="The same for health checks, which need no token."
    )
    max_connections: int = Field(
        4096,
        ge=1,
        le=_GRPC_LARGEST,
        description="Connections at once; fewer, with a warning, where the system allows too few open files.",
    )
    max_streams_per_connection: int = Field(
        1000, ge=1, le=_GRPC_LARGEST, description="Calls at once on one connection."
    )
    receive_window_bytes: int = Field(
        8 * _MIB,
        ge=65_535,
        le=_GRPC_LARGEST,
        description="Bytes that a call may send ahead of what the server has read; they come on top of "
        "max_queue_bytes. A distant caller sends at most this much in each round trip.",
    )
    handshake_timeout_seconds: float = Field(
        20.0, gt=0, description="How long a new connection may take until it speaks HTTP/2."
    )
    connection_idle_timeout_seconds: float = Field(
        600.0, gt=0, description="A connection without calls for so long is closed; clients connect again."
    )
    keepalive_seconds: float = Field(
        60.0,
        gt=0,
        description="Pause between pings that ask a peer which is silent during calls if it is still there.",
    )
    max_connection_age_seconds: float | None = Field(
        None,
        ge=0,
        description="A connection this old is closed, so that clients spread anew. 0: never. "
        "Default: 300 with several --processes, which start one after another, else never.",
    )
    max_connection_age_grace_seconds: float = Field(
        math.inf, ge=0, description="How long its calls may take to finish, streams included."
    )

    models: Path | None = Field(
        None,
        description="Folder of NAME/VERSION/model.onnx. Default: ./models if it holds a model, "
        "else the detector bundled with this package.",
    )
    model: str | None = Field(None, description="Which model of the folder, if it holds several.")
    model_version: str | None = Field(
        None, description="The only version of it to serve. Default: the highest number that works."
    )
    model_poll_seconds: float = Field(
        10.0, ge=0, description="Time between looks for another version; 0: only on SIGHUP."
    )

    provider: Literal["auto", "cuda", "coreml", "cpu"] = Field(
        "auto", description="Execution provider; auto takes the first that works: cuda, coreml, cpu."
    )
    precision: Literal["auto", "fp32", "fp16", "int8"] = Field(
        "auto",
        description="Which of the version's files runs, model.onnx (fp32), model.fp16.onnx or "
        "model.int8.onnx; auto: on cuda and coreml fp16, on cpu int8 if it was exported as worth it on such "
        "a processor; else fp32.",
    )
    engine_workers: int = Field(
        0,
        ge=0,
        le=256,
        description="Batches in the engine at once; 0: on CPU as many as measured to be best, 2 elsewhere.",
    )
    intra_op_threads: int = Field(
        0, ge=0, le=256, description="Threads inside one run of the graph on CPU; 0: as measured to be best."
    )
    graph_cache: bool = Field(
        True,
        description="Keep optimised copies of the graph, and what was measured of it, for a faster start.",
    )
    graph_cache_dir: Path | None = Field(
        None, description="Where they are kept. Default: deepfake-detector in the user's cache folder."
    )
    max_batch_size: int = Field(64, ge=1, description="Requests in one batch at most.")
    max_batch_seconds: float = Field(
        0.05,
        gt=0,
        description="Estimated time to run one batch at most, so that a video does not stall photos; a "
        "single request may take longer.",
    )
    max_queue_delay_microseconds: int | None = Field(
        None,
        ge=0,
        description="How long an idle engine waits for more requests before it runs a batch. Default: not at "
        "all, unless rows cost little and requests rarely come alone; then for as many as usual, but no "
        "longer than 2 ms and what a run costs without rows.",
    )
    engine_timeout_seconds: float = Field(
        60.0,
        gt=0,
        description="A run of the graph that takes longer than this plus ten times its estimate means that "
        "the engine is dead: the server stops.",
    )
    max_queue_size: int = Field(
        256,
        ge=1,
        le=_LARGEST_COUNT,
        description="Requests accepted and not yet answered; more are refused at once.",
    )
    max_queue_bytes: int = Field(
        2048 * _MIB,
        ge=1024,
        description="Bytes of media received, fetched or waiting for their answer, with the copies that gRPC "
        "and protobuf keep of messages: three times what comes in one call, twice what comes in a stream, "
        "once what comes in DetectUpload or by URI. More are refused at once.",
    )
    cache_max_bytes: int = Field(
        64 * _MIB, ge=0, description="Memory for verdicts on files that were judged before; 0: no cache."
    )
    cache_max_entries: int = Field(100_000, ge=0, description="How many of them; 0: no cache.")
    cache_seconds: float = Field(86_400.0, gt=0, description="How long each of them is good.")
    max_stream_concurrency: int = Field(
        32, ge=1, description="Requests of one DetectStream worked on at once; the rest wait in the stream."
    )
    stream_idle_timeout_seconds: float = Field(
        300.0, gt=0, description="How long a DetectStream may have nothing to do before it is ended."
    )
    default_deadline_seconds: float = Field(
        120.0, gt=0, description="Deadline of a request whose caller set none."
    )
    drain_timeout_seconds: float = Field(
        30.0, ge=0, description="After SIGTERM: how long accepted requests may take to finish."
    )

    decode_workers: int = Field(0, ge=0, le=256, description="Decoder processes; 0: one a core.")
    max_decode_threads: int = Field(
        8, ge=1, le=64, description="Threads that decode one video while other decoders have nothing to do."
    )
    jpeg_reduced_decoding: bool = Field(
        False,
        description="Decode a JPEG at a fraction of its size if the graph takes no crops of it: faster, but "
        "traces of a forgery may be lost. Needs the extra reduced-jpeg.",
    )
    sampling_secret: SecretStr | None = Field(
        None,
        min_length=1,
        description="This and a file's bytes choose which of its frames and windows are judged, so that "
        "nobody can make a file that is real just there. Give all servers the same. Default: even places.",
    )
    decode_timeout_seconds: float = Field(30.0, gt=0, description="Wall clock for decoding one medium.")
    max_decode_memory_bytes: int = Field(
        2048 * _MIB, ge=64 * _MIB, le=_LARGEST_MEMORY, description="Memory of one decoder."
    )
    max_message_bytes: int = Field(64 * _MIB, ge=1024, le=_GRPC_LARGEST, description="One gRPC message.")
    max_media_bytes: int = Field(
        512 * _MIB, ge=1024, le=_LARGEST_MEMORY, description="One medium, however it arrives."
    )
    upload_idle_timeout_seconds: float = Field(
        30.0, gt=0, description="How long a DetectUpload may go without a chunk."
    )
    min_upload_bytes_per_second: int = Field(
        16 * 1024, ge=1, description="Slowest pace of a DetectUpload over that time."
    )
    max_media_per_request: int = Field(16, ge=1, le=_LARGEST_COUNT, description="Media in one request.")
    max_frames_per_video: int = Field(
        64, ge=1, le=_LARGEST_COUNT, description="Frames that a request may ask for."
    )
    max_pixels: int = Field(100_000_000, ge=1, le=LARGEST_PIXELS, description="Pixels of one picture.")
    max_duration_seconds: float = Field(4 * 3600.0, gt=0, description="Seconds of one video or sound.")

    fetch_workers: int = Field(16, ge=1, le=1024, description="Media read by URI at once.")
    max_fetches_per_host: int = Field(
        0,
        ge=0,
        le=1024,
        description="How many of them may be of one https host; more of its media wait, and those of other "
        "hosts go first. 0: three quarters of fetch_workers.",
    )
    file_roots: tuple[Path, ...] = Field(
        (), description="Folder that file:// URIs may read; repeat the flag. None: file:// is refused."
    )

    https_hosts: tuple[str, ...] = Field(
        (),
        description="Host that https:// URIs may name, or *.NAME, or * for any, with :PORT for another than "
        "443; repeat the flag. Addresses that are not public are refused in any case. None: https:// is "
        "refused. Needs the extra https.",
    )
    https_timeout_seconds: float = Field(
        60.0, gt=0, description="Wall clock for one https:// medium, redirects included."
    )

    s3_buckets: tuple[str, ...] = Field(
        (), description="Bucket that s3:// URIs may read; repeat the flag. None: s3:// is refused."
    )
    s3_endpoint: str | None = Field(
        None, pattern="^https?://", description="URL of an S3-compatible store. Default: AWS."
    )
    aws_profile: str | None = Field(
        None, description="Profile of the shared AWS files. Default: boto3's own search for credentials."
    )
    aws_role_arn: str | None = Field(None, description="Role to assume with those credentials.")
    aws_region: str | None = Field(None, description="Region. Default: as the environment or profile says.")
    aws_max_attempts: int = Field(
        4, ge=1, le=20, description="Attempts of one AWS call, with growing pauses, and at reading on."
    )
    aws_connect_timeout_seconds: float = Field(
        5.0, gt=0, le=LONGEST_SILENCE, description="For connecting to AWS."
    )
    aws_read_timeout_seconds: float = Field(
        30.0, gt=0, le=LONGEST_SILENCE, description="Silence of AWS that ends an attempt."
    )

    metrics_port: int | None = Field(
        None,
        ge=0,
        le=_LARGEST_PORT,
        description="Port on which Prometheus finds /metrics; 0 picks a free one. Default: no metrics.",
    )
    open_inference: bool = Field(
        True, description="Offer the Open Inference Protocol (KServe, Triton) on the same port."
    )
    max_inference_rows: int = Field(
        256,
        ge=1,
        description="Open Inference Protocol: limit of one request, on pictures, frames of clips and windows "
        "of sound together, and on subjects.",
    )

    otlp_endpoint: str | None = Field(
        None,
        pattern="^https?://[^/@]+(/|$)",  # a password in it would be of no use, and logged
        description="URL of an OpenTelemetry collector, as http://host:4317, that traces go to over gRPC; "
        "needs the extra `tracing`. Default: no traces.",
    )
    trace_sample_ratio: float = Field(
        1.0, ge=0, le=1, description="Share of requests that are traced, unless the caller decided."
    )
    reflection: bool = Field(True, description="Offer gRPC server reflection.")
    log_level: Literal["debug", "info", "warning", "error"] = Field(
        "info", description="Least severe line that is logged."
    )
    log_format: Literal["console", "json"] = Field("console", description="For people, or for machines.")
    log_dir: Path | None = Field(
        None,
        description="Folder for a copy of the log, a file a day (UTC); one process a folder. Default: "
        "standard error only.",
    )
    log_keep_days: int = Field(14, ge=1, description="Past days whose log files are kept.")
    access_log: Literal["none", "failures", "all"] = Field(
        "failures", description="Requests that get a line of their own at level info, with code and timings."
    )

    @field_validator("host")
    @classmethod
    def _host_can_be_asked_for(cls, host: str) -> str:
        try:
            host.encode("idna")  # as Python does to look it up, whose error nobody there expects
        except UnicodeError as error:
            raise ValueError(f"{host!r} is no name of a host") from error
        return host.strip("[]")  # of IPv6, which only belong before a port

    @field_validator("https_hosts")
    @classmethod
    def _hosts_are_hosts(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            hosts.parse(name)
        return names

    @field_validator("s3_buckets")
    @classmethod
    def _buckets_are_names(cls, names: tuple[str, ...]) -> tuple[str, ...]:
        for name in names:
            check_bucket(name)
        return names

    @model_validator(mode="after")
    def _room_for_one_medium(self) -> Self:
        least = max(self.max_media_bytes, MESSAGE_COPIES * self.max_message_bytes)
        for name in ("max_queue_bytes", "max_queue_bytes_per_token"):
            room = getattr(self, name)
            if room is not None and room < least:
                raise ValueError(
                    f"{name}: must be at least {least}, the larger of"
                    f" max_media_bytes and {MESSAGE_COPIES} times max_message_bytes"
                )
        return self

    @model_validator(mode="after")
    def _metrics_port_for_each(self) -> Self:
        if self.metrics_port and self.metrics_port + self.processes - 1 > _LARGEST_PORT:
            raise ValueError(
                f"metrics_port: each of {self.processes} processes needs one, up to {_LARGEST_PORT}"
            )
        return self

    @model_validator(mode="after")
    def _tls_is_whole(self) -> Self:
        if (self.tls_certificate is None) != (self.tls_key is None):
            raise ValueError("tls_certificate and tls_key: one needs the other")
        if self.tls_client_ca and not self.tls_certificate:
            raise ValueError("tls_client_ca: needs tls_certificate and tls_key")
        return self

    @property
    def media_limits(self) -> MediaLimits:
        return MediaLimits(
            max_bytes=self.max_media_bytes,
            max_pixels=self.max_pixels,
            max_duration_seconds=self.max_duration_seconds,
            decode_timeout_seconds=self.decode_timeout_seconds,
            max_memory_bytes=self.max_decode_memory_bytes,
            max_threads=self.max_decode_threads,
        )

    @property
    def aws(self) -> Aws:
        return Aws(
            profile=self.aws_profile,
            role_arn=self.aws_role_arn,
            region=self.aws_region,
            max_attempts=self.aws_max_attempts,
            connect_timeout=self.aws_connect_timeout_seconds,
            read_timeout=self.aws_read_timeout_seconds,
            max_connections=self.fetch_workers,
        )
