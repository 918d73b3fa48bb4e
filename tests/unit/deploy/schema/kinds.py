"""Kubernetes' kinds."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tests.unit.deploy.schema.parts import Labels, Metadata, Port, Selector, Strict, Texts
from tests.unit.deploy.schema.pods import Template


class RollingUpdate(Strict):
    maxSurge: int
    maxUnavailable: int


class Strategy(Strict):
    type: Literal["RollingUpdate"]
    rollingUpdate: RollingUpdate


class DeploymentSpec(Strict):
    selector: Selector
    revisionHistoryLimit: int
    strategy: Strategy
    template: Template


class Deployment(Strict):
    apiVersion: Literal["apps/v1"]
    kind: Literal["Deployment"]
    metadata: Metadata
    spec: DeploymentSpec


class JobSpec(Strict):
    backoffLimit: int
    activeDeadlineSeconds: int
    ttlSecondsAfterFinished: int | None = None
    template: Template


class Job(Strict):
    apiVersion: Literal["batch/v1"]
    kind: Literal["Job"]
    metadata: Metadata
    spec: JobSpec


class JobTemplate(Strict):
    metadata: Labels
    spec: JobSpec


class CronJobSpec(Strict):
    schedule: Annotated[str, Field(pattern=r"^\S+ \S+ \S+ \S+ \S+$")]
    timeZone: Literal["Etc/UTC"]
    concurrencyPolicy: Literal["Forbid"]
    startingDeadlineSeconds: int
    successfulJobsHistoryLimit: int
    failedJobsHistoryLimit: int
    jobTemplate: JobTemplate


class CronJob(Strict):
    apiVersion: Literal["batch/v1"]
    kind: Literal["CronJob"]
    metadata: Metadata
    spec: CronJobSpec


class ServiceAccount(Strict):
    apiVersion: Literal["v1"]
    kind: Literal["ServiceAccount"]
    metadata: Metadata
    automountServiceAccountToken: Literal[False]


class ConfigMap(Strict):
    apiVersion: Literal["v1"]
    kind: Literal["ConfigMap"]
    metadata: Metadata
    data: Texts


class Namespace(Strict):
    apiVersion: Literal["v1"]
    kind: Literal["Namespace"]
    metadata: Metadata


class BudgetSpec(Strict):
    maxUnavailable: int
    selector: Selector


class PodDisruptionBudget(Strict):
    apiVersion: Literal["policy/v1"]
    kind: Literal["PodDisruptionBudget"]
    metadata: Metadata
    spec: BudgetSpec


class PolicyPort(Strict):
    protocol: Literal["TCP", "UDP"]
    port: Port
    endPort: Port | None = None


class Peer(Strict):
    namespaceSelector: Selector


class Egress(Strict):
    ports: list[PolicyPort]


class Ingress(Strict):
    from_: Annotated[list[Peer], Field(alias="from")]
    ports: list[PolicyPort]


class PolicySpec(Strict):
    podSelector: Annotated[Texts, Field(max_length=0)]
    policyTypes: list[Literal["Ingress", "Egress"]]
    ingress: list[Ingress] = Field(default_factory=list)
    egress: list[Egress] = Field(default_factory=list)


class NetworkPolicy(Strict):
    apiVersion: Literal["networking.k8s.io/v1"]
    kind: Literal["NetworkPolicy"]
    metadata: Metadata
    spec: PolicySpec
