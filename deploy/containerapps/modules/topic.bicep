// One topic of the topology with its subscriptions, and the one rule of each.

param namespaceName string

@description('An entry of Topics in topology.json.')
param topic object

param messageTimeToLive string

resource namespace 'Microsoft.ServiceBus/namespaces@2024-01-01' existing = {
  name: namespaceName
}

resource entity 'Microsoft.ServiceBus/namespaces/topics@2024-01-01' = {
  parent: namespace
  name: topic.Name
  properties: {
    defaultMessageTimeToLive: messageTimeToLive
    requiresDuplicateDetection: topic.Properties.RequiresDuplicateDetection
    duplicateDetectionHistoryTimeWindow: topic.Properties.DuplicateDetectionHistoryTimeWindow
  }
}

resource subscriptions 'Microsoft.ServiceBus/namespaces/topics/subscriptions@2024-01-01' = [
  for subscription in topic.Subscriptions: {
    parent: entity
    name: subscription.Name
    properties: {
      defaultMessageTimeToLive: messageTimeToLive
      deadLetteringOnMessageExpiration: subscription.Properties.DeadLetteringOnMessageExpiration
      deadLetteringOnFilterEvaluationExceptions: true
      lockDuration: subscription.Properties.LockDuration
      maxDeliveryCount: subscription.Properties.MaxDeliveryCount
      requiresSession: subscription.Properties.RequiresSession
    }
  }
]

// Azure gives a new subscription a rule `$Default` that takes everything, and a message is taken if any rule takes it.
// So the topology's rule does not stand beside that one but takes its place.
resource rules 'Microsoft.ServiceBus/namespaces/topics/subscriptions/rules@2024-01-01' = [
  for (subscription, i) in topic.Subscriptions: {
    parent: subscriptions[i]
    name: '$Default'
    properties: {
      filterType: 'SqlFilter'
      sqlFilter: {
        sqlExpression: subscription.Rules[0].Properties.SqlFilter.SqlExpression
      }
    }
  }
]
