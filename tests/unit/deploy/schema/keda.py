"""KEDA's own kinds, as of its version 2."""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from tests.unit.deploy.schema.parts import Metadata, Named, Strict


class PodIdentity(Strict):
    provider: Literal["azure-workload"]
    identityId: str


class TriggerAuthenticationSpec(Strict):
    podIdentity: PodIdentity


class TriggerAuthentication(Strict):
    apiVersion: Literal["keda.sh/v1alpha1"]
    kind: Literal["TriggerAuthentication"]
    metadata: Metadata
    spec: TriggerAuthenticationSpec


class ServiceBusTrigger(Strict):
    """Of https://keda.sh/docs/scalers/azure-service-bus; every value is a text."""

    topicName: str
    subscriptionName: str
    namespace: str
    messageCount: Annotated[str, Field(pattern=r"^\d+$")]


class Trigger(Strict):
    type: Literal["azure-servicebus"]
    metadata: ServiceBusTrigger
    authenticationRef: Named


class ScaleDown(Strict):
    stabilizationWindowSeconds: int


class Behavior(Strict):
    scaleDown: ScaleDown


class AutoscalerConfig(Strict):
    behavior: Behavior


class Advanced(Strict):
    horizontalPodAutoscalerConfig: AutoscalerConfig


class Fallback(Strict):
    failureThreshold: int
    replicas: int


class ScaledObjectSpec(Strict):
    scaleTargetRef: Named
    minReplicaCount: Annotated[int, Field(ge=0)]
    maxReplicaCount: Annotated[int, Field(ge=1)]
    pollingInterval: int
    cooldownPeriod: int
    fallback: Fallback
    advanced: Advanced
    triggers: Annotated[list[Trigger], Field(min_length=1, max_length=1)]


class ScaledObject(Strict):
    apiVersion: Literal["keda.sh/v1alpha1"]
    kind: Literal["ScaledObject"]
    metadata: Metadata
    spec: ScaledObjectSpec
