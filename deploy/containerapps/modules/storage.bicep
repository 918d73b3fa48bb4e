// The lake: an account with hierarchical namespace (publishing a week is a rename of directories), and its container.

param name string
param location string
param sku string

@description('Principals of the services, which write.')
param writers array

@description('Object id of the operators\' group, which reads; empty for none.')
param readersGroupId string

var contributor = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', 'ba92f5b4-2d11-453d-a403-e96b0029c9fe') // Storage Blob Data Contributor
var reader = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '2a2b9908-6ea1-4ae2-8e65-a410df84e7d1') // Storage Blob Data Reader

resource account 'Microsoft.Storage/storageAccounts@2023-05-01' = {
  name: name
  location: location
  kind: 'StorageV2'
  sku: {
    name: sku
  }
  properties: {
    isHnsEnabled: true
    allowSharedKeyAccess: false // identities only
    allowBlobPublicAccess: false
    minimumTlsVersion: 'TLS1_2'
    supportsHttpsTrafficOnly: true
  }
}

resource blobs 'Microsoft.Storage/storageAccounts/blobServices@2023-05-01' = {
  parent: account
  name: 'default'
}

resource container 'Microsoft.Storage/storageAccounts/blobServices/containers@2023-05-01' = {
  parent: blobs
  name: 'lake'
}

resource mayWrite 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for principalId in writers: {
    scope: container
    name: guid(container.id, principalId, contributor)
    properties: {
      roleDefinitionId: contributor
      principalId: principalId
      principalType: 'ServicePrincipal'
    }
  }
]

resource mayRead 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(readersGroupId)) {
  scope: container
  name: guid(container.id, readersGroupId, reader)
  properties: {
    roleDefinitionId: reader
    principalId: readersGroupId
    principalType: 'Group'
  }
}

output lakeUrl string = 'abfss://${container.name}@${account.name}.dfs.${environment().suffixes.storage}'
