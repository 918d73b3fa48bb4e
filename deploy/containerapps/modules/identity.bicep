// A managed identity, and the Kubernetes service account that may act as it.

param name string
param location string

@description('Issuer of the cluster\'s tokens; empty on Container Apps, which need no federation.')
param oidcIssuerUrl string

@description('<namespace>:<service account> in the cluster.')
param serviceAccount string

resource identity 'Microsoft.ManagedIdentity/userAssignedIdentities@2023-01-31' = {
  name: name
  location: location
}

resource federation 'Microsoft.ManagedIdentity/userAssignedIdentities/federatedIdentityCredentials@2023-01-31' = if (!empty(oidcIssuerUrl)) {
  parent: identity
  name: 'kubernetes'
  properties: {
    issuer: oidcIssuerUrl
    subject: 'system:serviceaccount:${serviceAccount}'
    audiences: ['api://AzureADTokenExchange']
  }
}

output name string = identity.name
output id string = identity.id
output principalId string = identity.properties.principalId
output clientId string = identity.properties.clientId
