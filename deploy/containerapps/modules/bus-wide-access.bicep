// Who may look at the whole bus: the scaler, and the people who mend things.

param namespaceName string
param scalerPrincipalId string

@description('Object id of the operators\' group: `retl publish`, `doctor`, `dlq`. Empty for none.')
param operatorsGroupId string

// The length of a subscription is management data. Which lesser role would do is written nowhere; this one is what the
// documentation of KEDA and of AKS gives its scaler.
var owner = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '090c5cfd-751d-490a-894a-3ce6f1109419') // Azure Service Bus Data Owner
var operatorRoles = [
  '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39' // Azure Service Bus Data Sender
  '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0' // Azure Service Bus Data Receiver
]

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource mayCount 'Microsoft.Authorization/roleAssignments@2022-04-01' = {
  scope: namespace
  name: guid(namespace.id, scalerPrincipalId, owner)
  properties: {
    roleDefinitionId: owner
    principalId: scalerPrincipalId
    principalType: 'ServicePrincipal'
  }
}

resource mayMend 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for role in operatorRoles: if (!empty(operatorsGroupId)) {
    scope: namespace
    name: guid(namespace.id, operatorsGroupId, role)
    properties: {
      roleDefinitionId: subscriptionResourceId('Microsoft.Authorization/roleDefinitions', role)
      principalId: operatorsGroupId
      principalType: 'Group'
    }
  }
]
