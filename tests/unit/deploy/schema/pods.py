"""Pods as all of ours are: locked down, bounded, with two folders to write to."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tests.unit.deploy.schema.parts import Labels, Name, Named, Port, Quantity, Strict


class KeyRef(Strict):
    name: Name
    key: str
    optional: bool = False


class ValueFrom(Strict):
    secretKeyRef: KeyRef


class Variable(Strict):
    name: str
    value: str | None = None
    valueFrom: ValueFrom | None = None


class EnvFrom(Strict):
    configMapRef: Named


class Capabilities(Strict):
    drop: list[Literal["ALL"]]


class ContainerSecurity(Strict):
    allowPrivilegeEscalation: Literal[False]
    readOnlyRootFilesystem: Literal[True]
    capabilities: Capabilities


class Amounts(Strict):
    cpu: Quantity
    memory: Quantity


class Resources(Strict):
    requests: Amounts
    limits: Amounts


class HttpGet(Strict):
    path: Annotated[str, Field(pattern="^/")]
    port: Port


class Probe(Strict):
    httpGet: HttpGet
    periodSeconds: int
    timeoutSeconds: int
    failureThreshold: int


class ContainerPort(Strict):
    name: Name
    containerPort: Port


class Mount(Strict):
    name: Name
    mountPath: str


class Container(Strict):
    name: Name
    image: str
    args: list[str] = Field(default_factory=list)
    env: list[Variable] = Field(default_factory=list)
    envFrom: list[EnvFrom]
    securityContext: ContainerSecurity
    resources: Resources
    volumeMounts: list[Mount]
    ports: list[ContainerPort] = Field(default_factory=list)
    startupProbe: Probe | None = None
    livenessProbe: Probe | None = None
    readinessProbe: Probe | None = None


class SeccompProfile(Strict):
    type: Literal["RuntimeDefault"]


class PodSecurity(Strict):
    runAsNonRoot: Literal[True]
    runAsUser: int
    runAsGroup: int
    fsGroup: int
    seccompProfile: SeccompProfile


class EmptyDir(Strict):
    sizeLimit: Quantity


class Volume(Strict):
    name: Name
    emptyDir: EmptyDir


class Pod(Strict):
    serviceAccountName: Name
    automountServiceAccountToken: Literal[False]
    enableServiceLinks: Literal[False]
    restartPolicy: Literal["Never"] | None = None
    terminationGracePeriodSeconds: int | None = None
    securityContext: PodSecurity
    containers: Annotated[list[Container], Field(min_length=1, max_length=1)]
    volumes: list[Volume]


class Template(Strict):
    metadata: Labels
    spec: Pod
