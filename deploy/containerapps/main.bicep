// Everything that the pipeline needs of Azure, for either platform, and, on Container Apps, the services themselves.
// Deployed twice: without the services first (deployServices=false), because images, secrets, tables and users must be
// there before they start; then with them, and so with each release. docs/deploying.md goes through it.

targetScope = 'resourceGroup'

@description('Short name of this installation, part of every resource\'s name: lower-case letters, digits, hyphens.')
@minLength(3)
@maxLength(10)
param name string

param location string = resourceGroup().location

@description('Where the services run. On Kubernetes this file makes what they use, and deploy/kubernetes runs them.')
@allowed(['containerapps', 'kubernetes'])
param platform string = 'containerapps'

@description('Whether to deploy the services and jobs too (Container Apps only).')
param deployServices bool = false

@description('Tag of the images in the registry.')
param tag string = '0.1.0'

@description('Entra group that administers the database: whoever runs deploy/sql/state.')
param sqlAdminGroupName string
param sqlAdminGroupId string

@description('Object id of the Entra group that uses `retl` from a machine of its own; empty for none.')
param operatorsGroupId string = ''

@description('Issuer URL of the cluster (AKS: oidcIssuerProfile.issuerUrl); empty on Container Apps.')
param oidcIssuerUrl string = ''

@description('<namespace>:<service account> under which KEDA runs in the cluster; the add-on of AKS by default.')
param kedaServiceAccount string = 'kube-system:keda-operator'

@description('The services: what each consumes, publishes, reads and may use. A parameter only so that its type is plain.')
param services array = loadJsonContent('services.json')

@description('Settings that are no secrets: {all: {NAME: value}, <service>: {NAME: value}}.')
param settings object = {}

@secure()
@description('Where alerts go besides the log; empty for nowhere.')
param slackWebhookUrl string = ''

@description('When the next week is asked for: cron, UTC. A week ends on Sunday at midnight.')
param publishSchedule string = '0 5 * * 1'

@description('Scale on the length of the subscriptions. Without, every service runs with its least number of replicas.')
param scaleOnMessages bool = true

@description('How long a message waits for its service; longer than any outage that is to be survived.')
param messageTimeToLive string = 'P14D'

@description('Subnet of the Container Apps environment; empty for a network of the platform\'s own.')
param subnetId string = ''

param logRetentionDays int = 30
param servicebusSku string = 'Standard'
param storageSku string = 'Standard_ZRS'
param sqlSku string = 'S0'

var jobs = ['publisher', 'migrator']
var suffix = uniqueString(resourceGroup().id, name)
var onContainerApps = platform == 'containerapps'
var shared = union(
  {
    SERVICEBUS_NAMESPACE: bus.outputs.hostName
    LAKE_URL: storage.outputs.lakeUrl
    STATE_URL: sql.outputs.stateUrl
  },
  settings.?all ?? {}
)

module serviceIdentities 'modules/identity.bicep' = [
  for service in services: {
    name: 'identity-${service.name}'
    params: {
      name: 'id-${name}-${service.name}'
      location: location
      oidcIssuerUrl: oidcIssuerUrl
      serviceAccount: 'retl:${service.name}'
    }
  }
]

module jobIdentities 'modules/identity.bicep' = [
  for job in jobs: {
    name: 'identity-${job}'
    params: {
      name: 'id-${name}-${job}'
      location: location
      oidcIssuerUrl: oidcIssuerUrl
      serviceAccount: 'retl:${job}'
    }
  }
]

// Reads the lengths of subscriptions for KEDA and nothing else, so that the services keep their few rights.
module scaler 'modules/identity.bicep' = {
  name: 'identity-scaler'
  params: {
    name: 'id-${name}-scaler'
    location: location
    oidcIssuerUrl: oidcIssuerUrl
    serviceAccount: kedaServiceAccount
  }
}

module bus 'modules/servicebus.bicep' = {
  name: 'servicebus'
  params: {
    name: 'sb-${name}-${suffix}'
    location: location
    sku: servicebusSku
    messageTimeToLive: messageTimeToLive
  }
}

module busAccess 'modules/bus-access.bicep' = [
  for (service, i) in services: {
    name: 'bus-access-${service.name}'
    params: {
      namespaceName: bus.outputs.name
      principalId: serviceIdentities[i].outputs.principalId
      sends: union(service.publishes, [service.consumes])
      consumes: service.consumes
      subscription: service.subscription
    }
  }
]

module publisherAccess 'modules/bus-access.bicep' = {
  name: 'bus-access-publisher'
  params: {
    namespaceName: bus.outputs.name
    principalId: jobIdentities[0].outputs.principalId
    sends: ['week.requested']
    consumes: ''
    subscription: ''
  }
}

module busWideAccess 'modules/bus-wide-access.bicep' = {
  name: 'bus-wide-access'
  params: {
    namespaceName: bus.outputs.name
    scalerPrincipalId: scaler.outputs.principalId
    operatorsGroupId: operatorsGroupId
  }
}

module storage 'modules/storage.bicep' = {
  name: 'storage'
  params: {
    name: 'st${take(replace(name, '-', ''), 9)}${suffix}'
    location: location
    sku: storageSku
    writers: [for (service, i) in services: serviceIdentities[i].outputs.principalId]
    readersGroupId: operatorsGroupId
  }
}

module sql 'modules/sql.bicep' = {
  name: 'sql'
  params: {
    name: 'sql-${name}-${suffix}'
    location: location
    sku: sqlSku
    adminGroupName: sqlAdminGroupName
    adminGroupId: sqlAdminGroupId
  }
}

module registry 'modules/registry.bicep' = {
  name: 'registry'
  params: {
    name: 'cr${replace(name, '-', '')}${suffix}'
    location: location
    services: [for (service, i) in services: serviceIdentities[i].outputs.principalId]
    jobs: [for (job, i) in jobs: jobIdentities[i].outputs.principalId]
  }
}

module vaults 'modules/vault.bicep' = [
  for (service, i) in services: if (onContainerApps && !empty(service.secrets)) {
    name: 'vault-${service.name}'
    params: {
      name: 'kv${replace(service.name, '-', '')}${suffix}'
      location: location
      readerPrincipalId: serviceIdentities[i].outputs.principalId
    }
  }
]

module runtime 'modules/environment.bicep' = if (onContainerApps) {
  name: 'environment'
  params: {
    name: name
    location: location
    subnetId: subnetId
    logRetentionDays: logRetentionDays
  }
}

module apps 'modules/service.bicep' = [
  for (service, i) in services: if (onContainerApps && deployServices) {
    name: 'app-${service.name}'
    params: {
      name: 'retl-${service.name}'
      location: location
      environmentId: runtime!.outputs.id
      image: '${registry.outputs.loginServer}/${service.image}:${tag}'
      registry: registry.outputs.loginServer
      identityId: serviceIdentities[i].outputs.id
      clientId: serviceIdentities[i].outputs.clientId
      settings: union(shared, service.settings, settings[?service.name] ?? {})
      secrets: service.secrets
      vaultUri: empty(service.secrets) ? '' : vaults[i]!.outputs.uri
      slackWebhookUrl: slackWebhookUrl
      cpu: service.cpu
      memory: service.memory
      minReplicas: service.minReplicas
      maxReplicas: service.maxReplicas
      scalerId: scaleOnMessages ? scaler.outputs.id : ''
      servicebusNamespace: bus.outputs.name
      topic: service.consumes
      subscription: service.subscription
    }
  }
]

module publish 'modules/job.bicep' = if (onContainerApps && deployServices) {
  name: 'job-publish'
  params: {
    name: 'retl-publish'
    location: location
    environmentId: runtime!.outputs.id
    image: '${registry.outputs.loginServer}/retl-cli:${tag}'
    registry: registry.outputs.loginServer
    identityId: jobIdentities[0].outputs.id
    clientId: jobIdentities[0].outputs.clientId
    arguments: ['publish', '--next']
    settings: shared
    schedule: publishSchedule
    timeoutSec: 600
    retries: 2
  }
}

module migrate 'modules/job.bicep' = if (onContainerApps && deployServices) {
  name: 'job-migrate'
  params: {
    name: 'retl-migrate'
    location: location
    environmentId: runtime!.outputs.id
    image: '${registry.outputs.loginServer}/retl-cli:${tag}'
    registry: registry.outputs.loginServer
    identityId: jobIdentities[1].outputs.id
    clientId: jobIdentities[1].outputs.clientId
    arguments: ['migrate']
    settings: shared
    schedule: ''
    timeoutSec: 600
    retries: 1
  }
}

// What an overlay of deploy/kubernetes asks for. In lower case, because the case of an output's name is not kept by all tools.
output servicebusNamespace string = bus.outputs.hostName
output lakeUrl string = storage.outputs.lakeUrl
output stateUrl string = sql.outputs.stateUrl
output sqlServer string = sql.outputs.serverName
output registryServer string = registry.outputs.loginServer
output scalerClientId string = scaler.outputs.clientId
output serviceClientIds array = [
  for (service, i) in services: {
    serviceAccount: service.name
    clientId: serviceIdentities[i].outputs.clientId
  }
]
output jobClientIds array = [
  for (job, i) in jobs: {
    serviceAccount: job
    clientId: jobIdentities[i].outputs.clientId
  }
]
