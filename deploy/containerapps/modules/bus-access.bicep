// What one identity may do on the bus: send to these topics, receive from this subscription, and nothing else.

param namespaceName string
param principalId string

@description('Topics that it publishes to; delayed retries go to the topic that they came from.')
param sends array

@description('Topic and subscription that it consumes; both empty for one that only sends.')
param consumes string
param subscription string

var sender = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '69a216fc-b8fb-44d8-bc22-1f3c2cd27a39') // Azure Service Bus Data Sender
var receiver = subscriptionResourceId('Microsoft.Authorization/roleDefinitions', '4f6d3b9b-027b-4f4c-9142-0e5a2a2247e0') // Azure Service Bus Data Receiver

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource topics 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' existing = [
  for topic in sends: {
    parent: namespace
    name: topic
  }
]

resource maySend 'Microsoft.Authorization/roleAssignments@2022-04-01' = [
  for (topic, i) in sends: {
    scope: topics[i]
    name: guid(namespace.id, topic, principalId, sender)
    properties: {
      roleDefinitionId: sender
      principalId: principalId
      principalType: 'ServicePrincipal'
    }
  }
]

resource consumed 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' existing = if (!empty(subscription)) {
  parent: namespace
  name: consumes
}

resource queue 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2024-01-01' existing = if (!empty(subscription)) {
  parent: consumed
  name: subscription
}

resource mayReceive 'Microsoft.Authorization/roleAssignments@2022-04-01' = if (!empty(subscription)) {
  scope: queue
  name: guid(namespace.id, consumes, subscription, principalId, receiver)
  properties: {
    roleDefinitionId: receiver
    principalId: principalId
    principalType: 'ServicePrincipal'
  }
}
