// A private registry: the images hold Microsoft's ODBC driver, which may not be handed to everyone.

param name string
param location string

@description('Principals that pull. On AKS it is the kubelet that does: az aks update --attach-acr.')
param services array
param jobs array

var acrPull = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '7f951dda-4ed3-4680-a7ca-43fe172d538d') // AcrPull

resource registry 'Microsoft.ContainerRegistry/registries@2023-07-01' = {
  name: name
  location: location
  sku: {
    name: 'Basic'
  }
  properties: {
    adminUserEnabled: false
  }
}

resource mayPull 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in concat(services, jobs): {
    scope: registry
    name: guid(registry.id, principalId, acrPull)
    properties: {
      roleDefinitionId: acrPull
      principalId: principalId
      principalType: 'ServicePrincipal'
    }
  }
]

output loginServer string = registry.properties.loginServer
